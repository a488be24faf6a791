"""The set-up script: what it finds stale, what it writes, what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import setup_environment
import system_packages

SCRIPT = Path(setup_environment.__file__)


def test_an_old_python_is_told_what_to_do():
    pretend = f"import sys; sys.version_info = (3, 10, 4); exec(open({str(SCRIPT)!r}).read())"
    result = subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True)
    assert result.returncode == 1
    assert "Python 3.11 or newer, this is 3.10" in result.stderr
    assert "make PYTHON=" in result.stderr


def test_header_folders_of_the_wheels_builder_become_this_machines():
    foreign = (
        'INTERFACE_INCLUDE_DIRECTORIES "/opt/python/cp312-cp312/include/python3.12;'
        "/opt/python/cp312-cp312/lib/python3.12/site-packages/numpy/_core/include;"
        '${_IMPORT_PREFIX}/include"'
    )
    own = setup_environment.with_own_headers(foreign, "/usr/include/python3.12", "/venv/numpy")
    assert own == (
        'INTERFACE_INCLUDE_DIRECTORIES "/usr/include/python3.12;/venv/numpy;'
        '${_IMPORT_PREFIX}/include"'
    )


@pytest.mark.parametrize("before", ["", "/opt/other"])
def test_sourcing_the_underlay_twice_is_sourcing_it_once(tmp_path, before):
    script = tmp_path / "local_setup.sh"
    script.write_text(setup_environment.underlay_script(Path("/a b/.venv")))
    result = subprocess.run(
        ["bash", "-eu", "-c", f'. {script}; . {script}; echo "$AMENT_PREFIX_PATH"'],
        env={"PATH": os.environ["PATH"], "AMENT_PREFIX_PATH": before, "CMAKE_PREFIX_PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == ":".join(filter(None, ["/a b/.venv", before]))


def test_the_digest_follows_contents_and_words(tmp_path):
    file = tmp_path / "constraints.txt"
    file.write_text("numpy==1")
    first = setup_environment.digest([file], "x")
    assert setup_environment.digest([file], "x") == first
    assert setup_environment.digest([file], "y") != first
    file.write_text("numpy==2")
    assert setup_environment.digest([file], "x") != first


def test_a_folder_is_up_to_date_for_the_written_key_alone(tmp_path):
    assert not setup_environment.up_to_date(tmp_path, "key")
    setup_environment.write_stamp(tmp_path, "key")
    assert setup_environment.up_to_date(tmp_path, "key")
    assert not setup_environment.up_to_date(tmp_path, "another")


@pytest.mark.parametrize(
    ("shared", "with_ros", "says"),
    [
        ("true", False, "made over ROS 2, but in this shell ROS 2 is not sourced"),
        ("false", True, "made without ROS, but in this shell ROS 2 is sourced"),
    ],
)
def test_an_environment_of_the_other_way_is_not_touched(
    tmp_path, monkeypatch, shared, with_ros, says
):
    (tmp_path / "pyvenv.cfg").write_text(f"include-system-site-packages = {shared}\n")
    monkeypatch.setattr(setup_environment, "VENV", tmp_path)
    with pytest.raises(SystemExit, match=says):
        setup_environment.refuse_another_way(with_ros)
    setup_environment.refuse_another_way(not with_ros)


def test_a_failing_command_is_named():
    with pytest.raises(SystemExit, match="`false` failed with 1"):
        setup_environment.run("false")
    with pytest.raises(SystemExit, match="no-such-command is not on this machine"):
        setup_environment.run("no-such-command")


def test_nothing_is_missing_where_this_was_set_up():
    assert system_packages.missing_build_tools(sys.executable) == {}


def test_missing_tools_are_named_by_their_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(system_packages.missing_build_tools(sys.executable)) == {"g++", "make"}


def test_without_root_the_line_to_type_is_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get either
    with pytest.raises(SystemExit, match=r"sudo apt-get install -y g\+\+ make"):
        system_packages.require_build_tools(sys.executable)
