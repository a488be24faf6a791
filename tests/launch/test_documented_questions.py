"""Every question that the documentation tells a newcomer to ask is answered rightly."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segzero.metrics import overlap
from segzero.pipeline import SegZero
from segzero_ros.tabletop_camera import CameraParameters
from segzero_sim.motion import set_in_motion
from segzero_sim.questions import look, questions
from segzero_sim.scene import Scene, sample_scene
from segzero_sim.tabletop import TabletopRenderer

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch" / "demo.launch.py"
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "launch").glob("*.py")),
    ROOT / "config" / "foxglove-layout.json",
    ROOT / "segzero" / "cli.py",
    *sorted((ROOT / "segzero_ros" / "client").glob("*.py")),
    ROOT / "segzero_ros" / "annotate.py",
    *sorted((ROOT / "examples").glob("*.py")),
)
ASKED = re.compile(
    r"""\bask\ "([^"]+)"              # ros2 run segzero_ros ask "…"
    | \bask\((?:image,\ )?"([^"]+)"   # client.ask("…"), model.ask(image, "…")
    | \bdata\\?"?:\ \\?['"]([^'"\\]+) # ros2 topic pub, Foxglove's panel
    | \bannotate\ \S+\ "([^"]+)"      # ros2 run segzero_ros annotate BAG "…"
    | examples/\w+\.py\ "([^"]+)"    # python examples/watch.py "…"
    | camera:\ \*"([^"]+)"            # the README's first line
    | such\ as\ '([^']+)'""",  # --help
    re.VERBOSE,
)
SCENE = sample_scene(CameraParameters().seed)


def documented() -> dict[str, list[str]]:
    """Each question with the names of the pages that have it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for match in ASKED.finditer(page.read_text()):
            question = next(filter(None, match.groups()))
            found.setdefault(question, []).append(page.name)
    return found


@pytest.fixture(scope="module")
def model() -> Iterator[SegZero]:
    model = SegZero.load("demo", "cpu")
    yield model
    model.close()


@pytest.fixture(scope="module")
def renderer() -> Iterator[TabletopRenderer]:
    parameters = CameraParameters()
    with TabletopRenderer(parameters.width, parameters.height) as renderer:
        yield renderer


def iou(model: SegZero, renderer: TabletopRenderer, scene: Scene, question: str) -> float:
    """The IoU of the answer with the objects that the simulator knows to answer the question."""
    frame = renderer.render(scene, depth=False)
    known = {item.text: item.ids for item in questions(look(scene, frame.ids))}
    assert known.get(question), f"nothing in the first scene answers {question!r}"
    found = model.ask(frame.rgb, question).mask() > 0
    return overlap(found, np.isin(frame.ids, known[question])).iou


def test_the_pages_that_ask_are_read() -> None:
    asking = {page for pages in documented().values() for page in pages}
    assert asking >= {"README.md", "robot.md", "demo.launch.py", "foxglove-layout.json"}
    assert "where is something I could drink from?" in documented()


def test_the_launch_file_shows_the_cameras_first_scene() -> None:
    (seed,) = re.findall(r'"seed",\s*default_value="(\d+)"', LAUNCH.read_text())
    assert int(seed) == CameraParameters().seed


@pytest.mark.parametrize("question", documented())
def test_a_documented_question_is_answered_rightly_in_the_first_scene(
    model: SegZero, renderer: TabletopRenderer, question: str
) -> None:
    assert iou(model, renderer, SCENE, question) >= 0.5


@pytest.mark.parametrize("seconds", [4.0, 10.0, 16.0, 22.0])
def test_the_launch_files_question_is_answered_rightly_while_the_scene_moves(
    model: SegZero, renderer: TabletopRenderer, seconds: float
) -> None:
    (question,) = (text for text, pages in documented().items() if LAUNCH.name in pages)
    assert iou(model, renderer, set_in_motion(SCENE).at(seconds), question) >= 0.5
