"""SegZero: image + question → reasoning, objects and masks."""

import gc
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segzero.checks import check_image, check_prompt
from segzero.early_masks import EarlyMasks
from segzero.errors import BadImage, Cancelled, CheckpointError, MalformedAnswer
from segzero.format_check import FormatCheck
from segzero.imports import import_libraries
from segzero.profiles import Profile, load_profile
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.prompts import clean_question
from segzero.reasoning.reasoner import Completion, OnText, Reasoner, Sampling, Stop
from segzero.segmentation.object_masks import draw_objects
from segzero.segmentation.segmenter import Segmenter
from segzero.types import (
    Answer,
    Box,
    GroundedObject,
    ObjectPrompt,
    Point,
    Segmentation,
    SegmentedObject,
)
from segzero.voting import vote

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

_VOTES_TEMPERATURE = 1.0
_VOTES_SEED = 0
"""A question about the same picture gets the same answer again."""


class SegZero:
    """Answers questions about images with a reasoner and a segmenter.

    Use it from one thread at a time. `ask` does what `reason` and then `segment` do.
    """

    def __init__(
        self,
        reasoner: Reasoner,
        segmenter: Segmenter,
        completion_format: CompletionFormat,
        profile: str = "",
        votes: int = 1,
    ) -> None:
        """Use models that are loaded already; `load` loads those of a profile.

        Args:
            reasoner: Writes the completions.
            segmenter: Draws the masks.
            completion_format: How the reasoner was trained to write.
            profile: A name for the warning that the answers have another format.
            votes: As in a profile.
        """
        self._reasoner: Reasoner | None = reasoner
        self._segmenter: Segmenter | None = segmenter
        self._completion_format = completion_format
        self._votes = votes
        self._format_check = FormatCheck(completion_format.answer_format, profile)
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="segzero-ahead")

    @classmethod
    def load(cls, profile: str | Path | Profile, device: str = "auto") -> "SegZero":
        """Load both models of a profile from this disk.

        Args:
            profile: A profile, a shipped profile's name, or the path of a YAML file. A server that
                it names is not contacted before the first question.
            device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, …

        Returns:
            A SegZero that is ready to use.

        Raises:
            CheckpointError: Profile, weights or device are missing or unusable.
            DeviceOutOfMemory: The models don't fit.
        """
        if not isinstance(profile, Profile):
            profile = load_profile(profile)
        # Imported here: torch and transformers take seconds, which only loading should cost.
        import_libraries(profile)
        from segzero.devices import resolve_device
        from segzero.loading import load_reasoner, load_segmenter

        where = resolve_device(device)
        segmenter = load_segmenter(profile, where)  # the small one first: it may be missing
        reasoner = load_reasoner(profile, where)
        return cls(reasoner, segmenter, profile.completion_format, profile.name, profile.votes)

    def warm_up(self) -> None:
        """Use both models once, so that the first question is as fast as the next ones.

        Raises:
            CheckpointError: They can't compute, or compute no finite numbers.
            DeviceOutOfMemory: The memory is full.
        """
        from segzero.pretrained import translate_errors

        reasoner, segmenter = self._models()
        thing = GroundedObject(box=Box(8, 8, 24, 24), points=(Point(16, 16),))
        with translate_errors("the models can't compute: a file beside their weights is wrong"):
            reasoner.warm_up()
            ((_, score),) = segmenter.segment(np.zeros((32, 32, 3), np.uint8), [thing])
        if not math.isfinite(score):
            raise CheckpointError(
                "the segmenter computes NaN or infinity: set segmenter_dtype to bfloat16 or "
                "float32, or copy its weights again"
            )

    def ask(
        self,
        image: NDArray[np.uint8],
        question: str,
        *,
        on_text: OnText = None,
        on_objects: Callable[[tuple[SegmentedObject, ...]], None] | None = None,
        stop: Stop = None,
    ) -> Segmentation:
        """Answer a question about an image with reasoning and masks.

        After any of the errors, the next call works. With `votes` the masks are those that most of
        several answers agree on; see `segzero.voting`. The other answers are sampled in one batch,
        after this one, and only before and after it `stop` is looked at.

        Args:
            image: (H, W, 3) uint8 RGB.
            question: What to look for.
            on_text: Called with each piece of the completion when it is generated.
            on_objects: Called from another thread, and not after the return, with the first objects
                of the answer, as soon as their masks are drawn: while the model still writes.
            stop: Set it from any thread to end within a token.

        Returns:
            The reasoning and the objects, with boxes, points and masks in pixels of the image.

        Raises:
            BadImage: The image is unusable; no model has run.
            BadQuestion: The question is unusable; no model has run.
            MalformedAnswer: The completion holds no usable answer.
            Cancelled: `stop` was set.
            DeviceOutOfMemory: The memory is full.
            ServerError: The reasoner's server failed.
        """
        from segzero.devices import limit_omp_threads

        check_image(image)
        clean_question(question)
        reasoner, segmenter = self._models()
        # The segmenter encodes the image while the reasoner generates.
        encoded = self._ahead.submit(limit_omp_threads()(segmenter.encode), image)
        early = None
        if on_objects is not None and (size := reasoner.model_size) is not None:
            draw = limit_omp_threads()(self._segment)  # beside the reasoner, too
            early = EarlyMasks(
                lambda text: self._completion_format.read(text, size, image.shape[1::-1]),
                lambda objects: draw(image, objects, encoded.result()),
                self._ahead,
                on_objects,
            )

        def receive(piece: str) -> None:
            if on_text is not None:
                on_text(piece)
            if early is not None:
                early.feed(piece)

        try:
            with limit_omp_threads():
                answer = self.reason(image, question, on_text=receive, stop=stop)
            if stop is not None and stop.is_set():
                raise Cancelled("stopped before the masks were drawn")
            objects = early.finish(answer) if early is not None else None
        except BaseException:
            if early is not None:
                early.abandon()
            raise
        result = self._draw(image, question, answer, encoded.result(), objects)
        return self._voted(image, result, encoded.result(), stop) if self._votes > 1 else result

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Any]:
        """Compute once what the masks of several calls need of images.

        Args:
            images: (H, W, 3) uint8 RGB each; their sizes may differ.

        Returns:
            For each image the argument `encoded` of `ask_batch` and `segment`. It lies on the
            segmenter's device.

        Raises:
            BadImage: An image is unusable; no model has run.
            DeviceOutOfMemory: The memory is full.
        """
        for image in images:
            check_image(image)
        _, segmenter = self._models()
        return segmenter.encode_batch(images)

    def ask_batch(
        self,
        images: Sequence[NDArray[np.uint8]],
        questions: Sequence[str],
        *,
        encoded: Sequence[Any] | None = None,
        sampling: Sampling | None = None,
    ) -> list[Segmentation | MalformedAnswer]:
        """Answer several questions at once, each about its own image.

        Args:
            images: (H, W, 3) uint8 RGB each; their sizes may differ.
            questions: One for each image.
            encoded: What `encode` returned for each image, None for one that isn't encoded yet.
            sampling: How completions are drawn; None decodes greedily.

        Returns:
            For each question what `ask` returns, or the error if its answer can't be parsed.

        Raises:
            BadImage: An image is unusable; no model has run.
            BadQuestion: A question is unusable; no model has run.
            DeviceOutOfMemory: The memory is full.
            ServerError: The reasoner's server failed.
        """
        for image in images:
            check_image(image)
        reasoner, _ = self._models()
        cleaned = [clean_question(text) for text in questions]
        completions = reasoner.complete_batch(images, cleaned, sampling)
        results: list[Segmentation | MalformedAnswer] = []
        features = encoded or [None] * len(images)
        items = zip(images, questions, completions, features, strict=True)
        for image, question, completion, known in items:
            try:
                results.append(self._draw(image, question, self._read(image, completion), known))
            except MalformedAnswer as error:
                results.append(error)
        return results

    def reason(
        self, image: NDArray[np.uint8], question: str, *, on_text: OnText = None, stop: Stop = None
    ) -> Answer:
        """Answer a question with reasoning, boxes and points, but no masks.

        Args:
            image: (H, W, 3) uint8 RGB.
            question: What to look for.
            on_text: Called with each piece of the completion when it is generated.
            stop: Set it from any thread to end within a token.

        Returns:
            The answer, in pixels of the image.

        Raises:
            BadImage: The image is unusable; no model has run.
            BadQuestion: The question is unusable; no model has run.
            MalformedAnswer: The completion holds no usable answer.
            Cancelled: `stop` was set.
            DeviceOutOfMemory: The memory is full.
            ServerError: The reasoner's server failed.
        """
        check_image(image)
        question = clean_question(question)
        reasoner, _ = self._models()
        return self._read(image, reasoner.complete(image, question, on_text=on_text, stop=stop))

    def segment(
        self,
        image: NDArray[np.uint8],
        objects: Sequence[GroundedObject | ObjectPrompt],
        *,
        encoded: Any = None,
    ) -> tuple[SegmentedObject, ...]:
        """Draw the masks of objects.

        Args:
            image: (H, W, 3) uint8 RGB.
            objects: Boxes and points in pixels of the image, such as `reason` returns, or such as
                somebody shows.
            encoded: What `encode` returned for the image; None encodes it here.

        Returns:
            The objects with their masks, in the same order. Without a box of its own, an object
            gets the box around its mask.

        Raises:
            BadImage: The image is unusable.
            BadPrompt: An object has neither box nor point, or shows nothing of the image.
            DeviceOutOfMemory: The memory is full.
        """
        check_image(image)
        for place, item in enumerate(objects, start=1):
            check_prompt(place, item, image.shape[1::-1])
        return self._segment(image, objects, encoded)

    def track(self, image: NDArray[np.uint8], objects: Sequence[SegmentedObject]) -> "Tracker":
        """Start to follow objects through the frames after `image`.

        Trackers are independent of each other and of `ask`. Close them before this SegZero.

        Args:
            image: (H, W, 3) uint8 RGB: the frame in which the objects were found.
            objects: At least one, with masks of the image's size.

        Returns:
            A tracker for the next frames.

        Raises:
            BadImage: The image is unusable, or of another size than the masks.
            CheckpointError: The segmenter has no video memory.
            DeviceOutOfMemory: The memory is full.
            ValueError: There are no objects.
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
        """Free the models' memory. Any later call except `close` raises RuntimeError."""
        if self._reasoner is None:
            return
        self._ahead.shutdown()
        self._reasoner = self._segmenter = None
        gc.collect()  # models hold cycles
        from segzero.devices import release_memory

        release_memory()

    def _read(self, image: NDArray[np.uint8], completion: Completion) -> Answer:
        height, width = image.shape[:2]
        text, read = completion.text, self._completion_format.read
        try:
            answer = read(text, completion.model_size, (width, height))
        except MalformedAnswer:
            self._format_check.see(text, malformed=True)
            raise
        self._format_check.see(text, malformed=False)
        return answer

    def _segment(
        self,
        image: NDArray[np.uint8],
        objects: Sequence[GroundedObject | ObjectPrompt],
        encoded: Any,
    ) -> tuple[SegmentedObject, ...]:
        _, segmenter = self._models()
        return draw_objects(segmenter, image, objects, encoded)

    def _draw(
        self,
        image: NDArray[np.uint8],
        question: str,
        answer: Answer,
        encoded: Any = None,
        objects: tuple[SegmentedObject, ...] | None = None,
    ) -> Segmentation:
        height, width = image.shape[:2]
        return Segmentation(
            question=question.strip(),
            reasoning=answer.reasoning,
            text=answer.text,
            size=(width, height),
            objects=self._segment(image, answer.objects, encoded) if objects is None else objects,
            dropped=answer.dropped,
        )

    def _voted(
        self, image: NDArray[np.uint8], result: Segmentation, encoded: Any, stop: Stop
    ) -> Segmentation:
        from segzero.devices import limit_omp_threads

        others = self._votes - 1
        with limit_omp_threads():
            answers = self.ask_batch(
                [image] * others,
                [result.question] * others,
                encoded=[encoded] * others,
                sampling=Sampling(_VOTES_TEMPERATURE, _VOTES_SEED),
            )
        if stop is not None and stop.is_set():
            raise Cancelled("stopped before the vote was counted")
        usable = [item.objects for item in answers if isinstance(item, Segmentation)]
        return replace(result, objects=vote(result.objects, usable))

    def _models(self) -> tuple[Reasoner, Segmenter]:
        if self._reasoner is None or self._segmenter is None:
            raise RuntimeError("this SegZero is closed; load another one")
        return self._reasoner, self._segmenter
