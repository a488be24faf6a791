"""`python benchmarks/live.py`: is what is followed the present, and how soon does a cancel stop it?

A camera process plays a moving tabletop at 30 Hz over Fast DDS to the perception node with the
demo's models. Each answer takes 2 s more than it would, by waiting; then the objects are followed.
An age is the time from a frame's stamp to when the tracker begins with it. Afterwards, without the
waiting, goals are cancelled once the first piece of reasoning comes.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import threading
import time
from ctypes import c_double
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import records
from processes import end_all, keep_apart, run_perception_node

WIDTH, HEIGHT, RATE = 320, 240, 30
SEED = 300_000
"""No training scene has this seed."""
SLOW = 2.0
"""Seconds that an answer takes more."""
FOLLOW = 5.0
"""Seconds for which the objects of one answer are followed."""


@dataclass
class FollowingTimes:
    """What the node did after one answer; times and stamps in nanoseconds since 1970.

    asked: stamp of the answered frame. steps: begin and end of each step of the tracker.
    shown: stamp of each followed frame, begin and end of its step, when its result was out.
    """

    asked: int
    steps: list[tuple[int, int]] = field(default_factory=list)
    shown: list[tuple[int, int, int, int]] = field(default_factory=list)


@dataclass
class Diary:
    """What the node process sends back.

    numbers: the number that each frame got, by its stamp. lost: frames that the middleware missed.
    stopped: when the model stopped after a cancel.
    """

    numbers: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    followings: list[FollowingTimes] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--cancels", type=int, default=20, help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "live.json", help="default: %(default)s"
    )
    options = parser.parse_args()
    load = os.getloadavg()[0]
    keep_apart()
    figures = {
        "image": f"{WIDTH}x{HEIGHT} rgb8 at {RATE} Hz",
        **measure(options.questions, options.cancels),
        "load before": round(load, 1),
    }
    records.record(figures, ("torch", "transformers", "ros-jazzy-rclpy"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


def measure(questions: int, cancels: int) -> dict[str, Any]:
    """Run camera, node and asker; return the figures."""
    from asker import Asker

    start = multiprocessing.get_context("spawn")
    end, seconds = start.Event(), start.Value(c_double, SLOW)
    camera_end, camera_pipe = start.Pipe()
    node_end, node_pipe = start.Pipe()
    processes = [
        start.Process(target=camera, args=(end, camera_pipe)),
        start.Process(target=node, args=(end, node_pipe, seconds)),
    ]
    for process in processes:
        process.start()
    try:
        asker = Asker(f"the {camera_end.recv()}")
        skipped = [asker.follow(FOLLOW) for _ in range(questions)]
        seconds.value = 0.0
        cancelled = [asker.cancel() for _ in range(cancels)]
        asker.close()
    finally:
        end.set()
    sent, diary = camera_end.recv(), node_end.recv()
    end_all(processes)
    return {
        "following": following_figures(sent, diary, skipped),
        "cancelling": cancel_figures(diary.stopped, cancelled),
    }


def following_figures(sent: list[int], diary: Diary, skipped: list[int]) -> dict[str, Any]:
    """Sum up the followings; `skipped` is what /diagnostics counted in each."""
    numbers, followings = diary.numbers, diary.followings
    first = [item.shown[0] for item in followings]
    exact = [
        numbers[item.shown[-1][0]] - numbers[item.asked] == len(item.steps) + count
        for item, count in zip(followings, skipped, strict=True)
    ]
    begin, last = min(numbers), max(numbers)
    received = [stamp for stamp in sent if begin <= stamp <= last]
    return {
        "answers": len(followings),
        "seconds added to each": SLOW,
        "first mask: frame's age when its step began [ms]": _summary(
            [began - stamp for stamp, began, _, _ in first]
        ),
        "first mask: frame's age when it was published [ms]": _summary(
            [out - stamp for stamp, _, _, out in first]
        ),
        "one step [ms]": _summary([b - a for item in followings for a, b in item.steps]),
        "ages in the first second [ms]": _summary(_ages(followings, 0, 1)),
        f"ages after {FOLLOW - 1:g} seconds [ms]": _summary(_ages(followings, FOLLOW - 1, 99)),
        "frames followed": sum(len(item.shown) for item in followings),
        "frames caught up with": sum(len(item.steps) - len(item.shown) for item in followings),
        "frames skipped, as /diagnostics counts": sum(skipped),
        "answers after which these make up all frames": sum(exact),
        "frames sent while the node listened": len(received),
        "frames that arrived": len(numbers),
        "frames lost, as /diagnostics counts": diary.lost,
    }


def cancel_figures(stopped: list[int], cancelled: list[tuple[int, int]]) -> dict[str, Any]:
    """Sum up the cancels: when each was sent, and when its last message came."""
    return {
        "goals": len(cancelled),
        "cancel to the last word [ms]": _summary([received - sent for sent, received in cancelled]),
        "cancel to the model's stop [ms]": _summary(
            [end - sent for end, (sent, _) in zip(stopped, cancelled, strict=True)]
        ),
    }


def camera(end: Event, pipe: Connection) -> None:
    """Send the name of an object; film until the end, there and back; send the stamps."""
    import rclpy
    from rclpy.time import Time
    from std_msgs.msg import Header

    from segzero_ros.images.conversions import from_array
    from segzero_ros.qos import CAMERA_QOS
    from segzero_sim.motion import set_in_motion
    from segzero_sim.tabletop import TabletopRenderer, draw_usable

    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        scene, _ = draw_usable(renderer, SEED, (3, 3), depth=False)
        motion = set_in_motion(scene)
        pictures = [renderer.render(motion.at(k / RATE), depth=False).rgb for k in range(6 * RATE)]
    images = [from_array(picture, Header(frame_id="camera")) for picture in pictures]
    rclpy.init()
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(type(images[0]), "image", CAMERA_QOS)
    pipe.send(f"{scene.objects[0].colour} {scene.objects[0].shape}")
    stamps: list[int] = []
    due = time.monotonic()
    for image in itertools.cycle([*images, *reversed(images)]):
        if end.is_set():
            break
        due += 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        stamps.append(time.time_ns())
        image.header.stamp = Time(nanoseconds=stamps[-1]).to_msg()
        publisher.publish(image)
    pipe.send(stamps)
    node.destroy_node()
    rclpy.shutdown()


def node(end: Event, pipe: Connection, seconds: Any) -> None:
    """Run the perception node until the end; answers wait for `seconds`. Send the diary."""
    from rclpy.publisher import Publisher

    from segzero.errors import Cancelled
    from segzero.pipeline import SegZero
    from segzero_ros.images.frames import LatestFrame

    diary = Diary()
    put, publish = LatestFrame.put, Publisher.publish

    class Slow(SegZero):
        def ask(self, *args: Any, stop: threading.Event | None = None, **options: Any) -> Any:
            (stop or threading.Event()).wait(seconds.value)
            try:
                return super().ask(*args, stop=stop, **options)
            except Cancelled:
                diary.stopped.append(time.time_ns())
                raise

        def track(self, *args: Any) -> Any:
            tracker = super().track(*args)
            step = tracker.step

            def timed_step(image: Any) -> Any:
                began = time.time_ns()
                found = step(image)
                diary.followings[-1].steps.append((began, time.time_ns()))
                return found

            tracker.step = timed_step  # type: ignore[method-assign]
            return tracker

    def noted_put(frames: LatestFrame, message: Any, sequence: int | None = None) -> None:
        put(frames, message, sequence)
        diary.numbers[_stamp(message)] = frames.received

    def noted_publish(publisher: Any, message: Any) -> None:
        publish(publisher, message)
        if not publisher.topic_name.endswith("/segmentation"):
            return
        if message.state == message.ANSWERED:
            diary.followings.append(FollowingTimes(_stamp(message)))
        elif message.state in (message.TRACKED, message.LOST):
            now, following = time.time_ns(), diary.followings[-1]
            following.shown.append((_stamp(message), *following.steps[-1], now))

    LatestFrame.put = noted_put  # type: ignore[method-assign, assignment]
    Publisher.publish = noted_publish  # type: ignore[method-assign, assignment]

    def report(node: Any) -> None:
        diary.lost = node.frames.lost
        pipe.send(diary)

    run_perception_node(Slow.load, end, report)


def _ages(followings: list[FollowingTimes], start: float, end: float) -> list[int]:
    """Ages of the frames followed from `start` to `end` seconds after the first."""
    return [
        began - stamp
        for item in followings
        for stamp, began, _, out in item.shown
        if start <= (out - item.shown[0][3]) / 1e9 <= end
    ]


def _summary(nanoseconds: list[int]) -> dict[str, float]:
    p50, p95 = np.percentile(nanoseconds, [50, 95])
    named = {"p50": p50, "p95": p95, "max": max(nanoseconds)}
    return {name: round(float(value) / 1e6, 1) for name, value in named.items()}


def _stamp(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec * 10**9 + stamp.nanosec)


if __name__ == "__main__":
    sys.exit(main())
