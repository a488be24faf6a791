"""YUV with the luma in one plane and the chroma, interleaved, in a second one."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SemiPlanar:
    """Layout of a semi-planar encoding.

    Attributes:
        subsampling: Luma pixels per chroma sample, in each direction: 2 for 4:2:0, 1 for 4:4:4.
        v_first: Whether V comes before U.
    """

    subsampling: int
    v_first: bool = False

    def chroma_step(self, step: int) -> int:
        """Return the bytes of a row of chroma, from those of a row of luma."""
        return step * 2 // self.subsampling

    def size(self, step: int, height: int) -> int:
        """Return the bytes of both planes."""
        return step * height + self.chroma_step(step) * (height // self.subsampling)


SEMI_PLANAR = {
    "nv12": SemiPlanar(2),
    "nv21": SemiPlanar(2, v_first=True),
    "nv24": SemiPlanar(1),
}
"""Layouts by encoding; nv12 is not in sensor_msgs, but many drivers publish it."""


def semi_planar_to_rgb(
    data: NDArray[np.uint8], height: int, width: int, step: int, layout: SemiPlanar
) -> NDArray[np.uint8]:
    """Convert ITU-R BT.601 with limited range to RGB, as OpenCV does with packed YUV.

    Args:
        data: (layout.size(step, height),), the planes one after the other.
        height: Rows of the image, a multiple of the subsampling.
        width: Columns of the image, a multiple of the subsampling.
        step: Bytes of a row of luma.
        layout: Of the planes.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rows, pairs = height // layout.subsampling, width // layout.subsampling
    luma = data[: step * height].reshape(height, step)[:, :width]  # (H, W)
    chroma = data[step * height :].reshape(rows, layout.chroma_step(step))[:, : 2 * pairs]
    chroma = np.ascontiguousarray(chroma).reshape(rows, pairs, 2)
    if layout.subsampling == 2:
        code = cv2.COLOR_YUV2RGB_NV21 if layout.v_first else cv2.COLOR_YUV2RGB_NV12
        two_planes: NDArray = cv2.cvtColorTwoPlane(np.ascontiguousarray(luma), chroma, code)
        return two_planes
    # OpenCV has no code for 4:4:4. In packed 4:2:2 two pixels share their chroma: here each pixel
    # is written twice.
    packed = np.empty((height, width, 2, 2), np.uint8)
    packed[..., 0] = luma[..., None]
    packed[..., 1] = chroma[..., ::-1] if layout.v_first else chroma
    rgb: NDArray = cv2.cvtColor(packed.reshape(height, 2 * width, 2), cv2.COLOR_YUV2RGB_YUY2)
    pixels: NDArray = np.ascontiguousarray(rgb[:, ::2])
    return pixels
