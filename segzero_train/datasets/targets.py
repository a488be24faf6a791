"""From a mask to the target of training: one box and two points."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

PixelBox = tuple[int, int, int, int]
PixelPoint = tuple[int, int]


def box_and_points(mask: NDArray[np.bool_]) -> tuple[PixelBox, tuple[PixelPoint, PixelPoint]]:
    """Compute box and points as in Seg-Zero's training data (arXiv 2503.06520).

    The box holds the leftmost, topmost, rightmost and bottommost pixel of the mask. The first point
    is the maximum of the Euclidean distance transform, in which the image's border is not an edge.
    The second is the maximum over the pixels farther from the first than the median pixel, or the
    first again if there are none. Of equal pixels the first in row order is taken.

    Args:
        mask: (H, W) bool.

    Returns:
        (x1, y1, x2, y2) and ((x, y), (x, y)), in pixels.

    Raises:
        ValueError: The mask isn't two-dimensional or is empty.
    """
    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        raise ValueError(f"a mask must have shape (height, width), not {mask.shape}")
    ys, xs = np.nonzero(mask)
    if not len(xs):
        raise ValueError("the mask is empty: it has neither box nor points")
    x1, y1, x2, y2 = int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())
    # The transform of the crop, with a margin of one pixel, equals that of the image.
    left, top = max(x1 - 1, 0), max(y1 - 1, 0)
    depth = distance_transform_edt(mask[top : y2 + 2, left : x2 + 2])[ys - top, xs - left]
    first = int(depth.argmax())
    distance = np.sqrt((xs - xs[first]) ** 2 + (ys - ys[first]) ** 2)
    far = np.flatnonzero(distance > np.median(distance))
    second = int(far[depth[far].argmax()]) if len(far) else first
    return (x1, y1, x2, y2), (
        (int(xs[first]), int(ys[first])),
        (int(xs[second]), int(ys[second])),
    )
