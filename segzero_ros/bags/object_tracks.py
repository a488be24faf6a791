"""Ask about recorded frames and follow the objects through all of them, one after the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segzero.checks import check_image
from segzero.errors import BadImage, MalformedAnswer, SegZeroError
from segzero.pipeline import SegZero
from segzero.segmentation.matching import match_masks
from segzero.types import SegmentedObject, TrackedObject
from segzero_ros.bags.recording import BadBag, RecordedImage

if TYPE_CHECKING:
    from segzero.segmentation.tracker import Tracker

LOST_TIMEOUT = 1.0
"""Seconds of the recording after which an object that isn't seen counts as lost."""
_SECOND = 1e9


class NothingFound(SegZeroError):
    """No object was found in any frame that was asked about; the text says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedFrame:
    """A frame with the objects that are seen in it.

    Attributes:
        image: As recorded.
        pixels: (H, W, 3) uint8 RGB.
        objects: Their ids are those of the object in all frames, from 1; masks aren't empty.
    """

    image: RecordedImage
    pixels: NDArray[np.uint8]
    objects: tuple[SegmentedObject, ...]


@dataclass(slots=True)
class LeftOut:
    """The frames that can't be used.

    Attributes:
        count: How many.
        reason: Why the first of them can't.
    """

    count: int = 0
    reason: str = ""

    def add(self, reason: object) -> None:
        """Count a frame."""
        self.count += 1
        self.reason = self.reason or str(reason)


@dataclass(slots=True, eq=False)
class ObjectTracks:
    """Annotates frames: asks about the first usable one, then follows every one in order.

    Asked again, objects keep the id of the followed object that their mask fits; the others of the
    new answer get new ids, and those that it lacks are followed no longer. An answer without
    objects changes nothing.

    Attributes:
        segzero: The models.
        question: What to look for.
        reask: Seconds of the recording between two askings, at least, while nothing was found or an
            object is lost; None asks once.
        asked: How often it was asked.
        count: How many objects were found.
        left_out: Frames that don't decode, or have another size than the first.
    """

    segzero: SegZero
    question: str
    reask: float | None = None
    asked: int = 0
    count: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    _tracker: "Tracker | None" = None
    _asked_at: int = 0
    _last_seen: dict[int, int] = field(default_factory=dict)

    def annotate(self, images: Iterable[RecordedImage]) -> Iterator[AnnotatedFrame]:
        """Annotate recorded images.

        Args:
            images: In the order of recording.

        Yields:
            The usable ones, in that order.

        Raises:
            BadBag: None is usable.
            MalformedAnswer: The only completion holds no usable answer.
            NothingFound: No answer named an object.
            DeviceOutOfMemory: The memory is full.
            ServerError: The reasoner's server failed.
        """
        shape: tuple[int, ...] | None = None
        try:
            for image in images:
                try:
                    pixels = image.pixels()
                    check_image(pixels)
                except BadImage as error:
                    self.left_out.add(error)
                    continue
                shape = shape or pixels.shape
                if pixels.shape != shape:
                    self.left_out.add(_resized(pixels.shape, shape))
                    continue
                yield AnnotatedFrame(image, pixels, self._objects(image.recorded, pixels))
        finally:
            self._close()
        if shape is None:
            raise BadBag(f"no image can be used: {self.left_out.reason}")
        if not self.count:
            raise NothingFound(f"nothing matches {self.question!r} in {self.asked} frames")

    def _objects(self, now: int, pixels: NDArray[np.uint8]) -> tuple[SegmentedObject, ...]:
        objects: Sequence[SegmentedObject] = ()
        if self._tracker:
            objects = [_segmented(item) for item in self._tracker.step(pixels) if item.mask.any()]
            self._last_seen.update((item.id, now) for item in objects)
        if self._is_due(now):
            objects = self._ask(now, pixels, objects)
        return tuple(objects)

    def _is_due(self, now: int) -> bool:
        if not self.asked:
            return True
        if self.reask is None or now - self._asked_at < self.reask * _SECOND:
            return False
        lost = [now - seen >= LOST_TIMEOUT * _SECOND for seen in self._last_seen.values()]
        return any(lost) or not lost

    def _ask(
        self, now: int, pixels: NDArray[np.uint8], known: Sequence[SegmentedObject]
    ) -> Sequence[SegmentedObject]:
        """Ask, and start to follow what is found; return the objects of this frame."""
        self.asked, self._asked_at = self.asked + 1, now
        try:
            answer = self.segzero.ask(pixels, self.question).objects
        except MalformedAnswer:
            if self.reask is None:
                raise
            return known
        found = [item for item in answer if item.mask.any()]
        if not found:
            if self.reask is None:
                raise NothingFound(
                    f"nothing matches {self.question!r} in the first frame: --reask 1 asks about "
                    "later ones, too"
                )
            return known
        matches = match_masks([item.mask for item in found], [item.mask for item in known])
        objects = [
            replace(item, id=self._new_id() if match is None else known[match].id)
            for item, match in zip(found, matches, strict=True)
        ]
        self._close()
        self._tracker = self.segzero.track(pixels, objects)
        self._last_seen = {item.id: now for item in objects}
        return objects

    def _new_id(self) -> int:
        self.count += 1
        return self.count

    def _close(self) -> None:
        if self._tracker:
            self._tracker.close()
            self._tracker = None


def _segmented(item: TrackedObject) -> SegmentedObject:
    assert item.box
    return SegmentedObject(item.id, item.box, (), item.mask, item.score)


def _resized(shape: tuple[int, ...], first: tuple[int, ...]) -> str:
    return f"it has {shape[1]}x{shape[0]} pixels, the first one {first[1]}x{first[0]}"
