"""The square picture that a reasoner is given."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def squash(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize a picture to a square, whatever its aspect ratio, as the authors of Seg-Zero do.

    PIL's bilinear filter widens with the factor, so that it doesn't alias when it shrinks a
    picture. OpenCV's doesn't: from 720p on, single pixels differ by 50 and more.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: Sides of the square in pixels.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
