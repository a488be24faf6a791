"""cv_bridge, if it is installed and works."""

import functools
import importlib.util
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

_TRIAL = """
import numpy
from cv_bridge.boost.cv_bridge_boost import cvtColor2
assert cvtColor2(numpy.zeros((2, 2, 3), numpy.uint8), "bgr8", "rgb8").shape == (2, 2, 3)
"""


@functools.cache
def cv_bridge_usable() -> bool:
    """Whether cv_bridge converts an image.

    A cv_bridge compiled for another major version of NumPy may crash the process instead of
    raising. So the first trial runs in its own process.
    """
    if importlib.util.find_spec("cv_bridge") is None:
        return False
    trial = subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, check=False)
    return trial.returncode == 0


def to_rgb(pixels: NDArray, encoding: str) -> NDArray[np.uint8]:
    """Convert pixels with cv_bridge.

    Args:
        pixels: (H, W, channels).
        encoding: A colour, Bayer or YUV encoding of sensor_msgs/Image.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    from cv_bridge.boost.cv_bridge_boost import cvtColor2

    contiguous = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return cvtColor2(contiguous, encoding, "rgb8")
