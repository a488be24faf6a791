"""What the system must bring, because pip can't: compiler, Python headers, OpenGL.

As root on a machine with apt-get it is installed; anywhere else the line to type is printed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OPENGL_PACKAGES = ["libegl1", "libgl1", "libgl1-mesa-dri"]

_PYTHON_FACTS = """
import importlib.util, os, sys, sysconfig
print(f"python3.{sys.version_info[1]}")
print(all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")))
print(os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
"""
_OPENGL_TRIAL = "import mujoco; mujoco.GLContext(64, 64).make_current()"


def require_build_tools(interpreter: str) -> None:
    """Install what building the messages and making the environment takes, or stop."""
    missing = missing_build_tools(interpreter)
    if not missing:
        return
    if may_install():
        install(list(missing))
        return
    things = ", ".join(missing.values())
    sys.exit(f"Missing on this machine: {things}. Type\n\n    {install_line(list(missing))}\n")


def missing_build_tools(interpreter: str) -> dict[str, str]:
    """Debian package → what it is for, of everything that isn't there."""
    facts = subprocess.run(
        [interpreter, "-c", _PYTHON_FACTS], capture_output=True, text=True, check=True
    )
    name, venv, headers = facts.stdout.split()
    missing = {}
    if not (shutil.which("c++") or shutil.which("g++")):
        missing["g++"] = "a C++ compiler"
    if not shutil.which("make"):
        missing["make"] = "make"
    if venv != "True":
        missing[f"{name}-venv"] = f"the venv module of {interpreter}"
    if headers != "True":
        missing[f"{name}-dev"] = f"the header files of {interpreter}"
    return missing


def require_opengl(python: Path) -> None:
    """See that the simulated camera can render without a screen; say so if it can't."""
    if renders(python):
        return
    if may_install():
        install(OPENGL_PACKAGES)
        if renders(python):
            return
    print(
        "\nNo OpenGL library renders without a screen here: everything works but the simulated "
        f"tabletop. For that, type\n\n    {install_line(OPENGL_PACKAGES)}\n",
        flush=True,
    )


def renders(python: Path) -> bool:
    return any(
        subprocess.run(
            [python, "-c", _OPENGL_TRIAL],
            env=os.environ | {"MUJOCO_GL": backend},
            capture_output=True,
            check=False,
        ).returncode
        == 0
        for backend in ("egl", "osmesa")
    )


def may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: list[str]) -> None:
    print(f"\n== Install {' '.join(packages)}", flush=True)
    apt = ["apt-get", "-o", "Acquire::Retries=3"]
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*apt, "update", "-qq"], env=quiet, check=False)  # old lists may still do
    command = [*apt, "install", "-y", "-qq", "--no-install-recommends", *packages]
    if subprocess.run(command, env=quiet, check=False).returncode:
        print(f"Could not install them; by hand: {install_line(packages)}", flush=True)


def install_line(packages: list[str]) -> str:
    return f"sudo apt-get install -y {' '.join(packages)}"
