"""With the demo's models: when it asks, which ids objects get, which frames are left out."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from segzero.pipeline import SegZero
from segzero_ros.bags.object_tracks import NothingFound, ObjectTracks
from segzero_ros.bags.recording import BadBag, RecordedImage
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import TabletopRenderer
from tests.segzero_ros.bags.bag_files import SECOND, raw

EMPTY, BALL, OTHER_BALL = 1, 576, 5
"""Scenes without a red ball, with one, and with one elsewhere."""
STEP = SECOND // 2


@pytest.fixture(scope="module")
def segzero() -> Iterator[SegZero]:
    segzero = SegZero.load("demo", "cpu")
    yield segzero
    segzero.close()


@pytest.fixture(scope="module")
def scenes() -> dict[int, np.ndarray]:
    with TabletopRenderer(320, 240) as renderer:
        seeds = (EMPTY, BALL, OTHER_BALL)
        return {seed: renderer.render(sample_scene(seed), depth=False).rgb for seed in seeds}


def film(pictures: Sequence[np.ndarray]) -> list[RecordedImage]:
    """Two frames a second."""
    return [
        RecordedImage(1 + k * STEP, k * STEP, raw(picture, 1 + k * STEP))
        for k, picture in enumerate(pictures)
    ]


def ids(tracks: ObjectTracks, pictures: Sequence[np.ndarray]) -> list[list[int]]:
    frames = tracks.annotate(film(pictures))
    return [[item.id for item in frame.objects] for frame in frames]


def test_it_asks_about_the_first_frame_alone(segzero: SegZero, scenes: dict) -> None:
    tracks = ObjectTracks(segzero, "the red ball")
    seeds = [BALL, BALL, EMPTY, EMPTY, EMPTY, BALL]
    assert ids(tracks, [scenes[seed] for seed in seeds]) == [[1], [1], [], [], [], [1]]
    assert tracks.asked == 1


def test_it_asks_again_until_something_is_found(segzero: SegZero, scenes: dict) -> None:
    tracks = ObjectTracks(segzero, "the red ball", reask=1.0)
    seeds = [EMPTY, EMPTY, BALL, BALL]
    assert ids(tracks, [scenes[seed] for seed in seeds]) == [[], [], [1], [1]]
    assert tracks.asked == 2


def test_it_asks_again_when_an_object_is_lost(segzero: SegZero, scenes: dict) -> None:
    tracks = ObjectTracks(segzero, "the red ball", reask=1.0)
    seeds = [BALL, BALL, EMPTY, EMPTY, OTHER_BALL, OTHER_BALL, OTHER_BALL]
    found = ids(tracks, [scenes[seed] for seed in seeds])
    assert found[:4] == [[1], [1], [], []]
    assert found[-1] == [2]  # an object at another place gets an id of its own
    assert tracks.count == 2


@pytest.mark.parametrize(("reask", "asked"), [(None, 1), (1.0, 2)])
def test_without_any_object_it_says_so(
    segzero: SegZero, scenes: dict, reask: float | None, asked: int
) -> None:
    tracks = ObjectTracks(segzero, "the red ball", reask)
    with pytest.raises(NothingFound, match="nothing matches 'the red ball' in"):
        ids(tracks, [scenes[EMPTY]] * 3)
    assert tracks.asked == asked


@pytest.mark.parametrize("place", [0, 1, 2])
def test_frames_that_cannot_be_used_are_left_out_and_counted(
    segzero: SegZero, scenes: dict, place: int
) -> None:
    images = film([scenes[BALL]] * 2)
    images.insert(place, RecordedImage(9, 9, raw(scenes[BALL], 9, encoding="unheard_of")))
    images.append(RecordedImage(10, 10, raw(scenes[BALL][:100], 10)))
    tracks = ObjectTracks(segzero, "the red ball")
    assert len(list(tracks.annotate(images))) == 2
    assert tracks.left_out.count == 2
    assert "unheard_of" in tracks.left_out.reason


def test_without_a_usable_frame_the_bag_is_refused(segzero: SegZero) -> None:
    images = film([np.zeros((4, 4, 3), np.uint8)])
    with pytest.raises(BadBag, match="no image can be used: the image is 4x4 pixels"):
        list(ObjectTracks(segzero, "the red ball").annotate(images))
