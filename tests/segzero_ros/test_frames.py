"""The slot of one for camera frames."""

import threading

from sensor_msgs.msg import Image

from segzero_ros.frames import LatestFrame
from tests.segzero_ros.waiting import DEADLINE


def test_the_newest_frame_stays() -> None:
    frames, newest = LatestFrame(), Image(width=2)
    assert frames.newest() is None
    frames.put(Image(width=1))
    frames.put(newest)
    assert frames.newest().message is newest
    assert frames.received == 2


def test_clear_forgets_the_frame_and_keeps_the_count() -> None:
    frames = LatestFrame()
    frames.put(Image())
    frames.clear()
    assert frames.newest() is None
    assert frames.received == 1


def test_wait_returns_the_first_frame_that_comes() -> None:
    frames, first = LatestFrame(), Image()
    camera = threading.Timer(0.05, frames.put, [first])
    camera.start()
    assert frames.wait(threading.Event(), DEADLINE).message is first
    camera.join()


def test_wait_gives_up_in_time() -> None:
    assert LatestFrame().wait(threading.Event(), 0.01) is None


def test_wait_gives_up_when_stopped() -> None:
    stop = threading.Event()
    stop.set()
    assert LatestFrame().wait(stop) is None
