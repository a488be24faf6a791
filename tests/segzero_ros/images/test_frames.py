"""The slot of one for camera frames."""

import threading
from itertools import pairwise

import pytest
from sensor_msgs.msg import Image

from segzero_ros.images.frames import Frame, History, LatestFrame, sample_evenly
from tests.segzero_ros.waiting import DEADLINE


def received(frame: Frame | None) -> Frame:
    assert frame is not None
    return frame


def test_the_newest_frame_stays() -> None:
    frames, newest = LatestFrame(), Image(width=2)
    assert frames.newest() is None
    frames.put(Image(width=1))
    frames.put(newest)
    assert received(frames.newest()).message is newest
    assert frames.received == 2


def test_clear_forgets_the_frame_and_keeps_the_count() -> None:
    frames = LatestFrame()
    frames.put(Image())
    frames.clear()
    assert frames.newest() is None
    assert frames.received == 1


@pytest.mark.parametrize(
    ("sequences", "lost"),
    [
        ([5, 6, 7], 0),
        ([5, 7, 10], 3),
        ([5, 9, 1, 2, 4], 4),  # a new camera
        ([None, None], 0),
    ],
)
def test_gaps_in_the_cameras_count_are_lost_frames(sequences: list, lost: int) -> None:
    frames = LatestFrame()
    for sequence in sequences:
        frames.put(Image(), sequence)
    assert (frames.received, frames.lost) == (len(sequences), lost)


def test_what_was_published_while_nobody_listened_is_not_lost() -> None:
    frames = LatestFrame()
    frames.put(Image(), 5)
    frames.clear()
    frames.put(Image(), 50)
    assert frames.lost == 0


def test_wait_returns_the_first_frame_that_comes() -> None:
    frames, first = LatestFrame(), Image()
    camera = threading.Timer(0.05, frames.put, [first])
    camera.start()
    assert received(frames.wait(threading.Event(), DEADLINE)).message is first
    camera.join()


def test_wait_gives_up_in_time() -> None:
    assert LatestFrame().wait(threading.Event(), 0.01) is None


def test_wait_gives_up_when_stopped() -> None:
    stop = threading.Event()
    stop.set()
    assert LatestFrame().wait(stop) is None


def test_wait_returns_only_a_frame_after_the_given_one() -> None:
    frames, second = LatestFrame(), Image()
    frames.put(Image())
    camera = threading.Timer(0.05, frames.put, [second])
    camera.start()
    frame = received(frames.wait(threading.Event(), after=1))
    assert (frame.message is second, frame.number) == (True, 2)
    camera.join()


def test_who_waits_is_woken_to_stop() -> None:
    frames, stop = LatestFrame(), threading.Event()

    def end() -> None:
        stop.set()
        frames.wake()

    timer = threading.Timer(0.05, end)
    timer.start()
    assert frames.wait(stop, DEADLINE) is None
    timer.join()


def test_a_recording_holds_the_frames_that_come_after_its_start() -> None:
    frames = LatestFrame()
    frames.put(Image())
    history = frames.record(8)
    for _ in range(3):
        frames.put(Image())
    assert [frame.number for frame in frames.recorded(history)] == [2, 3, 4]
    frames.release(history)
    frames.put(Image())
    assert len(frames.recorded(history)) == 3


def test_recordings_are_independent_and_end_once() -> None:
    frames = LatestFrame()
    first = frames.record(8)
    frames.put(Image())
    second = frames.record(8)
    frames.release(first)
    frames.release(first)
    frames.put(Image())
    assert [frame.number for frame in frames.recorded(second)] == [2]


@pytest.mark.parametrize("limit", [2, 3, 7, 64])
@pytest.mark.parametrize("count", [1, 5, 64, 1000])
def test_a_history_is_bounded_and_evenly_spread(limit: int, count: int) -> None:
    history = History(limit)
    for number in range(1, count + 1):
        history.add(Frame(Image(), 0.0, number))
        assert len(history.frames()) <= limit
    numbers = [frame.number for frame in history.frames()]
    gaps = {later - earlier for earlier, later in pairwise([0, *numbers])}
    assert len(gaps) == 1  # the same distance everywhere, from the start on
    assert count - numbers[-1] < gaps.pop()
    if count < limit:
        assert len(numbers) == count


@pytest.mark.parametrize(
    ("count", "chosen"), [(0, []), (1, [5]), (3, [1, 5, 8]), (10, list(range(10))), (20, "all")]
)
def test_frames_are_chosen_evenly(count: int, chosen: list[int] | str) -> None:
    frames = [Frame(Image(), 0.0, number) for number in range(10)]
    expected = list(range(10)) if chosen == "all" else chosen
    assert [frame.number for frame in sample_evenly(frames, count)] == expected
