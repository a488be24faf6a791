"""Masks as COCO's compressed run lengths."""

import numpy as np
from numpy.typing import NDArray


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, object]:
    """Encode a mask as COCO's tools do.

    Args:
        mask: (H, W) bool.

    Returns:
        `size`, [H, W], and `counts`: the lengths of the runs down the columns, the first of
        background, as text.
    """
    pixels = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(pixels[1:] != pixels[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    if len(counts) > 1 and not counts[-1]:
        counts.pop()  # the mask ends in its last pixel
    return {"size": list(mask.shape), "counts": _compress(counts)}


def _compress(counts: list[int]) -> str:
    """Write each number in characters of five bits, low bits first; a sixth says that more come.

    From the fourth number on, each is the difference to the number before the last.
    """
    text = bytearray()
    for number, count in enumerate(counts):
        value = count - counts[number - 2] if number > 2 else count
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(48 + bits + 32 * more)
    return text.decode("ascii")
