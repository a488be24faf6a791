"""What an evaluation leaves in its folder, and how it goes on from there."""

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from segzero_train import evaluate
from tests.segzero_train.evaluations import answers, run, scores
from tests.segzero_train.small_disk import files_of_at_most

COMMAND = [sys.executable, "-m", "segzero_train.evaluate", "--device", "cpu"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation on six questions."""
    folder = tmp_path_factory.mktemp("evaluations") / "whole"
    assert run("-n", "6", "--worst", "2", "--batch", "3", "--out", str(folder)) == 0
    return folder


@pytest.fixture
def started(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that ended in the middle of writing the third answer."""
    folder = Path(shutil.copytree(whole, tmp_path / "started"))
    (folder / "scores.json").unlink()
    lines = answers(folder)
    (folder / "results-0.jsonl").write_text("\n".join([*lines[:2], lines[2][:40]]))
    return folder


def test_the_folder_holds_answers_scores_table_and_pictures(whole: Path) -> None:
    content = scores(whole)
    assert (content["profile"], content["dataset"]) == ("demo", "tabletop")
    assert (content["split"], content["n"], content["skipped"]) == ("test", 6, [])
    assert set(content["versions"]) >= {"segzero", "torch", "transformers"}
    for convention in ("lisa", "seg_zero"):
        figures = content[convention]
        assert figures["convention"] == convention
        assert set(figures["categories"]) == {"1", "2", "3", "4", "5"}
    assert content["lisa"]["all"]["n"] == 6
    lines = [json.loads(line) for line in answers(whole)]
    assert [line["name"] for line in lines] == [f"test-{number:05d}" for number in range(6)]
    assert all(line["text"].startswith("<think>") for line in lines)
    table = (whole / "table.md").read_text()
    assert f"{content['lisa']['all']['giou']:.3f}" in table
    assert "published" not in table


def test_the_worst_answers_are_drawn_with_their_text(whole: Path) -> None:
    pictures = sorted((whole / "worst").glob("*.png"))
    assert [file.name for file in pictures] == ["01.png", "02.png"]
    drawn = Image.open(pictures[0])
    assert drawn.width == 2 * 320
    assert drawn.height > 240
    lines = [json.loads(line) for line in answers(whole)]

    def iou(line: dict) -> float:
        return line["intersection"] / line["union"] if line["union"] else 1.0

    worst = min(lines, key=lambda line: (iou(line), -line["union"]))
    index = (whole / "worst" / "index.md").read_text()
    assert index.index(worst["text"]) == index.index("<think>")


@pytest.mark.slow
def test_a_rerun_goes_on_where_the_first_ended(whole: Path, started: Path) -> None:
    before = answers(started)
    assert run("-n", "6", "--worst", "2", "--batch", "3", "--out", str(started)) == 0
    assert answers(started)[:2] == before[:2]
    assert [json.loads(line)["index"] for line in answers(started)] == list(range(6))
    assert scores(started) == scores(whole)


def test_answers_that_an_older_version_wrote_are_kept(whole: Path, started: Path) -> None:
    lines = [json.loads(line) for line in answers(whole)]
    for line in lines:
        line["tier"] = line.pop("category")
    (started / "results-0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("-n", "6", "--worst", "2", "--out", str(started)) == 0
    assert scores(started) == scores(whole)
    assert [json.loads(line) for line in answers(started)] == lines


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("-n", "7"), "size"),
        (("-n", "6", "--split", "val"), "split"),
        (("-n", "6", "--profile"), "profile"),
    ],
)
def test_the_folder_of_another_evaluation_is_refused(
    started: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple, named: str
) -> None:
    if options[-1] == "--profile":
        root = Path(evaluate.__file__).parents[1]
        text = (root / "config/profiles/demo.yaml").read_text()
        other = tmp_path / "other.yaml"
        other.write_text(text.replace("max_new_tokens: 256", "max_new_tokens: 255"))
        options = (*options, str(other))
    before = answers(started)
    assert run(*options, "--out", str(started)) == 1
    error = capsys.readouterr().err
    assert f"other options ({named})" in error
    assert str(started) in error
    assert answers(started) == before


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "interrupted"
    command = [*COMMAND, "-n", "6", "--worst", "2", "--batch", "3", "--out", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not answers(folder):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130
    assert f"interrupted: the same command goes on, {folder} keeps" in error
    assert "Traceback" not in error
    kept = answers(folder)
    assert len(kept) == 3
    assert run(*command[len(COMMAND) :]) == 0
    assert answers(folder)[: len(kept)] == kept
    assert len(answers(folder)) == 6
    assert scores(folder) == scores(whole)


@pytest.mark.slow
def test_a_full_disk_is_told_and_what_is_finished_stays(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "full"
    words = ["-n", "6", "--worst", "2", "--batch", "3", "--out", str(folder)]
    with files_of_at_most(2000):  # room for run.json and the first answers
        assert run(*words) == 1
    assert f"error: can't write {folder}/results-0.jsonl: " in capsys.readouterr().err
    assert run(*words) == 0
    assert scores(folder) == scores(whole)


@pytest.mark.slow
def test_two_processes_come_to_the_same_as_one(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    launch = [sys.executable, "-m", "accelerate.commands.launch"]
    # With --cpu, accelerate starts one process only; --multi_gpu is torchrun, also without a GPU.
    launch += ["--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = [*launch, *COMMAND[1:], "-n", "6", "--worst", "2", "--batch", "3"]
    command += ["--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("segmenter alone") == 1
    assert scores(folder) == scores(whole)
    files = [folder / "results-0.jsonl", folder / "results-1.jsonl"]
    assert [len(file.read_text().splitlines()) for file in files] == [3, 3]


@pytest.mark.slow
def test_shards_in_one_folder_come_to_the_same_as_one_run(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shards"
    command = ("-n", "6", "--worst", "2", "--batch", "3", "--out", str(folder))
    assert run(*command, "--shard", "2/3") == 0
    assert "shard 2/3 is done; 4 of 6 questions" in capsys.readouterr().out
    assert not (folder / "scores.json").exists()
    lines = answers(whole)  # of another machine
    (folder / "results-1of3-0.jsonl").write_text(lines[0] + "\n" + lines[1] + "\n")
    assert run(*command, "--shard", "3/3") == 0  # the last one gives the figures
    assert "segmenter alone" in capsys.readouterr().out
    assert scores(folder) == scores(whole)
    (folder / "results-2of3-0.jsonl").unlink()
    assert run(*command) == 0  # without --shard: what is missing is answered
    assert len(answers(folder)) == 6
    assert scores(folder) == scores(whole)


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_can_not_be_is_refused(shard: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(f"--shard={shard}", "--out", "x")
    assert "1/4 to 4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--shard", "1/2"), "--shard needs --out"),
        (("--suite", "paper", "--dataset", "data/mine"), "names its datasets itself"),
        (("--suite", "paper", "--vqa"), "names its datasets itself"),
        (("--against", "no/such/run"), "holds no evaluation"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: tuple, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("-n", "1", *options) == 1
    assert named in capsys.readouterr().err


def test_two_processes_do_not_answer_the_same_questions(
    started: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (started / "results-0.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run("-n", "6", "--out", str(started)) == 1
    assert "another process writes" in capsys.readouterr().err
