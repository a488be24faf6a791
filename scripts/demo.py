"""The demo: a simulated camera and the perception node as processes, asked over ROS 2.

Starts both, activates the perception node, asks questions of rising difficulty about several
tabletops, and compares each mask with the simulator's. Needs a sourced `install/setup.bash`;
`make demo` sees to that.
"""

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import rclpy
from ament_index_python.packages import get_package_prefix, get_package_share_directory
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.task import Future
from rclpy.time import Time
from sensor_msgs.msg import Image

from segzero.metrics import overlap
from segzero_ros.client import NoAnswer, SegZeroClient, state_name
from segzero_ros.msg import Segmentation
from segzero_sim.questions import Question, look, sample_question
from segzero_sim.scene import Scene, sample_scene
from segzero_sim.tabletop import Frame, is_usable

CATEGORIES = (1, 1, 2, 1, 3, 1, 4, 5)
CATEGORY_NAMES = {1: "name", 2: "comparison", 3: "reasoning", 4: "several", 5: "nothing there"}
TIMEOUT = 120.0
"""Seconds for loading the models, and again for each answer."""

Found = TypeVar("Found")


class DemoFailed(Exception):
    """The demo can't go on; the text says why."""


class Processes:
    """The demo's ROS nodes; their output goes to a log file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, executable: str, *remappings: str, **parameters: object) -> None:
        path = Path(get_package_prefix("segzero_ros"), "lib", "segzero_ros", executable)
        settings = [word for remapping in remappings for word in ("-r", remapping)]
        for name, value in parameters.items():
            settings += ["-p", f"{name}:={value}"]
        with self._log(executable).open("wb") as log:
            self._running[executable] = subprocess.Popen(
                [path, "--ros-args", *settings], stdout=log, stderr=subprocess.STDOUT
            )

    def check(self) -> None:
        """Raise DemoFailed if one has ended."""
        for executable, process in self._running.items():
            if process.poll() is not None:
                raise DemoFailed(
                    f"{executable} ended with {process.returncode}:\n{self.tail(executable)}"
                )

    def tail(self, executable: str) -> str:
        """The end of a log, and where all of it is."""
        lines = self._log(executable).read_text(errors="replace").splitlines()
        return "\n".join([*lines[-8:], f"(all of it: {self._log(executable)})"])

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()

    def _log(self, executable: str) -> Path:
        return self._folder / f"{executable}.log"


class DemoClient(Node):
    """Receives the simulator's ground truth and the node's pictures, by the frame's stamp."""

    def __init__(self, processes: Processes) -> None:
        super().__init__("demo")
        self._processes = processes
        self._ids: dict[int, NDArray[np.uint8]] = {}
        self._overlays: dict[int, NDArray[np.uint8]] = {}
        self._camera = AsyncParameterClient(self, "tabletop_camera")
        self.create_subscription(Image, "tabletop_camera/ids", self._on_ids, 10)
        self.create_subscription(Image, "segzero/overlay", self._on_overlay, 10)

    def activate(self) -> None:
        """Bring the perception node up."""
        client = self.create_client(ChangeState, "segzero/change_state")
        self.wait(lambda: client.service_is_ready() or None, "the perception node")
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            if not self._response(client.call_async(request), "the models").success:
                log = self._processes.tail("perception_node")
                raise DemoFailed(f"the perception node could not start:\n{log}")

    def show(self, seed: int) -> NDArray[np.uint8]:
        """Put another scene before the camera; returns its (H, W) instance ids."""
        self.wait(lambda: self._camera.services_are_ready() or None, "the camera")
        change = self._camera.set_parameters([Parameter("seed", value=seed)])
        result = self._response(change, "the camera").results[0]
        if not result.successful:
            raise DemoFailed(f"the camera can't show scene {seed}: {result.reason}")
        self._ids.clear()
        self._overlays.clear()
        changed = self.get_clock().now().nanoseconds
        return self.wait(
            lambda: next((ids for stamp, ids in self._ids.items() if stamp > changed), None),
            "a frame",
        )

    def ask(self, text: str) -> Segmentation:
        """Ask, and receive pictures meanwhile."""
        with SegZeroClient(self) as client:
            question = client.ask(text, timeout=TIMEOUT)
            self.wait(lambda: question.done or None, "an answer")
            return question.wait().segmentation

    def ground_truth(self, answer: Segmentation) -> NDArray[np.uint8]:
        """The (H, W) instance ids of the frame that was answered."""
        return self.wait(lambda: self._ids.get(_stamp(answer)), "the ground truth")

    def picture(self, answer: Segmentation) -> NDArray[np.uint8]:
        """The perception node's picture of an answer, (H, W, 3) uint8 RGB."""
        return self.wait(lambda: self._overlays.get(_stamp(answer)), "the overlay")

    def wait(self, look: Callable[[], Found | None], what: str) -> Found:
        """Spin until `look()` finds something."""
        deadline = time.monotonic() + TIMEOUT
        while (found := look()) is None:
            self._processes.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"waited {TIMEOUT:.0f} s for {what}")
            rclpy.spin_once(self, timeout_sec=0.1)
        return found

    def _response(self, future: Future, of: str) -> Any:
        return self.wait(lambda: future.result() if future.done() else None, of)

    def _on_ids(self, message: Image) -> None:
        self._ids[_stamp(message)] = _pixels(message)

    def _on_overlay(self, message: Image) -> None:
        self._overlays[_stamp(message)] = _pixels(message)


