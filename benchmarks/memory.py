"""`python benchmarks/memory.py`: whether memory stays flat over hours of following and restarting.

Two figures with the demo's models, both of resident memory (1 MB = 10^6 bytes). Three objects are
followed through 10 000 frames of a moving tabletop. And the perception node, as a process of its
own, is configured, activated, deactivated and cleaned up 200 times; in every tenth cycle it is
shown pictures, asked, and left to follow what it found.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import records
from numpy.typing import NDArray
from processes import keep_apart, wait_until

WIDTH, HEIGHT = 320, 240
SEED, OBJECTS = 300_000, 3
"""No training scene has this seed."""
SAMPLE = 100
"""Frames between two measurements."""
EVERY = 10
"""Cycles between two questions."""
QUESTION = "the {name}"
TIMEOUT = 300.0
"""Seconds for one transition or one answer."""


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument(
        "--warm-up",
        type=int,
        default=500,
        help="frames after which memory should grow no more (default: %(default)s)",
    )
    parser.add_argument("--cycles", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "memory.json", help="default: %(default)s"
    )
    options = parser.parse_args()
    if options.warm_up < 1 or options.warm_up % SAMPLE:
        parser.error(f"--warm-up must be a multiple of {SAMPLE}")
    if options.frames <= options.warm_up or options.cycles < 2:
        parser.error(f"it takes more than {options.warm_up} frames and at least 2 cycles")
    load = os.getloadavg()[0]
    pictures, ids, name = film()
    figures = {
        "image": f"{WIDTH}x{HEIGHT} rgb8",
        "following": follow(options.profile, pictures, ids, options.frames, options.warm_up),
        "lifecycles": live(options.profile, pictures, name, options.cycles),
        "load before": round(load, 1),
    }
    records.record(figures, ("torch", "transformers", "ros-jazzy-rclpy"), options.out)
    print(table(figures, options.warm_up))
    return 0


def film() -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8], str]:
    """A moving tabletop that repeats: its pictures, the first one's ids, and an object's name."""
    from segzero_sim.motion import PERIOD, set_in_motion
    from segzero_sim.tabletop import TabletopRenderer, draw_usable

    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        scene, first = draw_usable(renderer, SEED, (OBJECTS, OBJECTS), depth=False)
        motion = set_in_motion(scene)
        times = np.arange(0.0, PERIOD, 0.1)
        pictures = [renderer.render(motion.at(second), depth=False).rgb for second in times]
    item = scene.objects[0]
    return pictures, first.ids, f"{item.colour} {item.shape}"


def follow(
    profile: str,
    pictures: list[NDArray[np.uint8]],
    ids: NDArray[np.uint8],
    frames: int,
    warm_up: int,
) -> dict[str, Any]:
    """Follow all objects through `frames` pictures; return the growth after the first `warm_up`."""
    from segzero.pipeline import SegZero
    from segzero.segmentation.tracker import bounding_box
    from segzero.types import SegmentedObject

    masks = {number: ids == number for number in range(1, OBJECTS + 1)}
    objects = [
        SegmentedObject(number, box, (), mask, 1.0)
        for number, mask in masks.items()
        if (box := bounding_box(mask))
    ]
    model = SegZero.load(profile)
    tracker = model.track(pictures[0], objects)
    used: dict[int, float] = {}
    seen = 0
    start = time.monotonic()
    for number, picture in zip(range(frames + 1), cycle(pictures), strict=False):
        if not number:
            continue
        seen += sum(item.box is not None for item in tracker.step(picture))
        if number % SAMPLE == 0 or number == frames:
            used[number] = resident("self")
    seconds = time.monotonic() - start
    tracker.close()
    model.close()
    return {
        "frames": frames,
        "objects": len(objects),
        "objects seen per frame": round(seen / frames, 2),
        "milliseconds per frame": round(1000 * seconds / frames, 1),
        **growth(used, warm_up, 500),
    }


def live(profile: str, pictures: list[NDArray[np.uint8]], name: str, cycles: int) -> dict[str, Any]:
    """Lead a node through its life `cycles` times; return how its process grew meanwhile."""
    keep_apart()
    import rclpy

    words = ["-m", "segzero_ros.perception_node", "--ros-args", "-p", f"profile:={profile}"]
    used: dict[int, float] = {}
    rclpy.init()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)
        try:
            operator = Operator(pictures)
            for number in range(1, cycles + 1):
                operator.transition("configure")
                operator.transition("activate")
                if number % EVERY == 1:
                    operator.ask(QUESTION.format(name=name))
                operator.transition("deactivate")
                operator.transition("cleanup")
                used[number] = resident(process.pid)
        finally:
            process.terminate()
            process.wait()
            rclpy.shutdown()
    return {
        "cycles": cycles,
        "questions": operator.answers + operator.failures,
        "answered with an object": operator.answers,
        "frames followed": operator.followed,
        **growth(used, 1, EVERY),
    }


class Operator:
    """Camera, questioner and lifecycle manager of the node `segzero`."""

    def __init__(self, pictures: list[NDArray[np.uint8]]) -> None:
        import rclpy
        from lifecycle_msgs.srv import ChangeState
        from sensor_msgs.msg import Image
        from std_msgs.msg import Header, String

        from segzero_ros.images.conversions import from_array
        from segzero_ros.msg import Segmentation
        from segzero_ros.qos import CAMERA_QOS

        self.answers = self.failures = self.followed = 0
        self._images = cycle(from_array(picture, Header(frame_id="eye")) for picture in pictures)
        self._node = rclpy.create_node("operator")
        self._change_state = self._node.create_client(ChangeState, "segzero/change_state")
        self._camera = self._node.create_publisher(Image, "image", CAMERA_QOS)
        self._query = self._node.create_publisher(String, "segzero/query", 10)
        self._results = self._node.create_subscription(
            Segmentation, "segzero/segmentation", self._on_result, 10
        )
        self._node.create_timer(0.1, self._film)

    def transition(self, label: str) -> None:
        """Raises RuntimeError if the node refuses."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        self._wait(self._change_state.service_is_ready, "the node")
        number = getattr(Transition, f"TRANSITION_{label.upper()}")
        future = self._change_state.call_async(
            ChangeState.Request(transition=Transition(id=number))
        )
        self._wait(future.done, label)
        if not future.result().success:
            raise RuntimeError(f"the node refused to {label}")

    def ask(self, question: str) -> None:
        """Wait for the answer, and if it has objects for ten frames in which they are followed."""
        from std_msgs.msg import String

        self._wait(self._query.get_subscription_count, "the node to listen")
        self._wait(self._results.get_publisher_count, "the node's results")
        ended, answered, followed = self.answers + self.failures, self.answers, self.followed
        self._query.publish(String(data=question))
        self._wait(lambda: self.answers + self.failures > ended, "an answer")
        if self.answers > answered:
            self._wait(lambda: self.followed >= followed + 10, "followed frames")

    def _film(self) -> None:
        image = next(self._images)
        image.header.stamp = self._node.get_clock().now().to_msg()
        self._camera.publish(image)

    def _on_result(self, result: Any) -> None:
        if result.state in (result.TRACKED, result.LOST):
            self.followed += 1
        elif result.state == result.ANSWERED:
            self.answers += 1
        elif result.state != result.PARTIAL:
            self.failures += 1

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(self._node, condition, what, TIMEOUT)


