import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from segzero.cli import main
from tests.segzero import tiny_checkpoints
from tests.segzero.profile_files import write_profile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def picture(tmp_path: Path, image: np.ndarray) -> Path:
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), image)
    return path


def ask(picture: Path, profile: Path, *more: str) -> list[str]:
    return [
        "ask",
        str(picture),
        "the red ball",
        "--profile",
        str(profile),
        "--device",
        "cpu",
        *more,
    ]


def test_ask_prints_reasoning_and_objects(picture, profile, capsys):
    assert main(ask(picture, profile)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the red thing"
    assert lines[1].startswith("1: box 16,24 to 80,72, ")


def test_ask_prints_json(picture, profile, capsys):
    assert main(ask(picture, profile, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["question"] == "the red ball"
    assert result["size"] == [160, 120]
    (item,) = result["objects"]
    assert (item["id"], item["box"], item["points"]) == (1, [16, 24, 80, 72], [[48, 48]])
    assert 0 <= item["score"] <= 1 and item["area"] >= 0


def test_ask_writes_the_picture(picture, profile, tmp_path):
    out = tmp_path / "overlay.png"
    assert main(ask(picture, profile, "--out", str(out))) == 0
    drawn = cv2.imread(str(out))
    assert drawn is not None and drawn.shape[0] > 120 and drawn.shape[1] == 160


@pytest.fixture(scope="module")
def half_good(tmp_path_factory: pytest.TempPathFactory, sam2: Path) -> Path:
    """A profile whose model writes a labelled box, and one without width."""
    folder = tmp_path_factory.mktemp("half_good")
    script = ("<answer>", '[{"bbox_2d": [100,200,500,600], "label": "cup"}, ', '{"bbox_2d": [7,7,7')
    reasoner = tiny_checkpoints.save_qwen3_vl(folder / "reasoner", (*script, ",9]}]", "</answer>"))
    return write_profile(folder / "p.yaml", reasoner, sam2, image_size=224, max_new_tokens=64)


def test_ask_says_what_was_left_out(picture, half_good, capsys):
    assert main(ask(picture, half_good)) == 0
    (found, left_out) = capsys.readouterr().out.splitlines()
    assert found.startswith("1: box 16,24 to 80,72, ") and found.endswith(", cup")
    assert left_out == "left out: object 2 has a box without width or height"


def test_ask_says_so_in_json_too(picture, half_good, capsys):
    assert main(ask(picture, half_good, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["dropped"] == ["object 2 has a box without width or height"]
    (item,) = result["objects"]
    assert (item["label"], item["points"]) == ("cup", [])


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and the one line on stderr."""
    code = main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("segzero: ")
    return code, line


def test_a_picture_that_is_not_there(capsys):
    code, line = failure(capsys, "ask", "absent.png", "the red ball")
    assert code == 2 and "absent.png" in line


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_a_file_that_is_no_picture(tmp_path, content, capsys):
    path = tmp_path / "frame.png"
    path.write_bytes(content)
    code, line = failure(capsys, "ask", str(path), "the red ball")
    assert code == 2 and "no known format of pictures" in line


def test_an_empty_question(picture, profile, capsys):
    code, line = failure(capsys, "ask", str(picture), "  ", "--profile", str(profile))
    assert code == 2 and "question is empty" in line


def test_an_unknown_profile(picture, capsys):
    code, line = failure(capsys, "ask", str(picture), "the red ball", "--profile", "nonsense")
    assert code == 1 and "seg-zero-7b" in line


@pytest.mark.parametrize(
    "out", ["overlay.xyz", "overlay", "overlay.pgm", "overlay.pdf", "absent/overlay.png", "."]
)
def test_a_picture_that_cannot_be_written_is_told_before_the_models_run(
    picture, out, tmp_path, capsys
):
    code, line = failure(
        capsys, "ask", str(picture), "the red ball", "--profile", "nonsense",
        "--out", str(tmp_path / out),
    )  # fmt: skip
    assert code == 1 and "can't write" in line


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_to_is_told_before_the_models_run(
    picture, tmp_path, capsys
):
    (tmp_path / "locked").mkdir(mode=0o500)
    out = str(tmp_path / "locked" / "overlay.png")
    code, line = failure(
        capsys, "ask", str(picture), "the red ball", "--profile", "nonsense", "--out", out
    )
    assert code == 1 and "can't be written to" in line


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize("question", ["the grüne Würfel", "the 🔴 ボール"])
@pytest.mark.slow
def test_a_terminal_may_be_ascii(picture, profile, question, more):
    command = ask(picture, profile, *more)
    command[2] = question
    done = subprocess.run(
        [sys.executable, "-m", "segzero", *command],
        cwd=ROOT,
        env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if more:
        assert json.loads(done.stdout)["question"] == question


def test_profiles_are_listed(capsys):
    assert main(["profiles"]) == 0
    *lines, blank, folder = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines][:2] == ["demo", "qwen2-vl-2b"]
    assert lines[-1].endswith("(http://localhost:8000/v1)")
    assert blank == "" and (Path(folder.split()[-1]) / "demo.yaml").is_file()


def test_fetch_without_network(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, line = failure(capsys, "fetch", "seg-zero-7b")
    assert code == 1 and "Ricky06662/Seg-Zero-7B" in line and "network" in line


def test_fetch_of_folders_checks_them(profile, capsys, qwen3_vl, sam2):
    assert main(["fetch", str(profile)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{qwen3_vl}: {qwen3_vl}",
        f"{sam2}: {sam2}",
    ]


def test_fetch_leaves_a_servers_weights_to_the_server(profile, tmp_path, capsys, sam2):
    served = tmp_path / "served.yaml"
    served.write_text(f"{profile.read_text()}server: http://localhost:8000/v1\n")
    assert main(["fetch", str(served)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{sam2}: {sam2}"]


@pytest.mark.parametrize("arguments", [[], ["ask"], ["shout"], ["ask", "a.png", "b", "c"]])
def test_wrong_arguments_show_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: segzero" in capsys.readouterr().err


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "segzero", "profiles"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "vision-reasoner-7b" in done.stdout


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_the_model_floor_imports_no_ros_and_no_training():
    files = sorted((ROOT / "segzero").rglob("*.py"))
    banned = {"rclpy", "trl", "deepspeed", "segzero_ros", "segzero_sim", "segzero_train"}
    assert len(files) > 10
    assert {path.name: found for path in files if (found := imported(path) & banned)} == {}
