"""`python benchmarks/follow_tabletop.py`: how well objects are followed on a moving tabletop.

Each clip lasts five seconds at 30 Hz; objects slide, one may leave, the camera sways. One to three
objects are segmented in the first frame from their true boxes and points (with `--ask`: as the
answer to a question) and followed through the other frames. Figures and a picture go to
`benchmarks/results/follow-tabletop.*`.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import records
from numpy.typing import NDArray
from PIL import Image

from segzero import overlay
from segzero.errors import MalformedAnswer
from segzero.metrics import bootstrap
from segzero.pipeline import SegZero
from segzero.types import Segmentation, SegmentedObject, TrackedObject
from segzero_sim.motion import Motion, set_in_motion
from segzero_sim.questions import Question, look, sample_question
from segzero_sim.scene import Scene
from segzero_sim.tabletop import Frame, TabletopRenderer, draw_usable
from segzero_train.datasets.tabletop import to_sample

FIRST_SEED = 300_000
"""No training scene or clip has seeds from here to a million."""
FRAMES, RATE = 150, 30
WIDTH, HEIGHT = 320, 240
_VISIBLE = 0.0003
"""Share of the picture from which an object counts as visible: 23 pixels."""
_GONE = 10
"""Frames without a pixel of an object until it counts as gone; the tracker has as many for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """One object through the (T,) frames after the first.

    area: its true share of the picture. iou: of mask and ground truth. seen: whether the tracker
    reports it. swapped: the mask covers an object of another shape or colour more than its own.
    """

    name: str
    area: NDArray[np.float64]
    iou: NDArray[np.float64]
    seen: NDArray[np.bool_]
    swapped: NDArray[np.bool_]

    @property
    def visible(self) -> NDArray[np.bool_]:
        return self.area >= _VISIBLE

    def leaves(self) -> list[int]:
        """For each time that it leaves: frames until the tracker says so."""
        delays = []
        for start, end in _runs(self.area == 0):
            if end - start > _GONE:
                lost = np.flatnonzero(~self.seen[start:end])
                delays.append(int(lost[0]) if len(lost) else end - start)
        return delays


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--ask", action="store_true", help="find the objects by a question")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "follow-tabletop.json")
    options = parser.parse_args()
    model = SegZero.load(options.profile, options.device)
    clips: list[list[Followed]] = []
    milliseconds: list[float] = []
    pictures: list[NDArray[np.uint8]] = []
    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        for number in range(options.clips):
            first = pictures if not number else []
            clips.append(follow_clip(model, renderer, number, options.ask, milliseconds, first))
            print(_line(number, clips[-1]), flush=True)
    figures = {
        "camera": f"{WIDTH}x{HEIGHT} at {RATE} Hz, {FRAMES} frames a clip",
        **summary(clips),
        "milliseconds per step": _percentiles(milliseconds),
        "clips": [[_row(item) for item in clip] for clip in clips],
    }
    records.record(figures, ("torch", "transformers", "mujoco"), options.out)
    if pictures:
        Image.fromarray(np.hstack(pictures)).save(options.out.with_suffix(".png"))
    print(json.dumps({key: figures[key] for key in figures if key != "clips"}, indent=2))
    return 0


def follow_clip(
    model: SegZero,
    renderer: TabletopRenderer,
    number: int,
    ask: bool,
    milliseconds: list[float],
    pictures: list[NDArray[np.uint8]],
) -> list[Followed]:
    """Follow through clip `number`; appends each step's time, and six pictures.

    The list is empty where an answer finds no object.
    """
    scene, first = draw_usable(renderer, FIRST_SEED + number, depth=False)
    motion = set_in_motion(scene)
    found = _found(model, scene, motion, first, np.random.default_rng(number), ask)
    if not found:
        return []
    tracker = model.track(first.rgb, list(found.values()))
    own = {item.id: number for number, item in found.items()}
    rows = []
    for k in range(1, FRAMES):
        frame = renderer.render(motion.at(k / RATE), depth=False)
        start = time.perf_counter()
        tracked = tracker.step(frame.rgb)
        milliseconds.append(1000 * (time.perf_counter() - start))
        rows.append([_compare(item, own[item.id], frame.ids, scene) for item in tracked])
        if k % 29 == 1:
            pictures.append(_picture(frame.rgb, tracked, k))
    tracker.close()
    columns = np.array(rows).transpose(1, 2, 0)
    return [
        Followed(_name(scene, number), area, iou, seen.astype(bool), swapped.astype(bool))
        for number, (area, iou, seen, swapped) in zip(found, columns, strict=True)
    ]


