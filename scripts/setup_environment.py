"""Set up everything that the project needs; `make setup` calls this.

Makes the environment `.venv` at the root and builds the ROS package with colcon into `install`.
Two ways in, with the same code:

- no ROS on the machine: `.venv` holds ROS 2 Jazzy as wheels;
- a sourced ROS 2: `.venv` lies over the packages of the interpreter that ROS uses.

Repeatable: what is up to date is left alone, so that a second run takes a second.
Needs nothing but the standard library.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (this very line must run on an old one)
    sys.exit(
        "segzero needs Python 3.11 or newer, this is {}.{}. With a newer one on the machine, "
        "name it: make PYTHON=python3.12".format(*sys.version_info)
    )

import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

import system_packages

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
INSTALL = ROOT / "install"
PYTHON = VENV / "bin" / "python"

# A change in one of these makes the environment stale.
ENVIRONMENT_FILES = ("constraints.txt", "setup.py", "scripts/setup_environment.py")
# A change in one of these makes the build stale; of the folders only the names count, because
# `--symlink-install` lets every edit through.
BUILD_FILES = ("CMakeLists.txt", "package.xml", "msg", "action", "srv", "scripts/executable.py.in")
BUILD_FOLDERS = (
    "segzero",
    "segzero_console",
    "segzero_ros",
    "segzero_sim",
    "launch",
    "config",
    "checkpoints",
)


def main() -> None:
    with_ros = "ROS_DISTRO" in os.environ
    refuse_another_way(with_ros)
    environment_key = digest(files(ENVIRONMENT_FILES), str(with_ros))
    build_key = digest(files(BUILD_FILES), environment_key, *names(BUILD_FOLDERS))
    stale_environment = not up_to_date(VENV, environment_key)
    if stale_environment:
        make_environment(with_ros)
        write_stamp(VENV, environment_key)
    if stale_environment or not up_to_date(INSTALL, build_key):
        build(with_ros)
        write_stamp(INSTALL, build_key)


def refuse_another_way(with_ros: bool) -> None:
    """Stop rather than throw away an environment that was made in the other way."""
    config = VENV / "pyvenv.cfg"
    if not config.is_file():
        return
    made_with_ros = "include-system-site-packages = true" in config.read_text()
    if made_with_ros != with_ros:
        was, now = ("over ROS 2", "not sourced") if made_with_ros else ("without ROS", "sourced")
        sys.exit(
            f"The environment .venv was made {was}, but in this shell ROS 2 is {now}. Work in a "
            "shell like the first one, or remove .venv to start over."
        )


def ros_interpreter() -> str:
    """The Python that the sourced ROS 2 was built for."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        trial = subprocess.run([candidate, "-c", "import rclpy"], capture_output=True, check=False)
        if trial.returncode == 0:
            return candidate
    sys.exit(
        f"ROS 2 {os.environ['ROS_DISTRO']} is sourced, but neither {sys.executable} nor "
        "/usr/bin/python3 can import rclpy. Name the Python that ROS uses (make PYTHON=...), or "
        "open a shell without ROS to work with the wheels."
    )


def check_platform() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        sys.exit(
            f"The ROS 2 wheels exist for Linux on x86_64, this is {sys.platform} on "
            f"{platform.machine()}. Install ROS 2, source it and try again."
        )


def make_environment(with_ros: bool) -> None:
    if not with_ros:
        check_platform()
    interpreter = ros_interpreter() if with_ros else sys.executable
    system_packages.require_build_tools(interpreter)
    if not PYTHON.exists():
        announce(f"Make the environment .venv with {interpreter}")
        run(interpreter, "-m", "venv", *(["--system-site-packages"] if with_ros else []), VENV)
    (VENV / "COLCON_IGNORE").touch()

    announce("Install the Python packages (6 GB; some minutes the first time)")
    pip = (PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "-c", "constraints.txt")
    run(*pip, "setuptools")
    # The environment itself builds what comes as source: Meta's sam2 must find torch meanwhile.
    extras = "sim,train,bags,console,rerun,dev,docs"
    extras = extras if with_ros else f"ros-wheels,{extras}"
    run(*pip, "--no-build-isolation", "--editable", f".[{extras}]")
    run(*pip, "--no-build-isolation", "sam2", SAM2_BUILD_CUDA="0")
    # Tests read a file of the first and compare with the second. They would bring along clients of
    # web services and a video decoder, which nothing here uses.
    run(*pip, "--no-deps", "dashscope", "qwen-vl-utils")
    if not with_ros:
        complete_ros_wheels()
    system_packages.require_opengl(PYTHON)


