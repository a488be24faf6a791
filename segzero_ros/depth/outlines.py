"""Outlines of masks in 3D."""

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero_ros.depth.calibration import Intrinsics

MAX_POINTS = 2000
"""Most of an object's points that are searched for the depth of its outline."""


def lift_outlines(
    mask: NDArray[np.bool_],
    points: NDArray[np.float32],
    camera: Intrinsics,
    pose: NDArray[np.float64] | None = None,
) -> list[NDArray[np.float64]]:
    """Back-project the outlines of an object.

    The depth at an outline is unreliable, so that each of its corners takes that of the object's
    point that is nearest in the image.

    Args:
        mask: The object's pixels, (H, W).
        points: Its points, (N, 3) with N > 0.
        camera: The intrinsics of the image.
        pose: (4, 4) transform from the camera's optical frame to that of the points; None if they
            are in the camera's.

    Returns:
        A closed polygon (M, 3) for each part of the mask, without the first corner at its end.
    """
    if len(points) > MAX_POINTS:  # drawn at random: every n-th would lie in a few columns
        points = points[np.random.default_rng(0).integers(len(points), size=MAX_POINTS)]
    seen = points.astype(np.float64)
    if pose is not None:
        seen = (seen - pose[:3, 3]) @ pose[:3, :3]
    focal, centre = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
    pixels = seen[:, :2] / seen[:, 2:] * focal + centre  # (N, 2)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outlines = []
    for contour in contours:
        corners = cv2.approxPolyDP(contour, 1.0, True)[:, 0].astype(np.float64)  # (M, 2)
        distances = ((corners[:, None] - pixels) ** 2).sum(axis=2)  # (M, N)
        z = seen[distances.argmin(axis=1), 2]
        outline = np.column_stack([(corners - centre) / focal * z[:, None], z])
        outlines.append(outline if pose is None else outline @ pose[:3, :3].T + pose[:3, 3])
    return outlines
