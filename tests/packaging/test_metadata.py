"""What pip, colcon and rosdep read: complete, and of one mind."""

import ast
import contextlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import segzero

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(  # .+)?$")


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {match[1]: match[2] for match in map(PIN.match, constraints()) if match}


def package() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def test_every_constraint_is_one_exact_pin():
    assert [line for line in constraints() if not PIN.match(line)] == []
    assert len(pins()) == len(constraints())


def requirements() -> list[Requirement]:
    return [Requirement(line) for line in metadata.requires("segzero") or []]


def test_every_requirement_is_pinned():
    assert {canonicalize_name(wanted.name) for wanted in requirements()} - pins().keys() == set()


def test_the_training_servers_pins_are_those_that_it_installs():
    lines = (ROOT / "constraints-train.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert found.items() <= pins().items()
    assert not [name for name in found if name.startswith("ros-")]
    wanted = {
        canonicalize_name(item.name)
        for item in requirements()
        if item.marker is None or item.marker.evaluate({"extra": "train"})
    }
    assert wanted <= found.keys()


def test_the_pins_beside_vllm_lie_within_the_bounds() -> None:
    lines = (ROOT / "constraints-vllm.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    wanted = [
        item
        for item in requirements()
        if item.marker is None or item.marker.evaluate({"extra": "train"})
    ]
    assert {canonicalize_name(item.name) for item in wanted} | {"vllm", "requests"} <= found.keys()
    outside = [str(i) for i in wanted if not i.specifier.contains(found[canonicalize_name(i.name)])]
    assert outside == []


def test_every_requirement_has_a_lower_and_an_upper_bound():
    # The names of ROS's wheels hold the distribution.
    loose = {
        str(wanted)
        for wanted in requirements()
        if {bound.operator for bound in wanted.specifier} != {">=", "<"}
    }
    assert {line for line in loose if not line.startswith("ros-jazzy-")} == set()


def test_the_tested_versions_lie_within_the_bounds():
    outside = [
        str(wanted)
        for wanted in requirements()
        if not wanted.specifier.contains(pins()[canonicalize_name(wanted.name)])
    ]
    assert outside == []


def test_python_imports_the_pinned_versions():
    wrong = {}
    for name, version in pins().items():
        with contextlib.suppress(metadata.PackageNotFoundError):  # another extra's
            if (installed := metadata.version(name)) != version:
                wrong[name] = installed
    assert wrong == {}


def test_pip_ros_and_the_citation_agree_on_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    named = {package().findtext("version"), metadata.version("segzero"), citation["version"]}
    assert named == {segzero.__version__}


def test_the_package_is_an_interface_package():
    assert package().findtext("member_of_group") == "rosidl_interface_packages"
    assert package().findtext("export/build_type") == "ament_cmake"


def imported_names(path: Path) -> set[str]:
    """The top-level names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    return names


@pytest.mark.parametrize("folder", ["segzero", "segzero_ros", "segzero_sim", "launch"])
def test_what_the_robot_imports_is_a_dependency(folder: str) -> None:
    ours = {"segzero", "segzero_ros", "segzero_sim"}
    rosdep = {"PIL": "python3-pil", "cv2": "python3-opencv", "yaml": "python3-yaml"}
    rosdep |= {"numpy": "python3-numpy", "tf2_ros": "tf2_ros_py"}
    environment = {"httpx2", "huggingface_hub", "mujoco", "safetensors"}
    environment |= {"rosbags", "scipy", "threadpoolctl", "torch", "tqdm", "transformers"}
    optional = {"cv_bridge", "sam2", "triton"}  # taken where they are installed
    imported = set().union(*map(imported_names, (ROOT / folder).rglob("*.py")))
    elsewhere = ours | environment | optional | sys.stdlib_module_names
    named = {rosdep.get(name, name) for name in imported - elsewhere}
    depended_on = {
        item.text for tag in ("depend", "exec_depend") for item in package().iterfind(tag)
    }
    assert named - depended_on == set()
