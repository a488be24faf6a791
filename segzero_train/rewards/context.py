"""What some rewards must know beyond a completion and its row."""

from dataclasses import dataclass

from segzero.errors import MalformedAnswer
from segzero.reasoning.answers import parse
from segzero.reasoning.coordinates import Size, to_image, to_model
from segzero.segmentation.segmenter import Segmenter
from segzero.types import Answer, Box, GroundedObject


@dataclass(frozen=True, slots=True)
class RewardContext:
    """How the trained model writes, and what else rewards need.

    model_size: (width, height) in pixels of what the processor makes of every image.
    coordinates, rounding, answer_format: as in `segzero.profiles.Profile`.
    segmenter: for `mask_iou`, which no other reward needs.
    thinking_words: how many words `short_thinking` pays in full.
    """

    model_size: Size
    coordinates: str
    rounding: str
    answer_format: str
    segmenter: Segmenter | None = None
    thinking_words: int = 100

    @property
    def longest_side(self) -> float:
        """The longer side of the image in the units that the model writes."""
        whole = GroundedObject(Box(0, 0, *self.model_size), ())
        size = self.model_size
        box = to_model(Answer("", (whole,), ""), self.coordinates, size, size).objects[0].box
        return max(box.x2, box.y2)

    def answer(self, text: str) -> Answer | None:
        """The completion in the units of the model; None if it is malformed."""
        try:
            return parse(text, self.answer_format)
        except MalformedAnswer:
            return None

    def placed(self, text: str, image_size: Size) -> tuple[GroundedObject, ...] | None:
        """The completion's objects in pixels of the image; None if it is malformed."""
        if (answer := self.answer(text)) is None:
            return None
        try:
            return to_image(
                answer, self.coordinates, self.model_size, image_size, self.rounding
            ).objects
        except MalformedAnswer:  # a box outside the image
            return None
