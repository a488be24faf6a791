"""Pictures for `gpu.py` that are drawn without OpenGL."""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def questions() -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Pictures and questions without end."""
    for frame, _ in discs(3, 840, 840):
        yield frame, "the red ball beside the two others"


def discs(
    count: int, width: int, height: int
) -> Iterator[tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]]:
    """A moving picture of discs, each with a place of its own, and their masks."""
    columns = int(np.ceil(np.sqrt(count)))
    cell_x, cell_y = width / columns, height / columns
    radius = 0.3 * min(cell_x, cell_y)
    y, x = np.mgrid[:height, :width]
    ground = (60 + 40 * x / width + 40 * y / height).astype(np.uint8)
    colors = np.random.default_rng(0).integers(80, 256, (count, 3))
    for time_step in itertools.count():
        picture = np.repeat(ground[..., None], 3, axis=-1)
        masks = []
        for number in range(count):
            angle = time_step / 20 + number
            center_x = (number % columns + 0.5) * cell_x + 0.15 * cell_x * np.cos(angle)
            center_y = (number // columns + 0.5) * cell_y + 0.15 * cell_y * np.sin(angle)
            mask = (x - center_x) ** 2 + (y - center_y) ** 2 < radius**2
            picture[mask] = colors[number]
            masks.append(mask)
        yield picture, masks
