"""The box of an object that is turned as the object is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUND = 0.1
"""Two axes along which an object's spread differs by less than this share have no direction."""


@dataclass(frozen=True, slots=True, eq=False)
class OrientedBox:
    """A box around the visible part of an object, in metres.

    Attributes:
        center: Its centre, (3,).
        rotation: Its axes as columns, (3, 3), right-handed: x along the largest spread of the
            points, z along the smallest, away from the camera.
        size: Its lengths along these axes, (3,).
    """

    center: NDArray[np.float64]
    rotation: NDArray[np.float64]
    size: NDArray[np.float64]


def oriented_box(
    points: NDArray[np.float32], viewpoint: NDArray[np.float64] | None = None
) -> OrientedBox:
    """Fit a box by the principal axes of an object's points.

    Axes with the same spread, as of a ball, would turn with every frame. They are laid along the
    axes of the frame instead.

    Args:
        points: The object's points, (N, 3) with N > 0.
        viewpoint: Where the camera is, (3,); None is the origin.
    """
    centred = np.ascontiguousarray(points.T, np.float64)  # (3, N): NumPy reduces rows faster
    mean = centred.mean(axis=1)
    centred -= mean[:, None]
    variances, axes = np.linalg.eigh(centred @ centred.T / len(points))  # rising
    spreads = np.sqrt(np.maximum(variances[::-1], 0))
    rotation = _settled(axes[:, ::-1], spreads)
    rotation = _pointed(rotation, mean if viewpoint is None else mean - viewpoint)
    local = rotation.T @ centred  # (3, N) along the axes
    low, high = local.min(axis=1), local.max(axis=1)
    return OrientedBox(mean + rotation @ ((low + high) / 2), rotation, high - low)


def _settled(axes: NDArray[np.float64], spreads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace the axes (3, 3), by falling spread (3,), that the points leave open."""
    first, second = spreads[1:] >= (1 - ROUND) * spreads[:-1]
    if first and second:
        return np.eye(3)
    if first:
        x = _within_plane(normal=axes[:, 2])
        return np.stack([x, np.cross(axes[:, 2], x), axes[:, 2]], axis=1)
    if second:
        y = _within_plane(normal=axes[:, 0])
        return np.stack([axes[:, 0], y, np.cross(axes[:, 0], y)], axis=1)
    return axes


def _within_plane(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first of the frame's axes that lies nearly in a plane, laid into it."""
    laid = np.eye(3) - np.outer(normal, normal)  # row k is axis k
    lengths = np.linalg.norm(laid, axis=1)
    k = int(np.argmax(lengths > 0.5))  # two of three are longer
    return laid[k] / lengths[k]


def _pointed(axes: NDArray[np.float64], view: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the axes their signs: z along `view`, x along the frame's x."""
    x, z = axes[:, 0], axes[:, 2]
    z = -z if z @ view < 0 else z
    x = -x if x[0] < 0 else x
    return np.stack([x, np.cross(z, x), z], axis=1)
