"""A colcon build without symlinks: nothing is missing, nested packages included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("segzero", "segzero_ros", "segzero_sim")

IMPORT_ALL = """
import importlib, sys
from pathlib import Path
folder = Path(sys.argv[1])
for name in sys.argv[2:]:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in ("tf2_msgs", "vision_msgs"):  # they come with an installed ROS 2 alone
            continue
        raise
    assert Path(module.__file__).is_relative_to(folder), module.__file__
"""

pytestmark = pytest.mark.slow


def environment() -> dict[str, str]:
    """This process's, without what the tree itself has installed."""
    variables = {
        name: os.pathsep.join(
            path for path in value.split(os.pathsep) if not path.startswith(f"{ROOT}/install")
        )
        for name, value in os.environ.items()
    }
    tools = str(Path(sys.executable).parent)
    return variables | {"PATH": f"{tools}{os.pathsep}{variables['PATH']}", "PYTHONPATH": ""}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that colcon installed to, as copies."""
    folder = tmp_path_factory.mktemp("colcon")
    command: list[str | Path] = [
        "colcon",
        "--log-base",
        folder / "log",
        "build",
        "--base-paths",
        ROOT,
    ]
    command += ["--build-base", folder / "build", "--install-base", folder / "install"]
    command += ["--cmake-args", f"-DPython3_EXECUTABLE={sys.executable}"]
    built = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "install"


def modules(folder: Path, package: str) -> set[str]:
    """The hand-written modules of a package in a folder, by dotted names."""
    paths = [path.relative_to(folder) for path in (folder / package).rglob("*.py")]
    generated = {"msg", "action", "srv"}
    return {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if package != "segzero_ros" or path.parts[1] not in generated
    }


def test_every_module_is_installed_and_imports(prefix: Path, tmp_path: Path) -> None:
    (site,) = (prefix / "segzero_ros" / "lib").glob("python3*/site-packages")
    assert (site / "segzero_ros" / "client" / "__init__.py").is_file()
    assert not any(path.is_symlink() for path in site.rglob("*.py"))
    for package in PACKAGES:
        assert modules(site, package) == modules(ROOT, package)
    names = sorted(modules(site, "segzero_ros"))
    script = tmp_path / "import_all.py"
    script.write_text(IMPORT_ALL)
    words = f'source "{prefix}/setup.bash" && exec "$@"'
    subprocess.run(
        ["bash", "-c", words, "bash", sys.executable, script, site, *names],
        cwd=tmp_path,
        env=environment(),
        check=True,
    )
