"""Imports run down only: between packages, between rooms, between files."""

from graphlib import TopologicalSorter

import pytest
from draw_rooms import PAGE, drawing, floors, module_imports, on_page, outside_imports, rooms

MODULES = module_imports()
OUTSIDE = outside_imports()
PROJECT = {"segzero", "segzero_ros", "segzero_sim", "segzero_train", "segzero_console"}
ROS = {"rclpy", "segzero_ros", "sensor_msgs", "std_msgs", "geometry_msgs", "launch", "tf2_ros"}
TRAINING = {"trl", "deepspeed", "peft", "accelerate", "datasets", "segzero_train"}


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("segzero", set()),
        ("segzero_sim", set()),
        ("segzero_ros", {"segzero", "segzero_sim"}),
        ("segzero_train", {"segzero", "segzero_sim"}),
        ("segzero_console", {"segzero", "segzero_ros", "segzero_sim"}),
    ],
)
def test_a_package_imports_only_those_below_it(package: str, others: set[str]) -> None:
    assert OUTSIDE[package] & PROJECT <= others


@pytest.mark.parametrize(
    ("package", "foreign"),
    [
        ("segzero", ROS | TRAINING | {"mujoco"}),
        ("segzero_sim", ROS | TRAINING | {"torch", "transformers"}),
        ("segzero_ros", TRAINING | {"mujoco"}),
        ("segzero_train", ROS),
        ("segzero_console", TRAINING),
    ],
)
def test_a_package_knows_nothing_of_other_floors(package: str, foreign: set[str]) -> None:
    assert not OUTSIDE[package] & foreign


@pytest.mark.parametrize(
    ("importer", "reason"),
    [
        ("segzero_ros.tabletop_camera", "the demo's camera"),
        ("segzero_train.datasets.tabletop", "the demo's dataset"),
        ("segzero_console.sources.tabletop", "a source without a camera"),
    ],
)
def test_the_simulator_is_imported_where_the_demo_is(importer: str, reason: str) -> None:
    assert any(target.startswith("segzero_sim") for target in MODULES[importer]), reason


def test_files_import_each_other_in_no_circle() -> None:
    list(TopologicalSorter(MODULES).static_order())  # raises CycleError, which names the circle


def test_rooms_import_each_other_in_no_circle() -> None:
    floors(rooms(MODULES))


def test_the_page_draws_what_was_measured() -> None:
    assert on_page(PAGE.read_text()) == drawing(rooms(MODULES)), (
        "renew it with `python scripts/draw_rooms.py --write`"
    )


def test_an_import_that_runs_up_is_told() -> None:
    """The measure itself: a circle between two rooms is found."""
    with pytest.raises(ValueError, match="cycle"):
        floors({"a": {"b"}, "b": {"a"}})
