"""`python benchmarks/shell.py`: what the ROS shell itself costs, without models.

A camera process publishes 1280x720 rgb8 at 30 Hz over Fast DDS with the project's profile. The
perception node runs in a process of its own with models that do nothing, is asked once and follows
one box through every frame; this process listens to the results. Each time is taken in the node:
when a frame arrives, when the (idle) tracker gets its pixels, when its mask has been published.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import records
from numpy.typing import NDArray
from processes import end_all, keep_apart, run_perception_node

WIDTH, HEIGHT, RATE = 1280, 720, 30
BOX = (400, 200, 800, 500)
"""Left, top, right, bottom in pixels: the mask has 120 000."""
TIMEOUT = 300.0
"""Seconds for the node to start."""

Times = dict[int, int]
"""Stamp of a frame → when something happened to it; both in nanoseconds since 1970."""


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "shell.json", help="default: %(default)s"
    )
    options = parser.parse_args()
    load = os.getloadavg()[0]
    keep_apart()
    figures = {
        "image": f"{WIDTH}x{HEIGHT} rgb8 at {RATE} Hz",
        **measure(options.seconds),
        "load before": round(load, 1),
        "real-time priority": os.sched_getscheduler(0) != os.SCHED_OTHER,
    }
    records.record(figures, ("ros-jazzy-rclpy", "ros-fastrtps", "numpy"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


def measure(seconds: float) -> dict[str, Any]:
    """Run camera, node and listener for `seconds` of following; return the figures."""
    start = multiprocessing.get_context("spawn")
    end = start.Event()
    camera_end, camera_pipe = start.Pipe()
    node_end, node_pipe = start.Pipe()
    processes = [
        start.Process(target=camera, args=(end, camera_pipe)),
        start.Process(target=node, args=(end, node_pipe)),
    ]
    for process in processes:
        process.start()
    try:
        first, last = listen(seconds)
    finally:
        end.set()
    sent, times = camera_end.recv(), node_end.recv()
    end_all(processes)
    return figures([stamp for stamp in sent if first <= stamp <= last], *times)


def figures(sent: list[int], arrived: Times, used: Times, masked: Times) -> dict[str, Any]:
    """Sum up the frames with the stamps `sent`; latencies and ages in milliseconds."""
    followed = [stamp for stamp in sent if stamp in masked]
    delivered = [stamp for stamp in sent if stamp in arrived]
    age = _milliseconds([used[stamp] - stamp for stamp in followed])
    return {
        "frames sent": len(sent),
        "frames delivered": len(delivered),
        "frames followed": len(followed),
        "delivered [%]": round(100 * len(delivered) / len(sent), 2),
        "stamp to arrival [ms]": _summary(
            _milliseconds([arrived[stamp] - stamp for stamp in delivered])
        ),
        "arrival to mask [ms]": _summary(
            _milliseconds([masked[stamp] - arrived[stamp] for stamp in followed])
        ),
        "stamp to use [ms]": _summary(age),
        "arrival to use [ms]": _summary(
            _milliseconds([used[stamp] - arrived[stamp] for stamp in followed])
        ),
        "used when older than a period": int((age > 1000 / RATE).sum()),
    }


def camera(end: Event, pipe: Connection) -> None:
    """Publish the same picture with stamps of its own until the end; send back the stamps."""
    import rclpy
    from rclpy.time import Time
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from segzero_ros.images.conversions import from_array
    from segzero_ros.qos import CAMERA_QOS

    rclpy.init()
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(Image, "image", CAMERA_QOS)
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    message = from_array(noise, Header(frame_id="camera"))
    stamps = []
    due = time.monotonic()
    while not end.is_set():
        due += 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.time_ns()
        message.header.stamp = Time(nanoseconds=now).to_msg()
        publisher.publish(message)
        stamps.append(now)
    pipe.send(stamps)
    node.destroy_node()
    rclpy.shutdown()


def node(end: Event, pipe: Connection) -> None:
    """Run the perception node without models until the end; send back what happened when."""
    from rclpy.publisher import Publisher

    from segzero_ros.images.frames import LatestFrame

    arrived: Times = {}
    used: Times = {}
    masked: Times = {}
    models = IdleModels()
    put, publish = LatestFrame.put, Publisher.publish

    def timed_put(frames: LatestFrame, message: Any, sequence: int | None = None) -> None:
        arrived[_stamp(message)] = time.time_ns()
        put(frames, message, sequence)

    def timed_publish(publisher: Any, message: Any) -> None:
        publish(publisher, message)
        if publisher.topic_name.endswith("/mask"):
            used[_stamp(message)] = models.used  # the same thread has just tracked this frame
            masked[_stamp(message)] = time.time_ns()

    LatestFrame.put = timed_put  # type: ignore[method-assign, assignment]
    Publisher.publish = timed_publish  # type: ignore[method-assign, assignment]
    run_perception_node(
        lambda profile, device: models, end, lambda _: pipe.send((arrived, used, masked))
    )


class IdleModels:
    """Stands for SegZero: one object, found at once and again in every frame.

    used: when the newest frame's pixels came, in nanoseconds since 1970.
    """

    def __init__(self) -> None:
        from segzero.types import Box, Point, SegmentedObject, TrackedObject

        x1, y1, x2, y2 = BOX
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[y1:y2, x1:x2] = True
        box = Box(*map(float, BOX))
        self._found = SegmentedObject(1, box, (Point((x1 + x2) / 2, (y1 + y2) / 2),), mask, 1.0)
        self._tracked = TrackedObject(1, box, mask, 1.0)
        self.used = 0
        self.shape, self.ids = (HEIGHT, WIDTH, 3), [1]  # as of a tracker

    def warm_up(self) -> None:
        pass

    def ask(self, image: NDArray[np.uint8], question: str, **_: Any) -> Any:
        from segzero.types import Segmentation

        self.used = time.time_ns()
        return Segmentation(question, "", "", (WIDTH, HEIGHT), (self._found,))

    def track(self, image: NDArray[np.uint8], objects: Any) -> "IdleModels":
        return self

    def step(self, image: NDArray[np.uint8]) -> tuple[Any, ...]:
        self.used = time.time_ns()
        return (self._tracked,)

    def remove(self, ids: Any) -> None:
        pass

    def close(self) -> None:
        pass


def listen(seconds: float) -> tuple[int, int]:
    """Ask, receive masks for `seconds`, and return the stamps of the first and the last."""
    import rclpy
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    from segzero_ros.msg import Segmentation

    rclpy.init()
    node = rclpy.create_node("listener")
    stamps: list[int] = []
    node.create_subscription(Image, "segzero/mask", lambda mask: stamps.append(_stamp(mask)), 10)
    node.create_subscription(Segmentation, "segzero/segmentation", lambda _: None, 10)
    query = node.create_publisher(String, "segzero/query", 10)
    start = time.monotonic()
    while not query.get_subscription_count():
        if time.monotonic() - start > TIMEOUT:
            raise TimeoutError(f"the perception node did not start within {TIMEOUT:.0f} s")
        time.sleep(0.1)
    time.sleep(1)  # discovery of the other topics
    query.publish(String(data="the box"))
    last = None
    while last is None or time.monotonic() < last:
        rclpy.spin_once(node, timeout_sec=0.1)
        if len(stamps) > RATE and last is None:  # a second to warm up
            last = time.monotonic() + seconds
            stamps = stamps[-1:]
        if last is None and time.monotonic() - start > 120:
            raise TimeoutError("no followed masks came")
    node.destroy_node()
    rclpy.shutdown()
    return stamps[0], stamps[-1]


def _milliseconds(nanoseconds: list[int]) -> NDArray[np.float64]:
    return np.array(nanoseconds) / 1e6


def _summary(milliseconds: NDArray[np.float64]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    named = {"p50": p50, "p95": p95, "p99": p99, "max": milliseconds.max()}
    return {name: round(float(value), 2) for name, value in named.items()}


def _stamp(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec * 10**9 + stamp.nanosec)


if __name__ == "__main__":
    sys.exit(main())
