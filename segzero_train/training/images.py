"""Which images of a batch are the same; the samples of a prompt all come with a copy of it."""

from collections.abc import Sequence

import torch


def split_images(pixel_values: torch.Tensor, image_grid_thw: torch.Tensor) -> list[torch.Tensor]:
    """The patches (rows of pixel_values) of each image."""
    return list(torch.split(pixel_values, image_grid_thw.prod(-1).tolist()))


def distinct(tensors: Sequence[torch.Tensor]) -> tuple[list[int], torch.Tensor]:
    """Where each different tensor comes first, and for every tensor (N,) which of those it equals.

    Each in the order of their first places.
    """
    # A sum is quick to compare; only where it agrees need every value be looked at.
    sums = torch.stack([tensor.sum() for tensor in tensors]).tolist()
    kept: list[int] = []
    which = []
    for number, tensor in enumerate(tensors):
        for place, first in enumerate(kept):
            if sums[first] == sums[number] and torch.equal(tensors[first], tensor):
                which.append(place)
                break
        else:
            which.append(len(kept))
            kept.append(number)
    return kept, torch.tensor(which)
