"""What some rewards must know beyond a completion and its row."""

from dataclasses import dataclass

from segzero.errors import MalformedAnswer
from segzero.reasoning.answers import parse
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.coordinates import Size, to_model
from segzero.segmentation.segmenter import Segmenter
from segzero.types import Answer, GroundedObject, Point


@dataclass(frozen=True, slots=True)
class RewardContext:
    """How the trained model writes, and what else rewards need.

    Attributes:
        model_size: (width, height) in pixels of what the processor makes of every image.
        completion_format: What numbers and keys in a completion mean.
        segmenter: For the rewards of `NEED_MASKS`; no other reward needs it.
        thinking_words: Up to how many words `short_thinking` pays in full.
        max_completion_length: In tokens, for `overlong`.
        overlong_tokens: How many of them before the end `overlong` begins to cost.
    """

    model_size: Size
    completion_format: CompletionFormat
    segmenter: Segmenter | None = None
    thinking_words: int = 100
    max_completion_length: int = 2000
    overlong_tokens: int = 400

    @property
    def longest_side(self) -> float:
        """The longer side of the image in the units that the model writes."""
        size = self.model_size
        whole = GroundedObject(None, (Point(*size),))
        scaled = to_model(Answer("", (whole,), ""), self.completion_format.coordinates, size, size)
        corner = scaled.objects[0].points[0]
        return max(corner.x, corner.y)

    def answer(self, text: str) -> Answer | None:
        """The completion in the units of the model; None if it is malformed, read strictly."""
        try:
            return parse(text, self.completion_format.answer_format, strict=True)
        except MalformedAnswer:
            return None

    def placed(self, text: str, image_size: Size) -> tuple[GroundedObject, ...] | None:
        """The completion's objects in the image.

        Args:
            text: The completion.
            image_size: (width, height) of the image in pixels.

        Returns:
            The objects in pixels of the image; None if the completion, read strictly, is malformed
            or has a box outside the image.
        """
        try:
            return self.completion_format.read(
                text, self.model_size, image_size, strict=True
            ).objects
        except MalformedAnswer:
            return None
