"""How a checkpoint writes its answers."""

from dataclasses import dataclass
from typing import get_args

from segzero.errors import MalformedAnswer
from segzero.reasoning.answers import AnswerFormat, format_answer, parse
from segzero.reasoning.coordinates import Coordinates, Rounding, Size, to_image, to_model
from segzero.types import Answer


@dataclass(frozen=True, slots=True)
class CompletionFormat:
    """What the numbers and keys in a completion mean, as a checkpoint was trained.

    Attributes:
        answer_format: The layout of the answer, see `segzero.reasoning.answers`.
        coordinates: What the numbers count, see `segzero.reasoning.coordinates`.
        rounding: How scaled coordinates become whole pixels.
    """

    answer_format: AnswerFormat
    coordinates: Coordinates
    rounding: Rounding = "half_up"

    def __post_init__(self) -> None:
        for value, kind in (
            (self.answer_format, AnswerFormat),
            (self.coordinates, Coordinates),
            (self.rounding, Rounding),
        ):
            # A name that is misspelt would scale every box wrongly.
            if value not in get_args(kind):
                raise ValueError(f"{value!r} is not one of {', '.join(get_args(kind))}")

    def read(
        self, text: str, model_size: Size, image_size: Size, *, strict: bool = False
    ) -> Answer:
        """Parse a completion into boxes and points in pixels of the image.

        Args:
            text: The completion.
            model_size: (width, height) in pixels of the image that the model saw.
            image_size: (width, height) in pixels of the image that was asked about.
            strict: Whether one bad object makes the whole completion malformed, as for rewards.

        Returns:
            The answer; its boxes and points lie in the image. What could not be used is named in
            `dropped`.

        Raises:
            MalformedAnswer: The text holds no usable object and doesn't say that nothing matches.
        """
        answer = parse(text, self.answer_format, strict=strict)
        moved = to_image(answer, self.coordinates, model_size, image_size, self.rounding)
        if strict and moved.dropped:
            raise MalformedAnswer(moved.dropped[0], text)
        return moved

    def write(self, answer: Answer, model_size: Size, image_size: Size) -> str:
        """Write an answer in pixels of the image as the model writes it.

        Args:
            answer: Reasoning and objects; its `text` is not used.
            model_size: (width, height) in pixels of the image that the model sees.
            image_size: (width, height) in pixels of the image.

        Returns:
            The completion, in whole numbers of the model's units.

        Raises:
            ValueError: The format has no place for these objects or this reasoning.
        """
        scaled = to_model(answer, self.coordinates, model_size, image_size)
        return format_answer(scaled.reasoning, scaled.objects, self.answer_format)
