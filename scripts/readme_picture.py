"""`python scripts/readme_picture.py`: the README's moving picture, `docs/demo.webp`.

The demo profile answers one question about a moving tabletop and follows the objects. Every mask is
compared with the simulator's before it is drawn, so that the picture can't show a wrong one.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segzero import overlay
from segzero.metrics import overlap
from segzero.pipeline import SegZero
from segzero.types import SegmentedObject
from segzero_sim.motion import set_in_motion
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import TabletopRenderer

TARGET = Path(__file__).parents[1] / "docs" / "demo.webp"
SEED, QUESTION, ANSWER = 40, "everything red", (1, 3)
"""A scene, a question about it, and the ids of the objects that answer it."""
WIDTH, HEIGHT = 480, 360
RATE, SECONDS, PAUSE = 10, 6, 2
"""Frames per second; seconds of following; seconds for the frame alone and for the answer."""
_MIN_IOU = 0.8


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TARGET, help="default: docs/demo.webp")
    target = parser.parse_args().out
    first, *others = (Image.fromarray(picture) for picture in pictures(RATE * SECONDS))
    durations = [1000 * PAUSE] * 2 + [1000 // RATE] * (len(others) - 1)
    first.save(
        target,
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
        quality=70,
        method=6,
    )
    print(f"{target}: {1 + len(others)} frames, {target.stat().st_size / 1e3:.0f} kB")
    return 0


def pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    """Draw frame and thinking, the answer, then `count` followed frames; (H', W, 3) uint8 each.

    Raises ValueError if a mask is not that of the object it was found on.
    """
    scene = sample_scene(SEED)
    motion = set_in_motion(scene)
    model = SegZero.load("demo", "cpu")
    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        frame = renderer.render(scene, depth=False)
        answer = model.ask(frame.rgb, QUESTION)
        owners = [int(np.bincount(frame.ids[item.mask]).argmax()) for item in answer.objects]
        if sorted(owners) != list(ANSWER):
            raise ValueError(f"{QUESTION!r} was answered with the objects {owners}, not {ANSWER}")
        tracker = model.track(frame.rgb, answer.objects)
        yield overlay.draw(frame.rgb, replace(answer, objects=()))
        yield overlay.draw(frame.rgb, answer)
        for number in range(1, 1 + count):
            frame = renderer.render(motion.at(number / RATE), depth=False)
            objects = []
            for owner, item in zip(owners, tracker.step(frame.rgb), strict=True):
                iou = overlap(item.mask, frame.ids == owner).iou
                if item.box is None or iou < _MIN_IOU:
                    raise ValueError(f"object {owner} has an IoU of {iou:.2f} in frame {number}")
                objects.append(SegmentedObject(item.id, item.box, (), item.mask, item.score))
            yield overlay.draw(frame.rgb, replace(answer, objects=tuple(objects)))
    tracker.close()
    model.close()


if __name__ == "__main__":
    sys.exit(main())
