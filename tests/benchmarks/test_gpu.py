"""The command for a GPU: parts that end, files that say why, and what a pack carries."""

import argparse
import json
import sys
import zipfile
from pathlib import Path

import gpu
import gpu_discs
import gpu_pack
import gpu_parts
import gpu_writer
import pytest
import torch
from packaging.requirements import Requirement


def execute(script: str, tmp_path: Path, limit: float = 30.0) -> str:
    command = [sys.executable, "-c", script]
    return gpu._execute(command, {}, tmp_path / "log", limit)


def options(tmp_path: Path) -> argparse.Namespace:
    return argparse.Namespace(device="cpu", small=True, out=tmp_path / "gpu-part.json")


def test_every_part_has_a_function() -> None:
    assert [part.name for part in gpu.PARTS] == list(gpu_parts.FUNCTIONS)
    assert len({part.number for part in gpu.PARTS}) == len(gpu.PARTS)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("pass", ""),
        ("raise SystemExit('no such thing')", "exit status 1: no such thing"),
        ("import os; os.kill(os.getpid(), 9)", "exit status -9: no output"),
    ],
)
def test_a_part_that_fails_says_why(script: str, reason: str, tmp_path: Path) -> None:
    assert execute(script, tmp_path) == reason


def test_a_part_ends_in_time_with_all_that_it_started(tmp_path: Path) -> None:
    script = "import subprocess; subprocess.run(['sleep', '1000'])"
    assert execute(script, tmp_path, limit=0.3) == "it took more than 0 seconds"


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_what_was_measured_before_the_end_stays(rows: int, tmp_path: Path) -> None:
    writer = gpu_writer.Writer("live", options(tmp_path))
    for number in range(rows):
        writer.row(number=number)
    writer.nothing("MemoryError:\n the memory is full")
    found = json.loads((tmp_path / "gpu-part.json").read_text())
    assert found["trial"].startswith("on a CPU")
    assert found["command"] == "python benchmarks/gpu.py --run --parts 7 --device cpu --small"
    if rows:
        assert [row["number"] for row in found["rows"]] == list(range(rows))
        assert found["missed"] == "MemoryError: the memory is full"
    else:
        assert found["not measured"] == "MemoryError: the memory is full"


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "xpu"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_a_device_that_is_missing_is_no_failure(device: str, tmp_path: Path) -> None:
    out = tmp_path / "gpu-live.json"
    assert gpu_parts.main(["live", "--device", device, "--small", "--out", str(out)]) == 0
    assert device in json.loads(out.read_text())["not measured"]


@pytest.mark.parametrize("count", [1, 3, 16])
def test_discs_are_apart_and_move(count: int) -> None:
    pairs = gpu_discs.discs(count, 160, 120)
    (first, masks), (second, _) = next(pairs), next(pairs)
    assert first.shape == (120, 160, 3) and (first != second).any()
    assert len(masks) == count and all(mask.any() for mask in masks)
    assert sum(mask.astype(int) for mask in masks).max() == 1


@pytest.mark.parametrize(
    ("asked", "there"),
    [("numpy>=2.3,<3", True), ("torch>=2.11", True), ("transformers>=5.18", False), ("trl", False)],
)
def test_what_the_machine_has_is_not_packed(asked: str, there: bool) -> None:
    has = gpu_pack.packages(["# there", "NumPy", "torch==2.11.0", "transformers==5.17.0  # old"])
    assert gpu_pack.satisfied(Requirement(asked), has) == there


def test_a_wheel_needs_what_it_says_for_the_machine(tmp_path: Path) -> None:
    lines = ['a>=1; sys_platform == "linux"', 'b; python_version < "3.12"', 'c; extra == "x"', "d"]
    wheel = tmp_path / "w-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        text = "".join(f"Requires-Dist: {line}\n" for line in lines)
        archive.writestr("w-1.dist-info/METADATA", f"Name: w\nVersion: 1\n{text}\n")
    assert [one.name for one in gpu_pack.needs(wheel)] == ["a", "d"]


def test_a_folder_with_files_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("x")
    assert gpu.main(["--pack", str(tmp_path)]) == 1
    assert "isn't empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_a_part_runs_from_the_command_to_its_file(tmp_path: Path) -> None:
    words = ["--run", "--device", "cpu", "--small", "--parts", "3", "--out", str(tmp_path)]
    assert gpu.main(words) == 0
    found = json.loads((tmp_path / "gpu-decoding.json").read_text())
    weights = [row["weights"] for row in found["rows"] if "weights" in row]
    assert weights == ["generate", "full", "int4", "int8"]