def main() -> int:
    arguments = _parser().parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    _settle_ros()
    try:
        with _ros(arguments) as client:
            ious, pictures = _ask_all(client, arguments.seed)
    except (DemoFailed, NoAnswer) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    target = arguments.out / "overlay.png"
    cv2.imwrite(str(target), cv2.cvtColor(_sheet(pictures), cv2.COLOR_RGB2BGR))
    print(f"\nMean IoU {np.mean(ious):.2f} over {len(ious)} questions; pictures in {target}")
    return 0


@contextmanager
def _ros(arguments: argparse.Namespace) -> Iterator[DemoClient]:
    """The running nodes, active, and the client that asks them."""
    rclpy.init()
    processes = Processes(arguments.out)
    try:
        print("Starting the camera and the perception node; loading the models…", flush=True)
        processes.start("tabletop_camera", rate=5.0)
        processes.start(
            "perception_node",
            "image:=camera/image_raw",
            profile=arguments.profile,
            device=arguments.device,
        )
        client = DemoClient(processes)
        client.activate()
        yield client
    finally:
        processes.stop()
        rclpy.try_shutdown()


def _ask_all(client: DemoClient, seed: int) -> tuple[list[float], list[NDArray[np.uint8]]]:
    ious, pictures = [], []
    for number, question in enumerate(_questions(client, seed), start=1):
        print(
            f"\n{number}/{len(CATEGORIES)}  {question.text}  ({CATEGORY_NAMES[question.category]})",
            flush=True,
        )
        answer = client.ask(question.text)
        iou = _report(client, question, answer)
        ious.append(iou)
        if answer.state != Segmentation.FAILED:
            pictures.append(client.picture(answer))
    if not pictures:
        raise DemoFailed("not one question was answered")
    return ious, pictures


def _questions(client: DemoClient, seed: int) -> Iterator[Question]:
    """One question of each of CATEGORIES, each about another scene that allows it."""
    for category in CATEGORIES:
        question = None
        while question is None:
            question = _question(sample_scene(seed), client.show(seed), category, seed)
            seed += 1
        yield question


def _question(scene: Scene, ids: NDArray[np.uint8], category: int, seed: int) -> Question | None:
    """A question about a scene, None if it allows none or hides a part of its objects."""
    unseen = np.zeros((0, 0), np.float32)
    if not is_usable(scene, Frame(rgb=unseen.astype(np.uint8), depth=unseen, ids=ids)):
        return None
    return sample_question(look(scene, ids), category, np.random.default_rng(seed))


def _report(client: DemoClient, question: Question, answer: Segmentation) -> float:
    """Print an answer; returns its IoU with the ground truth, 0 without an answer."""
    if answer.state == Segmentation.FAILED:
        print(f"     failed: {answer.error}\n     IoU 0.00", flush=True)
        return 0.0
    print(f"     {answer.reasoning}")
    print(f"     {state_name(answer)}, {len(answer.objects)} objects")
    for item in answer.objects:
        x1, y1, x2, y2 = (round(float(value)) for value in item.box)
        print(f"     {item.id}: box {x1},{y1} to {x2},{y2}, score {item.score:.2f}")
    ground_truth = np.isin(client.ground_truth(answer), question.ids)
    iou = overlap(_pixels(answer.mask) > 0, ground_truth).iou
    print(f"     IoU {iou:.2f}", flush=True)
    return iou


def _sheet(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """All pictures on one (H, W, 3) sheet."""
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


def _settle_ros() -> None:
    """Stay on this machine in a ROS domain of its own, unless the user sets these variables."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    domain = os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    share = get_package_share_directory("segzero_ros")
    os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", f"{share}/config/fastdds.xml")
    print(f"ROS_DOMAIN_ID={domain}")


def _pixels(message: Image) -> NDArray[np.uint8]:
    """(H, W) of mono8 or (H, W, 3) of rgb8, without padding as this project publishes them."""
    shape = (message.height, message.width, 3)[: 2 if message.encoding == "mono8" else 3]
    return np.frombuffer(message.data, np.uint8).reshape(shape)


def _stamp(message: Any) -> int:
    """When the frame was taken, in nanoseconds."""
    return Time.from_msg(message.header.stamp).nanoseconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--profile", default="demo", help="models to ask (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--seed", type=int, default=0, help="the first scene")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
