"""Which images of a batch are equal: every sample of a prompt comes with a copy of its image."""

from collections.abc import Sequence

import torch


def split_images(pixel_values: torch.Tensor, image_grid_thw: torch.Tensor) -> list[torch.Tensor]:
    """Split the patches of a batch by image.

    Args:
        pixel_values: (patches of all images, D).
        image_grid_thw: (images, 3), patches of each image in time, height and width.

    Returns:
        The patches (t h w, D) of each image.
    """
    return list(torch.split(pixel_values, image_grid_thw.prod(-1).tolist()))


def distinct(tensors: Sequence[torch.Tensor]) -> tuple[list[int], torch.Tensor]:
    """Find equal tensors.

    Args:
        tensors: N tensors of any shapes.

    Returns:
        The index of the first of each K different tensors, ascending; and (N,) int64, which of
        these K each tensor equals.
    """
    # Sums are compared first, whole tensors only where the sums agree.
    sums = torch.stack([tensor.sum() for tensor in tensors]).tolist()
    first_indices: list[int] = []
    groups = []
    for index, tensor in enumerate(tensors):
        for group, first in enumerate(first_indices):
            if sums[first] == sums[index] and torch.equal(tensors[first], tensor):
                groups.append(group)
                break
        else:
            groups.append(len(first_indices))
            first_indices.append(index)
    return first_indices, torch.tensor(groups)