def summary(clips: Sequence[Sequence[Followed]]) -> dict[str, Any]:
    """All figures; the interval is a percentile bootstrap over clips."""
    clips = [clip for clip in clips if clip]
    ious = [np.concatenate([item.iou[item.visible] for item in clip]) for clip in clips]

    def mean(pick: NDArray) -> float:
        return float(np.concatenate([ious[index] for index in pick]).mean())

    estimate = bootstrap(mean, len(ious))
    items = [item for clip in clips for item in clip]
    visible = np.concatenate([item.visible for item in items])
    seen = np.concatenate([item.seen for item in items])
    delays = [delay for item in items for delay in item.leaves()]
    return {
        "objects followed": len(items),
        "visible frames": int(visible.sum()),
        "mean iou": round(estimate.value, 4),
        "95 %": [round(estimate.low, 4), round(estimate.high, 4)],
        "worst clip": round(min(float(values.mean()) for values in ious), 4),
        "swapped frames": int(sum(item.swapped.sum() for item in items)),
        "objects ever swapped": sum(bool(item.swapped.any()) for item in items),
        "visible but lost": round(float((visible & ~seen).sum() / visible.sum()), 4),
        "times left": len(delays),
        "frames until lost": _percentiles(delays),
        f"lost within {_GONE} frames": sum(delay <= _GONE for delay in delays),
    }


def _found(
    model: SegZero,
    scene: Scene,
    motion: Motion,
    first: Frame,
    rng: np.random.Generator,
    ask: bool,
) -> dict[int, SegmentedObject]:
    """What to follow, by the true id of the object that each mask is of."""
    seen = look(scene, first.ids)
    if ask:
        question = sample_question(seen, int(rng.integers(1, 5)), rng)
        try:
            found = model.ask(first.rgb, question.text).objects if question else ()
        except MalformedAnswer:
            found = ()
    else:
        some = rng.permutation([item.id for item in seen])[: int(rng.integers(1, 4))]
        # Who leaves is followed in any case.
        gone = [number for number, path in enumerate(motion.paths, 1) if path.leave is not None]
        chosen = Question(category=1, text="", ids=tuple(sorted({*map(int, some), *gone})))
        found = model.segment(first.rgb, to_sample("", first, seen, chosen).objects)
    return {
        number: item
        for item in found
        if item.mask.any() and (number := int(np.bincount(first.ids[item.mask]).argmax()))
    }


def _compare(
    item: TrackedObject, number: int, ids: NDArray[np.uint8], scene: Scene
) -> tuple[float, float, bool, bool]:
    """The fields of `Followed` for one frame."""
    ground_truth = ids == number
    both = int((ground_truth & item.mask).sum())
    union = int((ground_truth | item.mask).sum())
    shares = np.bincount(ids[item.mask], minlength=len(scene.objects) + 1)
    others = [
        int(shares[other])
        for other in range(1, len(scene.objects) + 1)
        if _name(scene, other) != _name(scene, number)
    ]
    swapped = max(others, default=0) > both
    return ground_truth.mean(), both / union if union else 1.0, item.box is not None, swapped


def _picture(
    image: NDArray[np.uint8], tracked: Sequence[TrackedObject], k: int
) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    objects = tuple(
        SegmentedObject(item.id, item.box, (), item.mask, item.score)
        for item in tracked
        if item.box is not None
    )
    lost = ", ".join(str(item.id) for item in tracked if item.box is None)
    text = f"{k / RATE:.1f} s" + (f", lost: {lost}" if lost else "")
    drawn = overlay.draw(image, Segmentation(text, "", "", (width, height), objects))
    size = (drawn.shape[1] // 2, drawn.shape[0] // 2)
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)


def _name(scene: Scene, number: int) -> str:
    item = scene.objects[number - 1]
    return f"{item.colour} {item.shape}"


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Start and end of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _row(item: Followed) -> dict[str, Any]:
    visible = item.visible
    return {
        "object": item.name,
        "visible frames": int(visible.sum()),
        "mean iou": round(float(item.iou[visible].mean()), 4) if visible.any() else None,
        "swapped frames": int(item.swapped.sum()),
        "visible but lost": int((visible & ~item.seen).sum()),
        "frames until lost": item.leaves(),
    }


def _line(number: int, clip: Sequence[Followed]) -> str:
    texts = []
    for item in map(_row, clip):
        details = [f"IoU {item['mean iou']}", f"lost {item['visible but lost']}"]
        details += [f"swapped {item['swapped frames']}"] if item["swapped frames"] else []
        details += [f"gone, told after {delay}" for delay in item["frames until lost"]]
        texts.append(f"{item['object']} ({', '.join(details)})")
    return f"clip {number}: " + ("; ".join(texts) or "nothing found")


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "max": round(max(values), 1)}


if __name__ == "__main__":
    sys.exit(main())
