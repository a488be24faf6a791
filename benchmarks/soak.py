"""`python benchmarks/soak.py`: an hour of everything at once, with the demo's models.

Perception node and camera run as processes. Questions for four goals, cleared goals, cancelled
action goals, shown objects, changed parameters, lifecycle transitions and killed cameras follow
each other at random. Every question must end exactly once, with a code if it failed. Memory,
threads and open files of the node are sampled.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import records
from processes import keep_apart, wait_until

GOALS = ("", "fetch", "avoid", "watch")
THINGS = ("the red ball", "the blue box", "the green mug", "something to drink from", "the robot")
TIMEOUT = 60.0
"""Seconds in which every question must have ended."""
SAMPLE = 5.0
"""Seconds between two samples."""
WARM_UP = 0.25
"""Share of the time before which memory may grow."""
CAMERA = ("tabletop_camera", "-p", "width:=320", "-p", "height:=240", "-p", "rate:=15.0")


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "soak.json")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    keep_apart()
    soak = Soak(random.Random(options.seed))
    try:
        figures = soak.run(options.minutes * 60)
    finally:
        soak.close()
    figures = {"minutes": options.minutes, "seed": options.seed, **figures}
    figures["load before"] = round(load, 1)
    records.record(figures, ("torch", "transformers", "ros-jazzy-rclpy"), options.out)
    print(json.dumps(figures, indent=2))
    return 0 if not figures["questions without exactly one end"] else 1


class Soak:
    """Operates a node; spins only while it waits."""

    def __init__(self, rng: random.Random) -> None:
        import rclpy
        from lifecycle_msgs.srv import ChangeState
        from rcl_interfaces.srv import SetParameters
        from std_msgs.msg import String

        from segzero_ros.client import SegZeroClient
        from segzero_ros.msg import Query, Segmentation
        from segzero_ros.srv import AddObjects, ClearGoal

        self._rng = rng
        self._node_process = start(
            "perception_node", "-p", "autostart:=true", "-r", "image:=camera/image_raw"
        )
        self._camera = start(*CAMERA)
        rclpy.init()
        self._rclpy = rclpy
        self._ros = rclpy.create_node("soak")
        self._client = SegZeroClient(self._ros)
        self._asker = self._ros.create_publisher(Query, "segzero/ask", 100)
        self._plain = self._ros.create_publisher(String, "segzero/query", 100)
        self._services = {
            kind: self._ros.create_client(kind, f"segzero/{name}")
            for kind, name in (
                (ClearGoal, "clear_goal"),
                (AddObjects, "add_objects"),
                (SetParameters, "set_parameters"),
                (ChangeState, "change_state"),
            )
        }
        self._ros.create_subscription(Segmentation, "segzero/segmentation", self._on_result, 1000)
        self._asked: dict[str, float] = {}  # by request id
        self._ends: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._reasked = False  # since when an answer may be repeated
        self._frames = 0
        self._begin = 0.0
        self._done: Counter[str] = Counter()
        self._wait(lambda: self._asker.get_subscription_count(), "the node")
        self._client.ask("the red ball", timeout=TIMEOUT).wait(TIMEOUT)

    def run(self, seconds: float) -> dict[str, Any]:
        """Do things at random; return the figures."""
        actions: list[tuple[Callable[[], None], int]] = [
            (self.ask, 30),
            (self.ask_again_at_once, 8),
            (self.stop_goal, 8),
            (self.clear_goal, 8),
            (self.cancel, 8),
            (self.show, 8),
            (self.change_parameter, 8),
            (self.let_it_be, 16),
            (self.kill_camera, 2),
            (self.cycle, 2),
        ]
        choices = [action for action, _ in actions]
        weights = [weight for _, weight in actions]
        samples: list[tuple[float, float, int, int]] = []
        self._begin = time.monotonic()
        while (now := time.monotonic() - self._begin) < seconds:
            (action,) = self._rng.choices(choices, weights)
            self._done[action.__name__] += 1
            action()
            if not samples or now - samples[-1][0] >= SAMPLE:
                samples.append((now, *usage(self._node_process.pid)))
        self._settle()
        return self._figures(samples, seconds)

    def ask(self) -> None:
        self._ask(self._rng.choice(GOALS))
        self._spin(self._rng.uniform(0.05, 1.5))

    def ask_again_at_once(self) -> None:
        goal = self._rng.choice(GOALS)
        for _ in range(5):
            self._ask(goal)
        self._spin(0.3)

    def stop_goal(self) -> None:
        from segzero_ros.msg import Query

        self._asker.publish(Query(goal=self._rng.choice(GOALS), text="", request_id="stop"))
        self._spin(0.3)

    def clear_goal(self) -> None:
        from segzero_ros.srv import ClearGoal

        self._call(ClearGoal, ClearGoal.Request(goal=self._rng.choice(GOALS)))

    def cancel(self) -> None:
        query = self._client.ask(self._rng.choice(THINGS), goal=self._rng.choice(GOALS))
        self._asked[query.request_id] = time.monotonic()
        self._spin(self._rng.uniform(0.0, 0.3))
        query.cancel()
        query.wait(TIMEOUT)

    def show(self) -> None:
        from segzero_ros.msg import ObjectPrompt
        from segzero_ros.srv import AddObjects

        left, top = self._rng.uniform(0, 200), self._rng.uniform(0, 150)
        box = [left, top, left + 60.0, top + 60.0]
        shown = ObjectPrompt(label="shown", box=box)
        self._call(AddObjects, AddObjects.Request(goal=self._rng.choice(GOALS), objects=[shown]))

    def change_parameter(self) -> None:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        settings: dict[str, list[Any]] = {
            "follow": [True, True, True, False],
            "catch_up": [0, 4, 8],
            "history": [8, 64],
            "reask": ["never", "on_lost", "every"],
            "reask_period": [1.0, 5.0],
            "max_goals": [2, 8],
            "mask_encoding": ["mono8", "mono16"],
        }
        name, values = self._rng.choice(list(settings.items()))
        value = self._rng.choice(values)
        self._reasked = self._reasked or (name == "reask" and value != "never")
        message = Parameter(name, value=value).to_parameter_msg()
        self._call(SetParameters, SetParameters.Request(parameters=[message]))

    def let_it_be(self) -> None:
        self._spin(2.0)

    def kill_camera(self) -> None:
        self._camera.kill()
        self._camera.wait()
        self._ask(self._rng.choice(GOALS))
        self._spin(self._rng.uniform(0.5, 4.0))
        self._camera = start(*CAMERA)
        self._spin(3.0)

    def cycle(self) -> None:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        self._settle()  # a question on its way to a node that goes would get lost
        for number in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
            self._call(ChangeState, ChangeState.Request(transition=Transition(id=number)))
        self._wait(lambda: self._asker.get_subscription_count(), "the node")
        self._spin(1.0)

    def close(self) -> None:
        for process in (self._node_process, self._camera):
            process.terminate()
            process.wait(20)
        self._client.close()
        self._ros.destroy_node()
        self._rclpy.shutdown()

    def _ask(self, goal: str) -> None:
        from segzero_ros.msg import Query

        request_id = f"r-{len(self._asked)}"
        self._asked[request_id] = time.monotonic()
        text = self._rng.choice((*THINGS, "?"))  # one of them is refused
        self._asker.publish(Query(text=text, goal=goal, request_id=request_id))

    def _settle(self) -> None:
        """Wait until every question has ended."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and self._asked.keys() - self._ends.keys():
            self._spin(0.1)
        self._spin(0.5)

    def _on_result(self, message: Any) -> None:
        kind = type(message)
        if message.state in (kind.TRACKED, kind.LOST):
            self._frames += 1
        elif message.state != kind.PARTIAL and message.request_id in self._asked:
            if message.error_code == kind.ERROR_FOLLOWING_ENDED:
                return
            end = (message.state, message.error_code)
            repeated = self._reasked and end[0] == kind.ANSWERED and self._ends[message.request_id]
            if not repeated:
                self._ends[message.request_id].append(end)

    def _figures(
        self, samples: list[tuple[float, float, int, int]], seconds: float
    ) -> dict[str, Any]:
        times, memory, threads, files = np.array(samples).T
        late = times > WARM_UP * seconds
        slope = np.polyfit(times[late] / 3600, memory[late], 1)[0]
        wrong = {name: self._ends[name] for name in self._asked if len(self._ends[name]) != 1}
        ends = Counter(end for name in self._asked for end in self._ends[name])
        return {
            "actions": dict(self._done),
            "questions": len(self._asked),
            "questions without exactly one end": len(wrong),
            "ends, by state and code": {f"{s}/{c}": n for (s, c), n in sorted(ends.items())},
            "these": [
                {"asked at [s]": round(self._asked[name] - self._begin), "ends": ends_}
                for name, ends_ in list(wrong.items())[:10]
            ],
            "failed without a code": sum(n for (s, c), n in ends.items() if s == 4 and c == 0),
            "frames followed": self._frames,
            "memory [MiB] first, after warm-up, last": [
                round(float(value), 1) for value in (memory[0], memory[late][0], memory[-1])
            ],
            "memory slope after warm-up [MiB/h]": round(float(slope), 2),
            "threads after warm-up": [int(threads[late].min()), int(threads[late].max())],
            "open files after warm-up": [int(files[late].min()), int(files[late].max())],
        }

    def _call(self, kind: Any, request: Any) -> Any:
        future = self._services[kind].call_async(request)
        self._wait(future.done, kind.__name__)
        return future.result()

    def _spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() > end, "time")

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(self._ros, condition, what, TIMEOUT)


def start(module: str, *options: str) -> "subprocess.Popen[bytes]":
    """Start a node of segzero_ros; its output goes nowhere but errors'."""
    command = [sys.executable, "-m", f"segzero_ros.{module}", "--ros-args", *options]
    if module == "tabletop_camera":
        command += ["-p", "motion:=true", "-r", "__ns:=/"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def usage(process: int) -> tuple[float, int, int]:
    """Resident memory in MiB, threads and open files of a process."""
    folder = Path(f"/proc/{process}")
    pages = int((folder / "statm").read_text().split()[1])
    threads = len(list((folder / "task").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, threads, len(list((folder / "fd").iterdir()))


if __name__ == "__main__":
    sys.exit(main())
