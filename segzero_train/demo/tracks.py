"""Random objects followed through clips: the training batches of the demo's video memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from segzero.segmentation.image_encoder import Features, ImageEncoder
from segzero_train.demo.clips import LENGTH, Clips
from segzero_train.demo.segmenter import image_processor
from segzero_train.demo.shards import save_arrays, shard_files

BATCH = 48
"""Objects times frames in a batch."""
CLEARLY = 40
"""Pixels, of SIDE x SIDE, from which an object is clearly visible; fewer, but some, are unclear."""
_LEVELS = ("high_res_0", "high_res_1", "image_embed")
_CUTS = 1 / 3
"""Probability of a cut to another table."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """B objects through L frames.

    Attributes:
        frames: Features of L frames, each of B images.
        masks: (L, B, S, S) float32 of 0 and 1.
    """

    frames: Sequence[Features]
    masks: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Clips with the data by which tracks are drawn.

    Attributes:
        clips: The clips.
        encoded: Features of each shard: high_res_0, high_res_1 and image_embed, each
            (SHARD, LENGTH, C, h, w) float16.
        areas: See `Clips.areas`.
        crowds: See `Clips.crowds`.
        rivals: See `Clips.rivals`.
    """

    clips: Clips
    encoded: Sequence[tuple[NDArray[np.float16], ...]]
    areas: NDArray[np.int64]
    crowds: NDArray[np.bool_]
    rivals: dict[tuple[int, int], NDArray[np.int64]]


def open_footage(model: Any, clips: Clips, folder: Path) -> Footage:
    """Encode all frames with the model's frozen vision encoder.

    Args:
        model: A Sam2VideoModel.
        clips: What to encode.
        folder: Keeps the features; files that are there are not made again.

    Returns:
        The clips with their features.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder, encoded = ImageEncoder(model), []
    for number, rgb in enumerate(tqdm(clips.rgb, desc="encode", unit="shard")):
        files = shard_files(folder, _LEVELS, number)
        if not files[-1].exists():
            rows = [_encode(encoder, clip, model.device) for clip in rgb]
            save_arrays(files, [np.stack(level) for level in zip(*rows, strict=True)])
        encoded.append(tuple(np.load(file, mmap_mode="r") for file in files))
    return Footage(clips, encoded, clips.areas(), clips.crowds(), clips.rivals())


def sample_track(
    footage: Footage, length: int, rng: np.random.Generator, device: torch.device
) -> Track:
    """Draw a batch of objects that are clearly visible in their first frame.

    If possible, a third of them leaves the picture later, and a third has another object near it.
    For some there is a cut to another table with objects alike in colour or shape, and perhaps
    back: an object is the same only if it is alike in both.

    Args:
        footage: To draw from.
        length: L, the number of frames.
        rng: Draws the objects.
        device: Of the tensors.

    Returns:
        BATCH // L objects.
    """
    starts = LENGTH - length + 1  # possible first frames, F
    usable = footage.areas[:, :starts] >= CLEARLY  # (clips, F, objects)
    windows = np.lib.stride_tricks.sliding_window_view(footage.areas, length, axis=1)
    # windows: (clips, F, objects, L)
    vanishing = usable & (windows == 0).any(-1)
    crowded = usable & footage.crowds[:, :starts]
    pools = [
        np.argwhere(usable),
        *(np.argwhere(some) for some in (vanishing, crowded) if some.any()),
    ]
    masks, levels = [], []
    for _ in range(BATCH // length):
        pool = pools[rng.integers(len(pools))]
        clip, first, item = pool[rng.integers(len(pool))]
        mask, level = _film(footage, clip, slice(first, first + length), item, rng)
        masks.append(mask)
        levels.append(level)
    stacks = [
        torch.from_numpy(np.stack(level, axis=1)).to(device).float()  # (L, B, C, h, w)
        for level in zip(*levels, strict=True)
    ]
    return Track(
        frames=[Features(*(stack[k] for stack in stacks)) for k in range(length)],
        masks=torch.from_numpy(np.stack(masks, axis=1)).to(device).float(),  # (L, B, S, S)
    )


@torch.inference_mode()
def _encode(
    encoder: ImageEncoder, rgb: NDArray[np.uint8], device: torch.device
) -> list[NDArray[np.float16]]:
    """(T, S, S, 3) uint8 RGB to (T, C, h, w) float16 features of each level."""
    pixels = image_processor()(images=list(rgb), return_tensors="pt")["pixel_values"]
    found = encoder(pixels.to(device))
    return [getattr(found, level).half().cpu().numpy() for level in _LEVELS]


def _film(
    footage: Footage, clip: int, span: slice, item: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], list[NDArray[np.float16]]]:
    """An object's masks (L, S, S) and features (L, C, h, w), perhaps with a cut."""
    clips, encoded = footage.clips, footage.encoded
    shard, row = divmod(clip, len(clips.ids[0]))
    mask = clips.ids[shard][row, span] == item + 1
    features = [np.array(level[row, span]) for level in encoded[shard]]
    others = footage.rivals[*clips.looks[shard][row, item].tolist()]
    if rng.random() < _CUTS and len(others):
        length = len(mask)
        cut = int(rng.integers(1, length))
        away = slice(cut, int(rng.integers(cut + 1, length + 3)))
        shard, row = divmod(int(rng.choice(others)), len(clips.ids[0]))
        for own, other in zip(features, encoded[shard], strict=True):
            own[away] = other[row, span][away]
        mask[away] = False
    return mask, features
