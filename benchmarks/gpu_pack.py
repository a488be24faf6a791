"""The pack of `gpu.py`: wheels, benchmarks and demo weights for a machine without network."""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from email import message_from_string
from pathlib import Path

import gpu
import records
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYTHON = "3.12"
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12, 5)]
_PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
LIMIT_MB = 60
_NEEDED = (
    *("accelerate", "httpx2", "mujoco", "numpy", "opencv-python-headless", "pillow", "psutil"),
    *("pyyaml", "safetensors", "scipy", "threadpoolctl", "torchvision", "tqdm"),
)
# Training's fast path needs a newer transformers than the machine may have.
_NEEDED_TO_TRAIN = ("transformers", "trl", "datasets", "peft", "tensorboard")
_NEVER = re.compile(r"torch$|triton$|cuda-|nvidia-")
"""Packages that a pack never carries: they are large, and made for the machine."""
_UNUSED = frozenset({"mujoco-studio"})
"""MuJoCo's editor, which its renderer does without."""


@dataclass(slots=True)
class Carried:
    """What goes into a folder of wheels.

    Attributes:
        has: Name to version of what the machine has; no version: any.
        wheels: Those that were downloaded.
        missing: What the machine must have as well, and why it isn't carried.
    """

    has: dict[str, str]
    wheels: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def pack(folder: Path, machine: Path) -> int:
    """Fill a folder; returns the command's exit status.

    Args:
        folder: New or empty.
        machine: What is there: `name` or `name==version` in each line.
    """
    if folder.exists() and any(folder.iterdir()):
        print(f"error: {folder} isn't empty: name a new folder", file=sys.stderr)
        return 1
    commit = records.commit()
    if commit.endswith("-dirty"):
        print("error: the pack is made of a commit: commit your changes first", file=sys.stderr)
        return 1
    has = packages(machine.read_text().splitlines())
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source"
        _export(source)
        shutil.copytree(source / "benchmarks", folder / "benchmarks")
        own = _build(source, folder / gpu.WHEELS)
    shutil.rmtree(folder / "benchmarks" / "results")
    (folder / "COMMIT").write_text(commit + "\n")
    plain, training = Carried({**has, "segzero": own}), Carried(dict(has))
    collect([_pinned(name) for name in _NEEDED], plain, folder / gpu.WHEELS)
    training.has |= {_of(wheel)[0]: _of(wheel)[1] for wheel in plain.wheels}
    collect([_pinned(name) for name in _NEEDED_TO_TRAIN], training, folder / gpu.TRAINING)
    for line in (*plain.missing, *training.missing):
        print(f"not in the pack: {line}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    print(f"{folder}: {size:.1f} MB; there: python {folder.name}/benchmarks/gpu.py --run")
    if size > LIMIT_MB:
        print(f"error: a pack has at most {LIMIT_MB} MB: name what is there by --has")
    return int(size > LIMIT_MB)


def packages(lines: Iterable[str]) -> dict[str, str]:
    """Name to version, or to nothing, of lines such as `pip list --format freeze` prints."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, release = line.partition("#")[0].strip().partition("==")
        if name and not name.startswith("-"):
            found[canonicalize_name(name.partition(" @")[0].strip())] = release.strip()
    return found


def collect(wanted: Iterable[Requirement], carried: Carried, folder: Path) -> None:
    """Download the wheels that the machine lacks, and what those need in turn."""
    queue = list(wanted)
    seen: set[str] = set()
    while queue:
        requirement = queue.pop(0)
        name = canonicalize_name(requirement.name)
        if name in seen or name in _UNUSED or satisfied(requirement, carried.has):
            continue
        seen.add(name)
        if _NEVER.match(name):
            carried.missing.append(f"{requirement}: the machine's own build")
            continue
        wheel = _download(requirement, folder)
        if wheel is None:
            carried.missing.append(f"{requirement}: no wheel for Python {PYTHON}")
            continue
        size = wheel.stat().st_size / 1e6
        if size > LIMIT_MB / 2:
            wheel.unlink()
            carried.missing.append(f"{requirement}: {size:.0f} MB are too many, install it there")
            continue
        carried.wheels.append(wheel)
        queue += needs(wheel)


def satisfied(requirement: Requirement, has: dict[str, str]) -> bool:
    """Whether what is there will do; a package without a version is taken to."""
    name = canonicalize_name(requirement.name)
    return name in has and (not has[name] or Version(has[name]) in requirement.specifier)


def needs(wheel: Path) -> list[Requirement]:
    """What a wheel asks for on the machine, without extras."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        message = message_from_string(archive.read(name).decode())
    requirements = [Requirement(line) for line in message.get_all("Requires-Dist", [])]
    there = {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "extra": "",
    }
    return [one for one in requirements if not one.marker or one.marker.evaluate(there)]


def _pinned(name: str) -> Requirement:
    """The tested version where the machine has none that segzero is written for."""
    return Requirement(f"{name}{_bounds().get(canonicalize_name(name), '')}")


def _bounds() -> dict[str, str]:
    """Name to the bounds of setup.py."""
    text = (records.ROOT / "setup.py").read_text()
    found = (Requirement(line) for line in re.findall(r'^ +"([a-z0-9-]+>=[^"]+)",', text, re.M))
    return {canonicalize_name(one.name): str(one.specifier) for one in found}


def _download(requirement: Requirement, folder: Path) -> Path | None:
    """The wheel of the tested version if the requirement allows it, else of the newest one."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*.whl"))
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--implementation=cp"]
    options += [f"--python-version={PYTHON}", *(f"--platform={name}" for name in _PLATFORMS)]
    tested = packages((records.ROOT / "constraints.txt").read_text().splitlines())
    release = tested.get(canonicalize_name(requirement.name), "")
    exact = bool(release) and Version(release) in requirement.specifier
    bounds = f"=={release}" if exact else str(requirement.specifier)
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
    command += [f"{requirement.name}{bounds}"]
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        return None
    new = set(folder.glob("*.whl")) - before
    return new.pop() if new else None


def _export(folder: Path) -> None:
    """The files of the commit."""
    folder.mkdir()
    archive = subprocess.Popen(["git", "archive", "HEAD"], cwd=records.ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", folder], stdin=archive.stdout, check=True)
    if archive.wait():
        raise RuntimeError("git archive failed")


def _build(source: Path, folder: Path) -> str:
    """Build segzero's own wheel, demo weights included; returns its version."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("segzero-*.whl")
    return _of(wheel)[1]


def _of(wheel: Path) -> tuple[str, str]:
    """Name and version."""
    name, release, *_ = wheel.name.split("-")
    return canonicalize_name(name), release
