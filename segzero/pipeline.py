"""SegZero: image + question → reasoning, objects and masks."""

import gc
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segzero.errors import BadImage, Cancelled, MalformedAnswer
from segzero.profiles import Profile, load_profile
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.prompts import clean_question
from segzero.reasoning.reasoner import Completion, Reasoner
from segzero.segmentation.segmenter import Segmenter
from segzero.types import Answer, Box, GroundedObject, Point, Segmentation, SegmentedObject

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

MIN_SIDE, MAX_SIDE = 8, 16384
"""Usable image sides in pixels."""


class SegZero:
    """A reasoner and a segmenter that work together; for one thread at a time.

    reason() and segment() are the two halves of ask(), for callers that have business in between.
    """

    def __init__(
        self,
        reasoner: Reasoner,
        segmenter: Segmenter,
        completion_format: CompletionFormat,
    ) -> None:
        self._reasoner: Reasoner | None = reasoner
        self._segmenter: Segmenter | None = segmenter
        self._completion_format = completion_format
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="segzero-ahead")

    @classmethod
    def load(cls, profile: str | Path | Profile, device: str = "auto") -> "SegZero":
        """Load both models of a profile (its name, its YAML file or itself) from this disk.

        device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, …
        A reasoner on a server isn't looked for before the first question.
        Raises CheckpointError or DeviceOutOfMemory.
        """
        # Imported here: torch and transformers take seconds, which only loading should cost.
        from segzero.devices import resolve_device
        from segzero.loading import load_reasoner, load_segmenter

        if not isinstance(profile, Profile):
            profile = load_profile(profile)
        where = resolve_device(device)
        segmenter = load_segmenter(profile, where)  # the small one first: it may be missing
        return cls(load_reasoner(profile, where), segmenter, profile.completion_format)

    def warm_up(self) -> None:
        """Use both models once, so that the first question isn't the slow one.

        Raises DeviceOutOfMemory.
        """
        reasoner, segmenter = self._models()
        reasoner.warm_up()
        thing = GroundedObject(box=Box(8, 8, 24, 24), points=(Point(16, 16),))
        segmenter.segment(np.zeros((32, 32, 3), np.uint8), [thing])

    def ask(
        self,
        image: NDArray[np.uint8],
        question: str,
        *,
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Segmentation:
        """Answer a question about an image with reasoning and masks.

        image: (H, W, 3) uint8 RGB.
        on_text: called with each piece of the completion as it is generated.
        stop: set it, from any thread, to end within a token.

        Raises BadImage or BadQuestion before any model runs; then MalformedAnswer, Cancelled,
        DeviceOutOfMemory or ServerError. After any of them the next call works.
        """
        from segzero.devices import limit_omp_threads

        check_image(image)
        clean_question(question)
        _, segmenter = self._models()
        # The segmenter looks at the image while the reasoner writes.
        encoded = self._ahead.submit(limit_omp_threads()(segmenter.encode), image)
        with limit_omp_threads():
            answer = self.reason(image, question, on_text=on_text, stop=stop)
        if stop is not None and stop.is_set():
            raise Cancelled("stopped before the masks were drawn")
        return self._draw(image, question, answer, encoded.result())

    def ask_batch(
        self, images: Sequence[NDArray[np.uint8]], questions: Sequence[str]
    ) -> list[Segmentation | MalformedAnswer]:
        """Answer several questions at once, each about its own image.

        An answer that can't be parsed is the error in its place; the others are as from ask().
        Raises BadImage or BadQuestion before any model runs, DeviceOutOfMemory or ServerError.
        """
        for image in images:
            check_image(image)
        reasoner, _ = self._models()
        completions = reasoner.complete_batch(images, [clean_question(text) for text in questions])
        results: list[Segmentation | MalformedAnswer] = []
        for image, question, completion in zip(images, questions, completions, strict=True):
            try:
                results.append(self._draw(image, question, self._read(image, completion)))
            except MalformedAnswer as error:
                results.append(error)
        return results

    def reason(
        self,
        image: NDArray[np.uint8],
        question: str,
        *,
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Answer:
        """The first half of ask(): boxes and points in pixels of the image, without masks."""
        check_image(image)
        question = clean_question(question)
        reasoner, _ = self._models()
        return self._read(image, reasoner.complete(image, question, on_text=on_text, stop=stop))

    def segment(
        self, image: NDArray[np.uint8], objects: Sequence[GroundedObject]
    ) -> tuple[SegmentedObject, ...]:
        """The second half of ask(): masks for boxes and points in pixels of the image."""
        check_image(image)
        return self._segment(image, objects, None)

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> "Tracker":
        """Follow objects through the frames after `image`, the one that they were found in.

        Trackers are independent of each other and of ask(); close() them before this SegZero.
        Raises BadImage, DeviceOutOfMemory, or CheckpointError if the segmenter has no video memory.
        """
        check_image(image)
        if not objects:
            raise ValueError("there are no objects to follow: track only what segment() found")
        for item in objects:
            if item.mask.shape != image.shape[:2]:
                raise BadImage(
                    f"object {item.id} was found in a picture of another size than this: "
                    f"give the frame that was asked about"
                )
        _, segmenter = self._models()
        return segmenter.track(image, objects)

    def close(self) -> None:
        """Free the models' memory; asking afterwards is an error. Closing twice is fine."""
        if self._reasoner is None:
            return
        self._ahead.shutdown()
        self._reasoner = self._segmenter = None
        gc.collect()  # models hold cycles
        from segzero.devices import release_memory

        release_memory()

    def _read(self, image: NDArray[np.uint8], completion: Completion) -> Answer:
        height, width = image.shape[:2]
        return self._completion_format.read(completion.text, completion.model_size, (width, height))

    def _segment(
        self, image: NDArray[np.uint8], objects: Sequence[GroundedObject], encoded: Any
    ) -> tuple[SegmentedObject, ...]:
        _, segmenter = self._models()
        found = segmenter.segment(image, objects, encoded)
        return tuple(
            SegmentedObject(id=number, box=item.box, points=item.points, mask=mask, score=score)
            for number, (item, (mask, score)) in enumerate(zip(objects, found, strict=True), 1)
        )

    def _draw(
        self, image: NDArray[np.uint8], question: str, answer: Answer, encoded: Any = None
    ) -> Segmentation:
        height, width = image.shape[:2]
        return Segmentation(
            question=question.strip(),
            reasoning=answer.reasoning,
            text=answer.text,
            size=(width, height),
            objects=self._segment(image, answer.objects, encoded),
        )

    def _models(self) -> tuple[Reasoner, Segmenter]:
        if self._reasoner is None or self._segmenter is None:
            raise RuntimeError("this SegZero is closed; load another one")
        return self._reasoner, self._segmenter


def check_image(image: NDArray[np.uint8]) -> None:
    """Raise BadImage unless this is an (H, W, 3) uint8 array with sides that models can use."""
    if not isinstance(image, np.ndarray):
        raise BadImage(f"the image must be a NumPy array, not {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise BadImage(f"the image must have shape (height, width, 3), not {image.shape}")
    if image.dtype != np.uint8:
        raise BadImage(f"the image must be uint8 in 0…255, not {image.dtype}")
    height, width = image.shape[:2]
    if not (min(height, width) >= MIN_SIDE and max(height, width) <= MAX_SIDE):
        raise BadImage(
            f"the image is {width}x{height} pixels; each side must be {MIN_SIDE} to {MAX_SIDE}"
        )
