"""Real pixels go through everything but the reasoner, which knows no photograph."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from sensor_msgs.msg import CameraInfo

from segzero.overlay import draw
from segzero.types import Box, Segmentation, SegmentedObject
from segzero_ros.depth.calibration import intrinsics
from segzero_ros.depth.cloud import Cloud, DepthView, lift_mask
from segzero_train.datasets.solutions import parse_solution
from segzero_train.datasets.targets import box_and_points
from tests.real_pixels import NAMES, Photograph, photograph
from tests.segzero_train.original_files import rows, run


@pytest.fixture(params=NAMES)
def photo(request: pytest.FixtureRequest) -> Photograph:
    return photograph(request.param)


def test_boxes_are_the_annotators_and_points_lie_on_their_objects(photo: Photograph) -> None:
    for mask, given in zip(photo.masks, photo.boxes, strict=True):
        (x1, y1, x2, y2), points = box_and_points(mask)
        wider = np.array([x1, y1, x2 + 1, y2 + 1]) - given
        # In the bin the annotators' boxes go on behind what hides an object.
        assert (wider[:2] >= 0).all() and (wider[2:] <= 0).all()
        assert photo is photograph("bin") or not wider.any()
        assert all(mask[y, x] for x, y in points)


@pytest.fixture(scope="module", params=["32FC1", "16UC1"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    photo = photograph("bin")
    depth, unit = photo.depth, 1.0
    if request.param == "16UC1":
        depth, unit = np.nan_to_num(1000 * photo.depth).clip(0, 65535).astype(np.uint16), 0.001
    said = photo.calibration
    info = CameraInfo(width=said["width"], height=said["height"], p=said["P"], k=said["K"])
    return lift_mask(photo.ids(), DepthView(depth, unit, intrinsics(info, *depth.shape[::-1])))


def test_a_depth_image_full_of_holes_places_every_object_of_the_bin(cloud: Cloud) -> None:
    photo = photograph("bin")
    assert np.isnan(photo.depth).mean() > 0.5
    assert np.nanmax(photo.depth) > 70  # stray pixels, metres; the bin is half a metre away
    for number, mask in enumerate(photo.masks, start=1):
        known = photo.depth[mask & np.isfinite(photo.depth)]
        place = cloud.objects[number]
        assert place.centroid[2] == pytest.approx(np.median(known), abs=0.03)
        assert (place.extent < 0.42).all()  # the bin's size
        assert np.count_nonzero(cloud.ids == number) > 0.9 * len(known)


def test_every_point_lies_before_the_pixels_of_its_object(cloud: Cloud) -> None:
    photo = photograph("bin")
    fx, _, cx, _, _, fy, cy, *_ = photo.calibration["P"]
    x, y, z = cloud.points.T
    columns, rows_ = np.rint(x / z * fx + cx).astype(int), np.rint(y / z * fy + cy).astype(int)
    assert np.array_equal(photo.ids()[rows_, columns], cloud.ids)


@pytest.mark.parametrize("layout", ["questions.jsonl", "annotations.json"])
def test_prepare_folder_keeps_masks_and_objects(
    photo: Photograph, layout: str, tmp_path: Path
) -> None:
    Image.fromarray(photo.rgb).save(tmp_path / "a.png")
    if layout == "questions.jsonl":
        (tmp_path / "masks").mkdir()
        Image.fromarray(photo.ids()).save(tmp_path / "masks" / "a.png")
        said = json.dumps({"image": "a.png", "text": "all things"})
    else:
        said = json.dumps(coco(photo))
    (tmp_path / layout).write_text(said)
    words = ("folder", "--source", tmp_path, "--out", tmp_path / "out", "--size", "original")
    assert run(*words) == 0
    made = rows(tmp_path / "out")
    objects = [item for row in made for item in parse_solution(row["solution"])]
    visible = np.unique(photo.ids())[1:] if layout == "questions.jsonl" else photo.masks
    assert len(objects) == len(visible)
    if layout == "questions.jsonl":
        assert np.array_equal(made[0]["mask"], photo.ids())
        return
    for row, mask in zip(made, photo.masks, strict=True):
        assert np.array_equal(row["mask"] == 1, mask)


def coco(photo: Photograph) -> dict[str, list[dict[str, object]]]:
    """One category for each object, with its mask as run lengths."""
    height, width = photo.masks.shape[1:]
    annotations = []
    for number, mask in enumerate(photo.masks, start=1):
        packed = rle.encode(np.asfortranarray(mask))
        packed["counts"] = packed["counts"].decode()
        annotations.append(
            {"id": number, "image_id": 1, "category_id": number, "segmentation": packed}
        )
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": width, "height": height}],
        "annotations": annotations,
        "categories": [{"id": a["id"], "name": f"thing {a['id']}"} for a in annotations],
    }


def test_the_overlay_shows_every_object_and_leaves_the_rest_alone(photo: Photograph) -> None:
    height, width = photo.masks.shape[1:]
    objects = tuple(
        SegmentedObject(number, Box(0, 0, 1, 1), (), mask, 1.0)
        for number, mask in enumerate(photo.masks, start=1)
    )
    drawn = draw(photo.rgb, Segmentation("all things", "", "", (width, height), objects))
    changed = (drawn[:height] != photo.rgb).any(-1)
    for mask in photo.masks:
        assert changed[mask].mean() > 0.3
    assert changed[~photo.masks.any(0)].mean() < 0.3  # boxes, labels and outlines
