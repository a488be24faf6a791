"""From a mask to what the model is asked to write: one box and two points."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

PixelBox = tuple[int, int, int, int]
PixelPoint = tuple[int, int]


def box_and_points(mask: NDArray[np.bool_]) -> tuple[PixelBox, tuple[PixelPoint, PixelPoint]]:
    """((x1, y1, x2, y2), ((x, y), (x, y))) of a (H, W) bool mask, as in Seg-Zero's training data.

    The box holds the leftmost, topmost, rightmost and bottommost pixel of the mask. The first point
    is the pixel deepest inside (the maximum of the Euclidean distance transform, in which the
    image's border isn't an edge); the second is the deepest of those farther from the first than
    the median pixel, or the first again if there are none. Of equals, the first row by row.

    Raises ValueError if the mask isn't two-dimensional or is empty.
    """
    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        raise ValueError(f"a mask must have shape (height, width), not {mask.shape}")
    ys, xs = np.nonzero(mask)
    if not len(xs):
        raise ValueError("the mask is empty: it has neither box nor points")
    x1, y1, x2, y2 = int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())
    # With a margin of one pixel the transform of the cut-out is that of the image, and quicker.
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
