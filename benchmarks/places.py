"""`python benchmarks/places.py`: how exact are the centroids and extents of objects in space?

The same tabletops are rendered with depth and traced by rays. The points that the rays through an
object's pixels hit are the ground truth for its centroid and extent. Apart from exact images there
are images of a camera that mixes depths within a pixel, and masks that are a pixel too wide. The
baseline takes every pixel of the mask.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import records
from numpy.typing import NDArray
from tqdm import tqdm

from segzero_ros.depth.calibration import Intrinsics
from segzero_ros.depth.cloud import DepthView, lift_mask
from segzero_sim.rays import cast
from segzero_sim.tabletop import TabletopRenderer, draw_usable

SIZES = ((320, 240), (640, 480))
FIRST_SEED = 500_000
RIGHT = 0.1
"""An extent counts as right if it is off by no more than this share of it."""

Places = dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Centroid and extent, both (3,) in metres, by object."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A scene as it is drawn, with the ground truth. ids: (H, W). depth: (H, W) float32 metres."""

    ids: NDArray[np.uint8]
    depth: NDArray[np.float32]
    intrinsics: Intrinsics
    ground_truth: Places


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=40, help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "places.json", help="default: %(default)s"
    )
    options = parser.parse_args()
    rows = []
    for width, height in SIZES:
        views = look(width, height, options.scenes)
        for flaw, (change_ids, change_depth) in FLAWS.items():
            changed = [
                View(change_ids(v.ids), change_depth(v.depth), v.intrinsics, v.ground_truth)
                for v in views
            ]
            for way, place in WAYS.items():
                figures = compare(changed, place)
                rows.append({"image": f"{width}x{height}", "flaw": flaw, "by": way, **figures})
    records.record({"rows": rows}, ("numpy", "opencv-python-headless", "mujoco"), options.out)
    print(records.table([list(rows[0]), *(list(row.values()) for row in rows)]))
    return 0


def look(width: int, height: int, scenes: int) -> list[View]:
    """Draw the scenes and cast rays into them."""
    views = []
    with TabletopRenderer(width, height) as renderer:
        for seed in tqdm(range(FIRST_SEED, FIRST_SEED + scenes), desc=f"{width}x{height}"):
            scene, frame = draw_usable(renderer, seed)
            points, hit = cast(renderer, scene, width, height)
            ground_truth = {
                number: summed(points[hit == number])
                for number in range(1, len(scene.objects) + 1)
                if (hit == number).any()
            }
            focal_length = renderer.focal_length(scene)
            camera = Intrinsics(focal_length, focal_length, (width - 1) / 2, (height - 1) / 2)
            views.append(View(frame.ids, frame.depth.astype(np.float32), camera, ground_truth))
    return views


def compare(views: list[View], place: Callable[[View], Places]) -> dict[str, Any]:
    """How far places are from the ground truth."""
    off: list[float] = []
    wrong: list[float] = []
    missing = 0
    for view in views:
        found = place(view)
        missing += len(view.ground_truth.keys() - found.keys())
        for number in view.ground_truth.keys() & found.keys():
            (centroid, extent), (true_centroid, true_extent) = (
                found[number],
                view.ground_truth[number],
            )
            distance = np.linalg.norm(true_centroid)
            off.append(float(1000 * np.linalg.norm(centroid - true_centroid) / distance))
            wrong.extend(np.abs(extent / true_extent - 1))
    return {
        "objects": len(off),
        "missing": missing,
        "centroid off at most [mm at 1 m]": round(float(max(off)), 2),
        "extents within 10 %": round(float((np.array(wrong) <= RIGHT).mean()), 4),
        "extent off by, 95 %": round(float(np.quantile(wrong, 0.95)), 3),
        "extent off at most by": round(float(max(wrong)), 3),
    }


def as_the_node(view: View) -> Places:
    """By `segzero_ros.depth.cloud`."""
    found = lift_mask(view.ids, DepthView(view.depth, 1.0, view.intrinsics)).objects
    return {
        number: (item.centroid.astype(float), item.extent.astype(float))
        for number, item in found.items()
    }


def as_they_are(view: View) -> Places:
    """Every pixel of the mask, through the pinhole."""
    camera, found = view.intrinsics, {}
    for number in range(1, int(view.ids.max()) + 1):
        v, u = np.nonzero(view.ids == number)
        z = view.depth[v, u].astype(float)
        ways = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(z))])
        found[number] = summed((ways * z).T)
    return found


def summed(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centroid and extent of (N, 3) points."""
    return points.mean(axis=0), np.ptp(points, axis=0)


def _same(pixels: NDArray) -> NDArray:
    return pixels


def _mixed(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    return cv2.blur(depth, (2, 2)).astype(np.float32)


def _widened(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(ids, ids, cv2.dilate(ids, np.ones((3, 3), np.uint8)))


FLAWS = {"none": (_same, _same), "mixed depth": (_same, _mixed), "wide mask": (_widened, _same)}
WAYS = {"segzero": as_the_node, "mask as it is": as_they_are}

if __name__ == "__main__":
    sys.exit(main())