def complete_ros_wheels() -> None:
    """Make of the installed wheels what colcon takes for an installed ROS 2."""
    program = "import numpy, sysconfig; print(sysconfig.get_path('include'), numpy.get_include())"
    folders = subprocess.run([PYTHON, "-c", program], capture_output=True, text=True, check=True)
    python_headers, numpy_headers = folders.stdout.split()
    for path in (VENV / "share").glob("*/cmake/*.cmake"):
        text = path.read_text()
        if (own := with_own_headers(text, python_headers, numpy_headers)) != text:
            path.write_text(own)
    for shell in ("sh", "bash", "zsh"):
        (VENV / f"local_setup.{shell}").write_text(underlay_script(VENV))


def with_own_headers(cmake: str, python_headers: str, numpy_headers: str) -> str:
    """Replace the header folders of the machine that built the wheels by this machine's."""
    foreign = r"/opt/python/[^/;\"]+/"
    cmake = re.sub(foreign + r"include/python3\.\d+", lambda _: python_headers, cmake)
    numpy = r"lib/python3\.\d+/site-packages/numpy/_core/include"
    return re.sub(foreign + numpy, lambda _: numpy_headers, cmake)


def underlay_script(prefix: Path) -> str:
    """What install/setup.bash sources first, as it does with an installed ROS 2's script."""
    values = {"PATH": prefix / "bin", "AMENT_PREFIX_PATH": prefix, "CMAKE_PREFIX_PATH": prefix}
    lines = ["# Written by the set-up."]
    for name, value in values.items():
        extended = f"{value}${{{name}:+:${name}}}"
        lines.append(f'case ":${name}:" in *":{value}:"*) ;; *) export {name}="{extended}" ;; esac')
    return "\n".join([*lines, ""])


def build(with_ros: bool) -> None:
    announce("Build the ROS package with colcon")
    command = ["colcon", "build", "--symlink-install"]
    if with_ros:
        run(*command)
    else:
        run(
            *command,
            "--cmake-args",
            f"-DPython3_EXECUTABLE={PYTHON}",
            PATH=f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
            AMENT_PREFIX_PATH=VENV,
            CMAKE_PREFIX_PATH=VENV,
        )


# Up to date or not


def files(paths: Iterable[str]) -> list[Path]:
    """The files themselves, and those inside the folders among them."""
    found: list[Path] = []
    for path in map(ROOT.joinpath, paths):
        found += sorted(path.iterdir()) if path.is_dir() else [path]
    return found


def names(folders: Iterable[str]) -> list[str]:
    return sorted(
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    )


def digest(contents: Iterable[Path], *words: str) -> str:
    sha = hashlib.sha256(json.dumps(words).encode())
    for path in contents:
        sha.update(path.read_bytes())
    return sha.hexdigest()


def stamp(folder: Path) -> Path:
    return folder / "segzero-setup-stamp"


def up_to_date(folder: Path, key: str) -> bool:
    return stamp(folder).is_file() and stamp(folder).read_text() == key


def write_stamp(folder: Path, key: str) -> None:
    stamp(folder).write_text(key)


# Running commands


def announce(step: str) -> None:
    print(f"\n== {step}", flush=True)


def run(*command: str | Path, **environment: str | Path) -> None:
    """Run a command at the root with its output in sight; stop with a clear line if it fails."""
    words = [str(word) for word in command]
    variables = os.environ | {name: str(value) for name, value in environment.items()}
    try:
        subprocess.run(words, cwd=ROOT, env=variables, check=True)
    except FileNotFoundError:
        sys.exit(f"{words[0]} is not on this machine; install it and try again.")
    except subprocess.CalledProcessError as error:
        sys.exit(f"The set-up stopped: `{shlex.join(words)}` failed with {error.returncode}.")


if __name__ == "__main__":
    main()