def growth(used: dict[int, float], start: int, step: int) -> dict[str, Any]:
    """Resident memory from `start` to the end, in MB. used: MB after so many frames or cycles."""
    later = [value for number, value in used.items() if number >= start]
    return {
        f"MB after {start}": round(used[start], 1),
        "MB at the end": round(later[-1], 1),
        "grown by [MB]": round(later[-1] - used[start], 1),
        "grown at most by [MB]": round(max(later) - used[start], 1),
        "MB after": {
            str(number): round(value, 1) for number, value in used.items() if number % step == 0
        },
    }


def resident(process: int | str) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def table(figures: dict[str, Any], warm_up: int) -> str:
    """The figures, a line each."""
    rows = []
    for part, start in (("following", warm_up), ("lifecycles", 1)):
        row = figures[part]
        count = row.get("frames", row.get("cycles"))
        rows.append(
            f"{part:<12}{count:>8}{row[f'MB after {start}']:>10}{row['MB at the end']:>10}"
            f"{row['grown by [MB]']:>10}{row['grown at most by [MB]']:>10}"
        )
    head = f"{'':<12}{'count':>8}{'MB before':>10}{'MB after':>10}{'grown':>10}{'at most':>10}"
    return "\n".join([head, *rows])


if __name__ == "__main__":
    sys.exit(main())
