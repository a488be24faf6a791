"""The files of a dataset: names, ids, annotations and video."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from segzero.types import Box, SegmentedObject
from segzero_ros.bags.dataset import writing_dataset
from segzero_ros.bags.object_tracks import AnnotatedFrame
from segzero_ros.bags.recording import RecordedImage


def block(number: int, left: int, score: float = 0.9) -> SegmentedObject:
    """An object of 4x4 pixels."""
    mask = np.zeros((32, 48), bool)
    mask[8:12, left : left + 4] = True
    return SegmentedObject(number, Box(left, 8, left + 4, 12), (), mask, score)


def frame(stamp: int, *objects: SegmentedObject) -> AnnotatedFrame:
    pixels = np.full((32, 48, 3), 90, np.uint8)
    return AnnotatedFrame(RecordedImage(stamp, stamp, None), pixels, objects)


def write(folder: Path, frames: Sequence[AnnotatedFrame], question: str = "the ball") -> dict:
    """Write a dataset and return its annotations."""
    with writing_dataset(folder, question, 10.0) as dataset:
        for item in frames:
            dataset.add(item)
        dataset.finish({})
    return json.loads((folder / "annotations.json").read_text(encoding="utf-8"))


def mask(folder: Path, name: str) -> np.ndarray:
    ids = cv2.imread(str(folder / "masks" / name), cv2.IMREAD_UNCHANGED)
    assert ids is not None
    return ids


def test_names_sort_by_time_and_equal_stamps_lose_no_frame(tmp_path: Path) -> None:
    written = write(tmp_path, [frame(stamp, block(1, 4)) for stamp in (9, 10, 10, 10)])
    names = [item["file_name"] for item in written["images"]]
    assert names == sorted(names)
    assert len({*names}) == len(list((tmp_path / "images").iterdir())) == 4
    assert [int(name[:19]) for name in names] == [9, 10, 10, 10]


def test_a_frame_without_objects_is_kept_without_annotations(tmp_path: Path) -> None:
    written = write(tmp_path, [frame(1, block(1, 4)), frame(2), frame(3, block(1, 5))])
    assert len(written["images"]) == 3
    assert [item["image_id"] for item in written["annotations"]] == [1, 3]
    assert not mask(tmp_path, written["images"][1]["file_name"]).any()


@pytest.mark.parametrize(
    ("number", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16), (700, np.uint16)]
)
def test_every_id_fits_its_mask(tmp_path: Path, number: int, dtype: type) -> None:
    written = write(tmp_path, [frame(1, block(number, 4))])
    ids = mask(tmp_path, written["images"][0]["file_name"])
    assert (ids.dtype, ids[9, 5]) == (dtype, number)
    assert written["annotations"][0]["track_id"] == number


def test_where_objects_overlap_the_better_one_has_the_pixels(tmp_path: Path) -> None:
    written = write(tmp_path, [frame(1, block(1, 4, score=0.6), block(2, 6, score=0.8))])
    ids = mask(tmp_path, written["images"][0]["file_name"])
    assert [int((ids == number).sum()) for number in (1, 2)] == [8, 16]
    assert [item["area"] for item in written["annotations"]] == [16, 16]  # each one's own


@pytest.mark.parametrize("question", ["赤いボール", 'the "red" ball', "ça"])
def test_any_question_is_the_category(tmp_path: Path, question: str) -> None:
    written = write(tmp_path, [frame(1, block(1, 4))], question)
    assert written["categories"] == [{"id": 1, "name": question}]


@pytest.mark.parametrize("size", [(31, 47), (32, 47), (241, 321)])
def test_the_video_takes_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    image = RecordedImage(1, 1, None)
    write(tmp_path, [AnnotatedFrame(image, np.zeros((*size, 3), np.uint8), ())] * 3)
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert sum(1 for _ in iter(lambda: video.read()[0], False)) == 3
