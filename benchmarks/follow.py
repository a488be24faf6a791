"""`python benchmarks/follow.py`: frames per second and memory, against an unpruned video session.

Both follow the same objects through the same moving tabletop on the same weights, in turn. The
baseline is transformers' streaming session as documented, which keeps every frame's outputs. The
tracker keeps objects apart and is slower to lose and to find them; its steps without these rules
have to draw what the baseline draws, and both are compared with the ground truth.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models
import numpy as np
import psutil
import records
import torch
from numpy.typing import NDArray
from transformers import Sam2VideoInferenceSession

from segzero.devices import resolve_device
from segzero.pipeline import SegZero
from segzero.segmentation.tracker import mask_prompt, upscale
from segzero.segmentation.video_memory import ObjectMemory, decode, encode_memory, init_memory
from segzero.types import Box, GroundedObject, Point, SegmentedObject
from segzero_sim.motion import set_in_motion
from segzero_sim.questions import look
from segzero_sim.tabletop import TabletopRenderer, draw_usable

RATE = 30
_WARM = 30
"""Frames that are not counted: memories fill up."""
_SEED = 500_000

Masks = list[NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames, where the objects are in the first, and their true masks in each."""

    frames: list[NDArray[np.uint8]]
    objects: list[GroundedObject]
    ground_truth: list[Masks]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Seconds of each frame, memory (bytes) at the first counted frame and the last, and masks."""

    seconds: list[float]
    memory: tuple[int, int]
    masks: list[Masks]


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument("--random", metavar="SEGMENTER", help="of full size, random weights")
    parser.add_argument("--frames", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--size", type=int, nargs=2, default=[320, 240], help="width and height")
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "follow.json")
    options = parser.parse_args()
    device = resolve_device(options.device)
    if options.random:
        segzero = models.random("qwen2.5-vl-3b", options.random, 1, device)
    else:
        segzero = SegZero.load(options.profile, str(device))
    rows = []
    with TabletopRenderer(*options.size) as renderer:
        for count in options.objects:
            clip = film(renderer, count, options.frames + _WARM)
            rows.append({"objects": count, **compare(segzero, clip, options.repeats)})
            print(rows[-1], flush=True)
    width, height = options.size
    figures = {
        "models": options.random or options.profile,
        "camera": f"{width}x{height}, {options.frames} frames after {_WARM}",
        "rows": rows,
    }
    records.record(figures, ("torch", "transformers"), options.out)
    print(tables(rows))
    return 0


def film(renderer: TabletopRenderer, count: int, length: int) -> Clip:
    """A moving scene with at least `count` objects."""
    for seed in range(_SEED, _SEED + 1000):
        scene, first = draw_usable(renderer, seed, depth=False)
        seen = look(scene, first.ids)
        if len(seen) >= count:
            break
    motion = set_in_motion(scene)
    shown = [renderer.render(motion.at(k / RATE), depth=False) for k in range(length)]
    return Clip(
        frames=[frame.rgb for frame in shown],
        objects=[_ground(first.ids == item.id) for item in seen[:count]],
        ground_truth=[[frame.ids == item.id for item in seen[:count]] for frame in shown],
    )


def compare(segzero: SegZero, clip: Clip, repeats: int) -> dict[str, Any]:
    """Run both in turn, `repeats` times; speeds are medians over frames, then over repeats."""
    frames, found = clip.frames, segzero.segment(clip.frames[0], clip.objects)
    ways: list[Callable[..., Run]] = [_unpruned, _tracker]
    runs: dict[Callable[..., Run], list[Run]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            gc.collect()
            runs[way].append(way(segzero, frames, found))
        ways.reverse()
    rates = {way: [1 / float(np.median(run.seconds)) for run in runs[way]] for way in runs}
    ratios = [fast / plain for fast, plain in zip(rates[_tracker], rates[_unpruned], strict=True)]
    plain, ground_truth = runs[_unpruned][0].masks, clip.ground_truth[1:]
    grown = {way: max(run.memory[1] - run.memory[0] for run in runs[way]) for way in runs}
    return {
        "baseline [frames/s]": records.spread(rates[_unpruned]),
        "tracker [frames/s]": records.spread(rates[_tracker]),
        "times as fast": records.spread(ratios, 2),
        "baseline grew [MB]": round(grown[_unpruned] / 1e6, 1),
        "tracker grew [MB]": round(grown[_tracker] / 1e6, 1),
        "IoU without rules": round(agreement(plain, _steps(segzero, frames, found)), 4),
        "baseline IoU with ground truth": round(accuracy(plain, ground_truth), 3),
        "tracker IoU with ground truth": round(accuracy(runs[_tracker][0].masks, ground_truth), 3),
    }


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """The figures for people."""
    names = [name for name in rows[0] if name != "objects"]
    cells = [[row["objects"], *(records.cell(row[name]) for name in names)] for row in rows]
    return records.table([("objects", *names), *cells])


def _tracker(
    segzero: SegZero, frames: Sequence[NDArray[np.uint8]], objects: Sequence[SegmentedObject]
) -> Run:
    following = segzero.track(frames[0], objects)
    try:
        return _time(frames[1:], lambda image: [item.mask for item in following.step(image)])
    finally:
        following.close()


@torch.inference_mode()
def _steps(
    segzero: SegZero, frames: Sequence[NDArray[np.uint8]], objects: Sequence[SegmentedObject]
) -> list[Masks]:
    """What the tracker's steps draw without its rules."""
    segmenter: Any = segzero._segmenter
    model, size, count = segmenter._video, frames[0].shape[1::-1], len(objects)
    encoded = (segmenter.encode(frame).expand(count) for frame in frames)
    first = next(encoded)
    masks = torch.cat([mask_prompt(item.mask, model.image_size) for item in objects])
    memory = ObjectMemory(model, init_memory(model, first, masks.to(first.image_embed)))
    drawn = []
    for frame in encoded:
        output = decode(model, frame, memory.condition_on_memory(frame.image_embed))
        present = output.object_score_logits > 0
        logits = output.best_masks(present)
        memory.add(encode_memory(model, frame, logits, present, output.object_pointer))
        low_res = logits[:, 0].float().cpu().numpy()
        drawn.append(upscale(low_res, present.flatten().tolist(), size))
    return drawn


