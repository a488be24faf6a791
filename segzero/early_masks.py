"""Masks of the first objects of an answer, drawn while the model writes the next ones."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import replace

from segzero.errors import MalformedAnswer
from segzero.types import Answer, GroundedObject, SegmentedObject

Objects = tuple[SegmentedObject, ...]


class EarlyMasks:
    """Reads a completion in pieces; for the thread that generates it.

    Args:
        read: Parses the completion so far; what is cut off is left out.
        draw: Draws the masks of some objects.
        executor: One thread, in which `draw` and `on_objects` run.
        on_objects: Called with all objects so far, each time there are more.
    """

    def __init__(
        self,
        read: Callable[[str], Answer],
        draw: Callable[[Sequence[GroundedObject]], Objects],
        executor: Executor,
        on_objects: Callable[[Objects], None],
    ) -> None:
        self._read = read
        self._draw = draw
        self._executor = executor
        self._on_objects = on_objects
        self._text = ""
        self._begun: tuple[GroundedObject, ...] = ()
        self._drawn: Objects = ()
        self._work: list[Future[None]] = []

    def feed(self, piece: str) -> None:
        """Read the next piece, and begin to draw what it completes."""
        self._text += piece
        if "}" not in piece or "<answer>" not in self._text:
            return
        try:
            objects = self._read(self._text).objects
        except MalformedAnswer:
            return
        new = objects[len(self._begun) :]
        if new and objects[: len(self._begun)] == self._begun:
            self._begun = objects
            self._work.append(self._executor.submit(self._add, new))

    def finish(self, answer: Answer) -> Objects:
        """Wait for the masks that were begun, and draw the others.

        Args:
            answer: The parsed completion.

        Returns:
            Its objects, numbered in order.
        """
        for work in self._work:
            work.result()
        # What looked complete may turn out to be something else.
        known = self._drawn if answer.objects[: len(self._begun)] == self._begun else ()
        return number(known, self._draw(answer.objects[len(known) :]))

    def abandon(self) -> None:
        """Wait until no more objects come, after the generation failed or was stopped."""
        for work in self._work:
            work.cancel()
        wait(self._work)

    def _add(self, new: Sequence[GroundedObject]) -> None:
        self._drawn = number(self._drawn, self._draw(new))
        self._on_objects(self._drawn)


def number(*groups: Objects) -> Objects:
    """Number objects 1, 2, … through all groups."""
    objects = [item for group in groups for item in group]
    return tuple(replace(item, id=place) for place, item in enumerate(objects, start=1))
