"""Real, tiny models that are slow, fail, lose sight or are watched when a test wants it."""

import queue
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segzero.errors import Cancelled
from segzero.pipeline import SegZero
from segzero.types import TrackedObject


class Models(SegZero):
    """A SegZero with faults on demand.

    ready: an answer waits until it holds. finds: whether an answer has objects. ask_errors,
    step_errors: raised, one by one, instead of working. blind: no object is seen. on_step: called
    after every step.
    """

    ready: Callable[[], bool] = staticmethod(lambda: True)
    on_step: Callable[[], object] = staticmethod(lambda: None)
    ask_errors: list[Exception]
    step_errors: list[Exception]
    blind = False
    finds = True

    @classmethod
    def of(cls, segzero: SegZero) -> "Models":
        """The same models, with faults of their own."""
        models = cls(*segzero._models(), segzero._completion_format)
        models.ask_errors = []
        models.step_errors = []
        return models

    def ask(self, image, question, *, on_text=None, on_objects=None, stop=None):
        if self.ask_errors:
            raise self.ask_errors.pop(0)
        stop = stop or threading.Event()
        while not self.ready():
            if stop.wait(0.005):
                raise Cancelled("stopped while it was slow")
        result = super().ask(image, question, on_text=on_text, on_objects=on_objects, stop=stop)
        return result if self.finds else replace(result, objects=())

    def track(self, image, objects):
        tracker = super().track(image, objects)
        real_step = tracker.step

        def step(image: NDArray[np.uint8]) -> tuple[TrackedObject, ...]:
            if self.step_errors:
                raise self.step_errors.pop(0)
            found = real_step(image)
            self.on_step()
            if not self.blind:
                return found
            nothing = np.zeros(image.shape[:2], bool)
            return tuple(TrackedObject(item.id, None, nothing, 0.0) for item in found)

        tracker.step = step  # type: ignore[method-assign]
        return tracker


class Watched:
    """A real reasoner that tells what happens to it, and first raises what it is given.

    Real out-of-memory is not to be had without taking the machine down.
    """

    def __init__(self, reasoner, errors: list[Exception]) -> None:
        self._reasoner = reasoner
        self._errors = errors
        self.model_size = reasoner.model_size
        self.started: queue.Queue[str] = queue.Queue()
        self.cancelled: queue.Queue[str] = queue.Queue()

    def warm_up(self) -> None:
        self._reasoner.warm_up()

    def complete(self, image, question, *, on_text=None, stop=None):
        if self._errors:
            raise self._errors.pop(0)
        self.started.put(question)
        try:
            return self._reasoner.complete(image, question, on_text=on_text, stop=stop)
        except Cancelled:
            self.cancelled.put(question)
            raise