def _unpruned(
    segzero: SegZero, frames: Sequence[NDArray[np.uint8]], objects: Sequence[SegmentedObject]
) -> Run:
    segmenter: Any = segzero._segmenter
    model, processor = models.in_one_dtype(segmenter._video), segmenter._processor
    session = Sam2VideoInferenceSession(
        inference_device=model.device, inference_state_device=model.device, dtype=model.dtype
    )
    height, width = frames[0].shape[:2]

    @torch.inference_mode()
    def step(image: NDArray[np.uint8]) -> Masks:
        pixels = processor(images=image, return_tensors="pt")["pixel_values"]
        found = model(inference_session=session, frame=pixels[0].to(model.device, model.dtype))
        # transformers trips over its pointers' extra axis where they are as narrow as memories.
        for outputs in session.output_dict_per_obj.values():
            for kept in outputs.values():
                if now := kept.get(found.frame_idx):
                    now["object_pointer"] = now["object_pointer"].view(1, -1)
        drawn = processor.post_process_masks(
            [found.pred_masks.float().cpu()],
            [(height, width)],
            apply_non_overlapping_constraints=True,
        )
        return list(drawn[0][:, 0].numpy())

    for item in objects:
        index = session.obj_id_to_idx(item.id)
        mask = torch.from_numpy(item.mask.astype(np.float32))[None, None]
        mask = torch.nn.functional.interpolate(
            mask, (model.image_size, model.image_size), mode="bilinear", antialias=True
        )
        session.add_mask_inputs(index, 0, (mask >= 0.5).float().to(model.device))
    session.obj_with_new_inputs = [item.id for item in objects]
    step(frames[0])
    return _time(frames[1:], step)


def _time(frames: Sequence[NDArray[np.uint8]], step: Callable[[NDArray[np.uint8]], Masks]) -> Run:
    seconds, masks, before = [], [], 0
    for number, frame in enumerate(frames):
        start = time.perf_counter()
        masks.append(step(frame))
        if number == _WARM - 1:
            before = _memory()
        elif number >= _WARM:
            seconds.append(time.perf_counter() - start)
    size = sum(mask.nbytes for found in masks[_WARM:] for mask in found)
    return Run(seconds, (before, _memory() - size), masks)


def _memory() -> int:
    """Bytes that this process holds: on the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    return psutil.Process(os.getpid()).memory_info().rss


def agreement(plain: list[Masks], fast: list[Masks]) -> float:
    """The mean over frames of the lowest IoU of an object's two masks."""
    return float(np.mean([min(_ious(a, b)) for a, b in zip(plain, fast, strict=True)]))


def accuracy(found: list[Masks], ground_truth: list[Masks]) -> float:
    """The mean IoU over objects and frames."""
    return float(np.mean([[*_ious(a, b)] for a, b in zip(found, ground_truth, strict=True)]))


def _ious(plain: Masks, fast: Masks) -> Iterator[float]:
    for a, b in zip(plain, fast, strict=True):
        union = (a | b).sum()
        yield float((a & b).sum() / union) if union else 1.0


def _ground(mask: NDArray[np.bool_]) -> GroundedObject:
    rows, columns = np.nonzero(mask)
    box = Box(float(columns.min()), float(rows.min()), columns.max() + 1.0, rows.max() + 1.0)
    middle = len(rows) // 2
    return GroundedObject(box=box, points=(Point(float(columns[middle]), float(rows[middle])),))


if __name__ == "__main__":
    sys.exit(main())
