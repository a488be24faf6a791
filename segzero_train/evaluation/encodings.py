"""What the segmenter computes of pictures, once for all questions about each."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzero.pipeline import SegZero

CAPACITY = 16
"""Pictures that are kept at least: datasets list the questions about a picture together.

SAM 2's features of a picture take 17 MB in float32.
"""


class Encodings:
    """Encodes pictures in batches and keeps the last ones, known by their pixels."""

    def __init__(self, model: SegZero) -> None:
        self._model = model
        self._kept: OrderedDict[bytes, Any] = OrderedDict()

    def of(self, images: Sequence[NDArray[np.uint8]], wanted: Sequence[bool]) -> list[Any]:
        """What `SegZero.encode` returns for each image that is wanted, None for the others.

        Args:
            images: (H, W, 3) uint8 RGB each.
            wanted: For each image.

        Returns:
            One for each image, in order.

        Raises:
            BadImage: An image is unusable; no model has run.
            DeviceOutOfMemory: The memory is full.
        """
        keys = [_key(image) if want else None for image, want in zip(images, wanted, strict=True)]
        new = {
            key: image
            for key, image in zip(keys, images, strict=True)
            if key is not None and key not in self._kept
        }
        self._kept |= zip(new, self._model.encode(list(new.values())), strict=True)
        for key in keys:
            if key is not None:
                self._kept.move_to_end(key)
        found = [None if key is None else self._kept[key] for key in keys]
        while len(self._kept) > max(CAPACITY, len(images)):
            self._kept.popitem(last=False)
        return found


def _key(image: NDArray[np.uint8]) -> bytes:
    pixels = hashlib.blake2b(image.tobytes(), digest_size=16)
    pixels.update(str(image.shape).encode())
    return pixels.digest()
