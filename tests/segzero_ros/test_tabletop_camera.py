"""The simulated camera as a process of its own."""

import os
import queue
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image

from segzero_ros.images.conversions import to_rgb
from segzero_ros.qos import CAMERA_QOS, RELIABLE_QOS
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import Frame, TabletopRenderer, is_usable
from tests.segzero_ros.peer import Peer
from tests.segzero_ros.process import NodeProcess
from tests.segzero_ros.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.ros

StartNode = Callable[..., NodeProcess]


class Viewer(Peer):
    """Subscribes to the topics of the camera."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace, "tabletop_camera")
        self._pictures: queue.Queue[Image] = queue.Queue()
        self._ground_truths: queue.Queue[Image] = queue.Queue()
        self.listen(Image, "camera/image_raw", self._pictures, CAMERA_QOS)
        self.listen(Image, "tabletop_camera/ids", self._ground_truths, RELIABLE_QOS)

    def look(self) -> tuple[Image, Image]:
        """The next picture and the ids with the same stamp."""
        picture = self._pictures.get(timeout=DEADLINE)
        ground_truth = self._ground_truths.get(timeout=DEADLINE)
        while ground_truth.header != picture.header:  # a picture was lost on the way
            ground_truth = self._ground_truths.get(timeout=DEADLINE)
        return picture, ground_truth

    def shown_seed(self) -> int:
        request = GetParameters.Request(names=["seed"])
        return self.call(GetParameters, "get_parameters", request).values[0].integer_value


@pytest.fixture
def viewer(namespace: str) -> Iterator[Viewer]:
    viewer = Viewer(namespace)
    yield viewer
    viewer.close()


def rendered(seed: int, width: int, height: int) -> Frame:
    with TabletopRenderer(width, height) as renderer:
        return renderer.render(sample_scene(seed))


def test_the_camera_shows_the_scene_of_its_seed_and_the_ground_truth(
    start_node: StartNode, viewer: Viewer
) -> None:
    process = start_node("tabletop_camera", seed=7, width=160, height=120, frame_id="eye")
    picture, ground_truth = viewer.look()
    assert (picture.encoding, ground_truth.encoding) == ("rgb8", "mono8")
    assert picture.header.frame_id == "eye"
    expected = rendered(7, 160, 120)
    np.testing.assert_array_equal(to_rgb(picture), expected.rgb)
    np.testing.assert_array_equal(to_rgb(ground_truth)[..., 0], expected.ids)

    later, _ = viewer.look()
    assert later.header.stamp != picture.header.stamp

    assert viewer.set_parameter("seed", 8).successful
    expected = rendered(8, 160, 120)
    wait_until(lambda: viewer.look()[1].data.tobytes() == expected.ids.tobytes(), "scene 8")

    assert not viewer.set_parameter("seed", -1).successful
    assert not viewer.set_parameter("width", 320).successful
    process.signal(signal.SIGINT)
    assert process.ended() == 0
    assert "Traceback" not in process.output()


def test_new_scenes_come_by_themselves_and_are_usable(
    start_node: StartNode, viewer: Viewer
) -> None:
    start_node("tabletop_camera", seed=0, scene_period=0.2, width=160, height=120)
    wait_until(lambda: viewer.shown_seed() > 1, "the second scene")
    seed = viewer.shown_seed()
    assert is_usable(sample_scene(seed), rendered(seed, 160, 120))


def test_without_opengl_the_camera_says_what_to_install(
    start_node: StartNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What PyOpenGL raises where the library is missing.
    (tmp_path / "OpenGL").mkdir()
    (tmp_path / "OpenGL" / "__init__.py").write_text("None.eglQueryString")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    process = start_node("tabletop_camera")
    assert process.ended() == 1
    assert "apt install" in process.output()
    assert "Traceback" not in process.output()
