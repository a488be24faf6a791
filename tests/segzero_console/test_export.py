"""Downloads show each mask on the frame that it belongs to, and on no other."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segzero.errors import SegZeroError
from segzero_console.export import choose, rle, to_coco, to_mp4, to_png
from segzero_console.messages import Result, ShownObject, encode_jpeg
from segzero_console.recording import SPAN, RecordedFrame, Recording
from segzero_console.results import ResultStore, StoredResult, compress

IDS = np.zeros((48, 64), np.uint8)
IDS[10:20, 30:50] = 7


def stored(stamp: int = 1, ids: np.ndarray = IDS, goal: str = "cups") -> StoredResult:
    number = int(ids.max())
    shown = ShownObject(number, number, goal, "a cup", (30, 10, 50, 20), 0.9)
    return compress(Result(stamp, "answered", goal=goal, objects=(shown,), mask=ids))


def frame(seconds: float, followed: bool = False, grey: int = 100) -> RecordedFrame:
    stamp = round(seconds * 1e9)
    jpeg = encode_jpeg(np.full((48, 64, 3), grey, np.uint8), 80)
    return RecordedFrame(stamp, seconds, jpeg, stored(stamp) if followed else None)


@pytest.mark.parametrize(
    "mask",
    [
        IDS > 0,
        np.zeros((5, 4), bool),
        np.ones((5, 4), bool),
        np.arange(20).reshape(5, 4) % 2 == 0,
        np.arange(20).reshape(5, 4) % 2 == 1,
    ],
    ids=["box", "empty", "full", "even", "odd"],
)
def test_runs_are_those_of_coco(mask: np.ndarray) -> None:
    height, width = mask.shape
    packed = coco_mask.frPyObjects({"size": [height, width], "counts": rle(mask)}, height, width)
    np.testing.assert_array_equal(coco_mask.decode(packed), mask)


def test_coco_has_the_objects_that_are_seen() -> None:
    found = json.loads(to_coco("a.png", (64, 48), stored()))
    (annotation,) = found["annotations"]
    assert annotation["area"] == 200
    assert annotation["bbox"] == [30, 10, 20, 10]
    assert found["categories"] == [{"id": 1, "name": "a cup"}]


def test_coco_of_a_frame_without_a_result_has_no_objects() -> None:
    assert json.loads(to_coco("a.png", (64, 48), None))["annotations"] == []


def test_a_picture_is_changed_where_the_mask_is() -> None:
    rgb = np.full((48, 64, 3), 100, np.uint8)
    drawn = cv2.imdecode(np.frombuffer(to_png(rgb, stored()), np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None and drawn.shape == rgb.shape
    assert (drawn[11:19, 31:49] != 100).any()
    assert (drawn[30:] == 100).all()


def test_a_video_has_a_frame_for_each_tick(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(to_mp4([frame(k / 10) for k in range(20)]))
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    assert video.get(cv2.CAP_PROP_FPS) == 10


def test_where_objects_are_followed_only_frames_with_masks_are_in_a_video() -> None:
    frames = [frame(0.0, True), frame(0.1), frame(0.2), frame(0.3, True), frame(0.4)]
    assert {item.received for item in choose(frames)} == {0.0, 0.3}


def test_frames_far_from_followed_ones_stay_in_a_video() -> None:
    frames = [frame(0.0, True), frame(2.0), frame(2.1)]
    assert {item.received for item in choose(frames)} == {0.0, 2.0, 2.1}


def test_without_frames_there_is_no_video() -> None:
    with pytest.raises(SegZeroError, match="nothing was shown"):
        to_mp4([])


def test_the_last_minute_is_kept_and_no_more() -> None:
    recording = Recording()
    for second in range(200):
        recording.add_frame(second, float(second), b"jpeg")
        recording.add_result(stored(second))
    frames = recording.frames()
    assert [frames[0].received, frames[-1].received] == [199 - SPAN, 199.0]
    assert all(item.result and item.result.result.stamp == item.stamp for item in frames)


def test_the_recording_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segzero_console.recording.MAX_BYTES", 1000)
    recording = Recording()
    for number in range(50):
        recording.add_frame(number, number / 100, b"." * 100)
    assert len(recording.frames()) == 10


def test_results_are_bounded_in_number() -> None:
    store = ResultStore(limit=3)
    for stamp in range(5):
        store.add(stored(stamp))
    assert [stamp for stamp in range(5) if store.find(stamp)] == [2, 3, 4]


def test_answers_of_two_goals_in_one_frame_stand_side_by_side() -> None:
    store = ResultStore()
    other = np.zeros_like(IDS)
    other[30:40, 5:15] = 300 % 256
    store.add(stored(1, IDS, "cups"))
    store.add(stored(1, other, "spoons"))
    found = store.find(1)
    assert found and {item.goal for item in found.result.objects} == {"cups", "spoons"}
    cups, spoons = found.masks([7, 44])
    assert (cups.sum(), spoons.sum()) == (200, 100)
