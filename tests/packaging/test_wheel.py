"""What `pip install` of the wheel and of the sdist brings to a machine without ROS."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from segzero_sim.tabletop import TabletopRenderer, draw_usable

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip")
BUILD_SDIST = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"


def tracked() -> set[str]:
    """The files that git has, or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


@dataclass(frozen=True)
class Built:
    """`rebuilt` is the wheel of the sdist."""

    wheel: Path
    sdist: Path
    rebuilt: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both, of a copy of these files; setuptools would write into the tree itself."""
    work = tmp_path_factory.mktemp("built")
    for name in tracked():
        (work / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, work / "tree" / name)
    tree = work / "tree"
    subprocess.run([sys.executable, "-c", BUILD_SDIST, work], cwd=tree, check=True)
    (sdist,) = work.glob("segzero-*.tar.gz")
    wheels: list[Path] = []
    for source, folder in ((tree, work / "of_the_tree"), (sdist, work / "of_the_sdist")):
        options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
        subprocess.run([*PIP, "wheel", *options, source], check=True)
        wheels += folder.glob("segzero-*.whl")
    wheel, rebuilt = wheels
    return Built(wheel, sdist, rebuilt)


@pytest.fixture(scope="module")
def wheel_names(built: Built) -> set[str]:
    return set(zipfile.ZipFile(built.wheel).namelist())


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        ("config/profiles", "segzero/config/profiles"),
        ("checkpoints/demo", "segzero/checkpoints/demo"),
        ("config/accelerate", "segzero_train/config/accelerate"),
        ("config/deepspeed", "segzero_train/config/deepspeed"),
        ("config/grpo", "segzero_train/config/grpo"),
        ("config/sft", "segzero_train/config/sft"),
        ("segzero_console/static", "segzero_console/static"),
    ],
)
def test_the_wheel_holds_configuration_demo_weights_and_the_page(
    wheel_names: set[str], folder: str, inside: str
) -> None:
    wanted = {inside + name.removeprefix(folder) for name in tracked() if name.startswith(folder)}
    assert wanted and wanted <= wheel_names


def test_the_wheel_holds_every_module_and_the_types(wheel_names: set[str]) -> None:
    tops = ("segzero/", "segzero_console/", "segzero_sim/", "segzero_train/")
    modules = {name for name in tracked() if name.startswith(tops) and name.endswith(".py")}
    assert modules | {"segzero/py.typed"} <= wheel_names


def test_the_wheel_leaves_the_ros_package_to_colcon(wheel_names: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "segzero",
        "segzero_console",
        "segzero_sim",
        "segzero_train",
    }


def test_the_sdist_holds_what_the_repository_holds(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked() - names == set()


def files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_sdist_installs_what_the_wheel_installs(built: Built) -> None:
    assert files(built.rebuilt) == files(built.wheel)


@pytest.fixture(scope="module")
def environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executables of an environment where the wheel of the sdist is installed.

    The dependencies are those of this environment, whose own segzero is not seen: a `.pth` file
    does not lead to further `.pth` files.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    packages = next((folder / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed")
    subprocess.run([*PIP, "--python", python, "install", *options, built.rebuilt], check=True)
    return python.parent


def run(command: list[str | Path], folder: Path) -> str:
    result = subprocess.run(
        command,
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_an_installed_package_is_the_one_that_answers(environment: Path, tmp_path: Path) -> None:
    with TabletopRenderer(640, 480) as renderer:
        _, frame = draw_usable(renderer, 500_000)
    cv2.imwrite(str(tmp_path / "frame.png"), frame.rgb[..., ::-1])
    where = "import segzero; print(segzero.__file__)"
    assert str(environment.parent) in run([environment / "python", "-c", where], tmp_path)
    command: list[str | Path] = [environment / "segzero", "ask", "frame.png", "the red ball"]
    assert run([*command, "--out", "overlay.png"], tmp_path)
    assert (tmp_path / "overlay.png").is_file()


def test_an_installed_package_takes_a_step_of_grpo(environment: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [environment / "python", "-m", "segzero_train.grpo"]
    command += ["--config", "demo"]
    smaller = [
        "--dataset_size",
        "4",
        "--per_device_train_batch_size",
        "8",
        "--num_generations",
        "4",
    ]
    run([*command, "--max_steps", "1", "--held_out_size", "4", *smaller], tmp_path)
    assert (tmp_path / "runs" / "grpo-demo" / "checkpoint-1").is_dir()


UNKNOWN = """
import contextlib, io, json
from segzero_train import grpo, sft
said = {}
for command in (grpo, sft):
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        assert command.main(["--config", "none"]) == 1
    said[command.__name__.partition(".")[2]] = stderr.getvalue()
print(json.dumps(said))
"""


def test_an_unknown_recipe_is_told_the_names_of_all(environment: Path, tmp_path: Path) -> None:
    printed = run([environment / "python", "-c", UNKNOWN], tmp_path)
    said = json.loads(printed.splitlines()[-1])
    assert said.keys() == {"grpo", "sft"}
    for method, text in said.items():
        recipes = [path.stem for path in (ROOT / "config" / method).glob("*.yaml")]
        assert recipes
        assert [name for name in recipes if name not in text] == []
