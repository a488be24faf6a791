"""`make demo` with models that know nothing: what it prints, writes and returns."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import readme_picture

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def demo(out: Path, profile: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in a ROS domain that it chooses itself."""
    variables = {name: value for name, value in os.environ.items() if name != "ROS_DOMAIN_ID"}
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo.py", "--profile", str(profile), "--out", out],
        cwd=out,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_every_question_gets_an_answer_an_iou_and_a_picture(
    tmp_path: Path, tiny_profile: Path
) -> None:
    result = demo(tmp_path, tiny_profile)
    assert result.returncode == 0, result.stderr
    ious = [float(value) for value in re.findall(r"^     IoU (\d\.\d\d)$", result.stdout, re.M)]
    assert len(ious) == 8
    (mean,) = re.findall(r"Mean IoU (\d\.\d\d) over 8 questions", result.stdout)
    assert float(mean) == pytest.approx(sum(ious) / 8, abs=0.011)
    sheet = cv2.imread(str(tmp_path / "overlay.png"))
    assert sheet is not None
    assert sheet.shape[0] > 3 * 480
    assert sheet.shape[1] == 3 * 640


def test_models_that_do_not_load_fail_the_demo_with_the_reason(tmp_path: Path) -> None:
    result = demo(tmp_path, "no-such-profile")
    assert result.returncode == 1
    assert "there is no profile 'no-such-profile'" in result.stderr


def test_a_node_that_dies_fails_the_demo_with_its_last_words(
    tmp_path: Path, tiny_profile: Path
) -> None:
    result = demo(tmp_path, tiny_profile, MUJOCO_GL="nonsense")
    assert result.returncode == 1
    assert "tabletop_camera ended with 1" in result.stderr
    assert "MUJOCO_GL" in result.stderr


def test_the_readmes_picture_follows_the_right_objects() -> None:
    # Raises where the answer or a mask is wrong.
    drawn = list(readme_picture.pictures(6))
    assert len(drawn) == 8
    assert {picture.shape for picture in drawn} == {drawn[0].shape}
    image = ROOT / "docs" / "demo.webp"
    assert image.stat().st_size < 1_500_000
    assert f"docs/{image.name}" in (ROOT / "README.md").read_text()
