"""How much of a prompt is the same as before: another question about the same picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

import torch


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A prompt whose keys and values are in a cache.

    Attributes:
        ids: Its tokens.
        pictures: What else the model read, by the processor's names: pixels and grids.
    """

    ids: list[int]
    pictures: dict[str, torch.Tensor]

    @classmethod
    def of(cls, inputs: Mapping[str, torch.Tensor]) -> "Prompt":
        """That of a processor's inputs for one prompt, `input_ids` (1, T) among them."""
        ids = inputs["input_ids"]
        pictures = {
            name: value for name, value in inputs.items() if value.shape[:2] != ids.shape[:2]
        }
        return cls(ids[0].tolist(), pictures)

    def shared(self, other: "Prompt", picture_tokens: frozenset[int]) -> int:
        """Count the tokens that both prompts begin with.

        Args:
            other: The new prompt.
            picture_tokens: Ids that stand for parts of a picture.

        Returns:
            Their number, less than all of the new ones; 0 unless both have the same pictures, and
            all of them among these tokens.
        """
        if self.pictures.keys() != other.pictures.keys() or not all(
            value.shape == other.pictures[name].shape and torch.equal(value, other.pictures[name])
            for name, value in self.pictures.items()
        ):
            return 0
        pairs = zip(self.ids, other.ids[:-1], strict=False)
        count = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        return 0 if picture_tokens & {*self.ids[count:], *other.ids[count:]} else count
