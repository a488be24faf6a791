"""What `pip install .` brings to a machine without ROS."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a copy of the tree; setuptools would write into the tree itself."""
    work = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file():
            (work / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, work / "tree" / name)
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", work)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, work / "tree"], check=True)
    return zipfile.ZipFile(next(work.glob("segzero-*.whl")))


def test_the_wheel_holds_modules_profiles_and_demo_weights(wheel):
    names = wheel.namelist()
    assert "segzero/pipeline.py" in names
    assert "segzero/reasoning/local.py" in names
    assert "segzero/config/profiles/demo.yaml" in names
    assert "segzero/checkpoints/demo/reasoner/model.safetensors" in names
    assert "segzero/checkpoints/demo/segmenter/model.safetensors" in names


def test_the_wheel_leaves_the_ros_package_to_colcon(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops & {"segzero_ros", "tests", "scripts", "config", "checkpoints"} == set()


def test_an_installed_wheel_finds_its_profiles(wheel, tmp_path):
    wheel.extractall(tmp_path)
    program = "from segzero import checkpoints as c; print(c.resource_root(), c.profile_names())"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith(f"{tmp_path}/segzero ")
    assert "'demo'" in result.stdout
