"""`python benchmarks/goals.py`: do masks pause while questions are thought about?

**live**: a camera process plays a moving tabletop at 30 Hz over Fast DDS to the perception node
with the demo's models. One goal is followed. Then questions for this goal and for others are
thought about for 5 s each, by computing the answer again and again. The gaps are those between
results on ~/segmentation.

**clips**: three objects of a clip become goals one after another, two seconds apart, while those
before are followed by the same tracker.
"""

import argparse
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from ctypes import c_double
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import follow_tabletop
import numpy as np
import records
from follow_tabletop import FIRST_SEED, FRAMES, HEIGHT, RATE, WIDTH, Followed
from live import camera
from processes import end_all, keep_apart, run_perception_node

THINKING = 5.0
"""Seconds that an answer takes."""
FOLLOW = 4.0
"""Seconds that are watched before a question, and after its answer."""
APART = 60
"""Frames from one goal of a clip to the next."""


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--clips", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "goals.json")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    keep_apart()
    figures = {
        "image": f"{WIDTH}x{HEIGHT} at {RATE} Hz",
        "live": live(options.rounds),
        "clips": clips(options.clips),
        "load before": round(load, 1),
    }
    records.record(figures, ("torch", "transformers", "ros-jazzy-rclpy", "mujoco"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


# Live


def live(rounds: int) -> dict[str, Any]:
    """Run camera, node and asker; return the figures."""
    start = multiprocessing.get_context("spawn")
    end, thinking = start.Event(), start.Value(c_double, 0.0)
    camera_end, camera_pipe = start.Pipe()
    processes = [
        start.Process(target=camera, args=(end, camera_pipe)),
        start.Process(target=node, args=(end, thinking)),
    ]
    for process in processes:
        process.start()
    try:
        watcher = Watcher(f"the {camera_end.recv()}")
        watched = [watcher.round(thinking) for _ in range(rounds)]
        watcher.close()
    finally:
        end.set()
    camera_end.recv()
    end_all(processes)
    return summary(watched)


def summary(rounds: Sequence[dict[str, list[float]]]) -> dict[str, Any]:
    """Periods and gaps in milliseconds, by what goes on."""
    joined = {name: [gap for each in rounds for gap in each[name]] for name in rounds[0]}
    period = float(np.median(joined["alone"]))
    return {
        "rounds": len(rounds),
        "seconds of thinking": THINKING,
        "period alone [ms]": records.spread([1000 * gap for gap in joined["alone"]]),
        "longest gap alone [ms]": round(1000 * max(joined["alone"]), 1),
        **{
            what: {
                "period [ms]": records.spread([1000 * gap for gap in gaps]),
                "longest gap [ms]": round(1000 * max(gaps), 1),
                "longest gap / period alone": round(max(gaps) / period, 2),
                "rate / rate alone": round(period / float(np.mean(gaps)), 2),
            }
            for what, gaps in joined.items()
            if what != "alone"
        },
    }


class Watcher:
    """Asks for goals and notes when followed frames come; spins only while it waits."""

    def __init__(self, question: str) -> None:
        import rclpy
        from std_srvs.srv import Trigger

        from segzero_ros.msg import Query, Segmentation

        rclpy.init()
        self._rclpy, self._result, self._query = rclpy, Segmentation, Query
        self._question = question
        self._node = rclpy.create_node("watcher")
        self._asker = self._node.create_publisher(Query, "segzero/ask", 10)
        self._clear = self._node.create_client(Trigger, "segzero/clear")
        self._node.create_subscription(Segmentation, "segzero/segmentation", self._on_result, 100)
        self._frames: list[float] = []
        self._answers: list[tuple[str, int]] = []
        self._wait(lambda: self._asker.get_subscription_count(), "the node")
        self._wait(self._clear.service_is_ready, "the service")
        self._spin(2.0)  # discovery of the other topics

    def round(self, thinking: Any) -> dict[str, list[float]]:
        """Follow one goal; think about it again, then about another."""
        from std_srvs.srv import Trigger

        self._ask("first")
        self._spin(1.0)
        gaps = {"alone": self._gaps(lambda: self._spin(FOLLOW))}
        thinking.value = THINKING
        gaps["the same goal"] = self._gaps(lambda: self._ask("first", follow=FOLLOW))
        gaps["another goal"] = self._gaps(lambda: self._ask("second", follow=FOLLOW))
        thinking.value = 0.0
        self._wait(self._clear.call_async(Trigger.Request()).done, "the end")
        self._spin(1.0)
        return gaps

    def close(self) -> None:
        self._node.destroy_node()
        self._rclpy.shutdown()

    def _ask(self, goal: str, *, follow: float = 0.0) -> None:
        """Ask until there is an answer with objects: the demo's reasoner isn't always right."""
        found = False
        while not found:
            self._answers = []
            self._asker.publish(self._query(text=self._question, goal=goal))
            self._wait(lambda: self._answers, "an answer")
            found = self._answers[0] == (goal, self._result.ANSWERED)
        self._spin(follow)

    def _gaps(self, work: Callable[[], object]) -> list[float]:
        self._frames = []
        work()
        return np.diff(self._frames).tolist()

    def _on_result(self, message: Any) -> None:
        if message.state in (self._result.TRACKED, self._result.LOST):
            self._frames.append(time.monotonic())
        elif message.state != self._result.PARTIAL:
            self._answers.append((message.goal, message.state))

    def _spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() > end, "time")

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + 120
        while not condition():
            self._rclpy.spin_once(self._node, timeout_sec=0.01)
            if time.monotonic() > end:
                raise TimeoutError(f"waited 120 s for {what}")


def node(end: Event, thinking: Any) -> None:
    """Run the perception node until the end; answers are computed for `thinking` seconds."""
    from segzero.pipeline import SegZero

    class Slow(SegZero):
        def ask(self, *args: Any, stop: threading.Event | None = None, **options: Any) -> Any:
            until = time.monotonic() + thinking.value
            while time.monotonic() < until:
                super().ask(*args, stop=stop)
            return super().ask(*args, stop=stop, **options)

    run_perception_node(Slow.load, end)


# Clips


def clips(count: int) -> dict[str, Any]:
    """Follow three goals of each clip that begin one after another."""
    from segzero.pipeline import SegZero
    from segzero_sim.tabletop import TabletopRenderer

    model = SegZero.load("demo")
    followed: list[list[Followed]] = []
    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        for number in range(count):
            followed.append(follow_goals(model, renderer, number))
            print(f"clip {number}: {len(followed[-1])} objects", flush=True)
    figures = follow_tabletop.summary(followed)
    items = [item for clip in followed for item in clip]
    figures["most visible frames in a row without a mask"] = max(map(longest_loss, items))
    return figures


def follow_goals(model: Any, renderer: Any, number: int) -> list[Followed]:
    """Each object from the frame in which its goal begins."""
    from dataclasses import replace

    from segzero_sim.motion import set_in_motion
    from segzero_sim.questions import Question, look
    from segzero_sim.tabletop import draw_usable
    from segzero_train.datasets.tabletop import to_sample

    scene, _ = draw_usable(renderer, FIRST_SEED + number, (3, 5), depth=False)
    motion = set_in_motion(scene)
    tracker, own = None, dict[int, int]()
    rows: dict[int, list[tuple[float, float, bool, bool]]] = {}
    for k in range(FRAMES):
        frame = renderer.render(motion.at(k / RATE), depth=False)
        if tracker is not None:
            for item in tracker.step(frame.rgb):
                row = follow_tabletop._compare(item, own[item.id], frame.ids, scene)
                rows[item.id].append(row)
        if k % APART == 0:
            seen = look(scene, frame.ids)
            new = [item.id for item in seen if item.id not in own.values()]
            if not new:
                continue
            goal = Question(category=1, text="", ids=(new[0],))
            (found,) = model.segment(frame.rgb, to_sample("", frame, seen, goal).objects)
            found = replace(found, id=len(own) + 1)
            own[found.id], rows[found.id] = new[0], []
            joining = model.track(frame.rgb, [found])
            if tracker is None:
                tracker = joining
            else:
                tracker.join(joining)
    return [
        Followed(follow_tabletop._name(scene, own[number]), *fields(rows[number]))
        for number in rows
    ]


def fields(rows: Sequence[tuple[float, float, bool, bool]]) -> tuple[Any, Any, Any, Any]:
    """area, iou, seen and swapped of `Followed`."""
    area, iou, seen, swapped = np.array(rows).T
    return area, iou, seen.astype(bool), swapped.astype(bool)


def longest_loss(item: Followed) -> int:
    """Most frames in a row in which an object is visible and has no mask."""
    lost = item.visible & ~item.seen
    return max((end - start for start, end in follow_tabletop._runs(lost)), default=0)


if __name__ == "__main__":
    sys.exit(main())
