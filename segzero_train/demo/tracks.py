"""Objects through clips, drawn by chance: the batches that the demo's video memory learns from."""

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
from segzero_train.demo.frames import save_arrays
from segzero_train.demo.segmenter import image_processor

BATCH = 48
"""Objects times frames in a batch."""
CLEARLY = 40
"""Pixels of SIDE x SIDE from which an object counts as seen; between 0 and this it may be both."""
_CUTS = 1 / 3
"""Share of the objects for which there is a cut to another table."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """B objects through L frames. frames: L features. masks: (L, B, S, S) of 0 and 1."""

    frames: Sequence[Features]
    masks: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Clips with all that tracks are drawn by.

    encoded: for each shard its features, from fine to coarse. areas, crowds, rivals: see `Clips`.
    """

    clips: Clips
    encoded: Sequence[tuple[NDArray[np.float16], ...]]
    areas: NDArray[np.int64]
    crowds: NDArray[np.bool_]
    rivals: dict[tuple[int, int], NDArray[np.int64]]


def open_footage(model: Any, clips: Clips, folder: Path) -> Footage:
    """Encode all frames with the model's frozen vision encoder; the features stay in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder, encoded = ImageEncoder(model), []
    for number, rgb in enumerate(tqdm(clips.rgb, desc="encode", unit="shard")):
        files = [folder / f"{level}-{number:04d}.npy" for level in ("fine", "middle", "coarse")]
        if not files[-1].exists():
            rows = [_encode(encoder, clip, model.device) for clip in rgb]
            save_arrays(files, [np.stack(level) for level in zip(*rows, strict=True)])
        encoded.append(tuple(np.load(file, mmap_mode="r") for file in files))
    return Footage(clips, encoded, clips.areas(), clips.crowds(), clips.rivals())


def sample_track(
    footage: Footage, length: int, rng: np.random.Generator, device: torch.device
) -> Track:
    """Objects clearly seen at first; where possible a third leaves later, a third is crowded.

    Some are cut away from to another table, with things of the same colour or shape, and perhaps
    back: only what is alike in both is the same.
    """
    starts = LENGTH - length + 1
    usable = footage.areas[:, :starts] >= CLEARLY
    windows = np.lib.stride_tricks.sliding_window_view(footage.areas, length, axis=1)
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
        torch.from_numpy(np.stack(level, axis=1)).to(device).float()
        for level in zip(*levels, strict=True)
    ]
    return Track(
        frames=[Features(*(stack[k] for stack in stacks)) for k in range(length)],
        masks=torch.from_numpy(np.stack(masks, axis=1)).to(device).float(),
    )


@torch.inference_mode()
def _encode(
    encoder: ImageEncoder, rgb: NDArray[np.uint8], device: torch.device
) -> list[NDArray[np.float16]]:
    """(T, S, S, 3) RGB to (T, C, h, w) features of each level."""
    pixels = image_processor()(images=list(rgb), return_tensors="pt")["pixel_values"]
    found = encoder(pixels.to(device))
    return [
        level.half().cpu().numpy()
        for level in (found.high_res_0, found.high_res_1, found.image_embed)
    ]


def _film(
    footage: Footage, clip: int, span: slice, item: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], list[NDArray[np.float16]]]:
    """An object's masks and its frames' features, perhaps with a cut to another table."""
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
