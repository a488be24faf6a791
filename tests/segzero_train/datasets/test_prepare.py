"""The command as such: shards, processes, interruptions, full disks."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzero_train.datasets import shards, store, tabletop
from tests.segzero_train.original_files import filled, noise, rows, run, save, skipped
from tests.segzero_train.small_disk import files_of_at_most

COUNT = 450
LATE = 250
"""The question whose picture may be made to wait for."""
SIZE = (200, 150)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions for five shards; every hundredth is about a picture that isn't there."""
    folder = tmp_path_factory.mktemp("source")
    save(noise(SIZE), folder / "a.png")
    save(Image.fromarray(filled(50, 60, 70, 80, SIZE).astype("u1")), folder / "masks/a.png")
    for name in ("a.png", "masks/a.png"):
        shutil.copy(folder / name, folder / name.replace("a.", "late."))
    images = ["a.png" if k % 100 else "none.png" for k in range(COUNT)]
    images[LATE] = "late.png"
    lines = [{"image": image, "text": f"thing {k}"} for k, image in enumerate(images)]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def serial(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of them without an interruption."""
    out = tmp_path_factory.mktemp("serial")
    assert run(*words(source, out), "--workers", 1) == 0
    return out


def words(source: Path, out: Path) -> list[str]:
    return ["folder", "--source", str(source), "--out", str(out), "--size", "original"]


def command(source: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "segzero_train.prepare", *words(source, out), *options]


def contents(out: Path) -> dict[str, bytes]:
    """Every file but hidden ones."""
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in sorted(out.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def leftovers(out: Path) -> list[Path]:
    return list(out.rglob("*.partial*"))


@pytest.fixture
def at_work(source: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen, Path]]:
    """The command in a session of its own, a shard finished, another waiting for a picture."""
    out, late = tmp_path / "out", source / "late.png"
    late.rename(source / "late.kept")
    os.mkfifo(late)
    # Who starts the tests in the background of a script has them ignore ctrl-C.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *command(source, out, "--workers", "2")],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while not list(out.glob("data/train-*.parquet")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    yield process, out
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def bring_the_picture(source: Path) -> None:
    """Put the late picture where it belongs, and hand it to who waits for it."""
    late = source / "late.png"
    pipe = late.rename(source / "late.pipe")
    (source / "late.kept").rename(late)
    with contextlib.suppress(OSError):  # nobody waits
        end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(end, True)
        with os.fdopen(end, "wb") as writer:
            writer.write(late.read_bytes())
    pipe.unlink()


@pytest.mark.slow
def test_processes_make_what_one_process_makes(source: Path, serial: Path, tmp_path: Path) -> None:
    assert run(*words(source, tmp_path), "--workers", 2) == 0
    assert contents(tmp_path) == contents(serial)
    assert len(list(tmp_path.glob("data/*.parquet"))) == 5
    assert [row["id"] for row in rows(tmp_path)] == [
        f"line-{k + 1}" for k in range(COUNT) if k % 100
    ]
    assert set(skipped(tmp_path)) == {f"line-{k + 1}" for k in range(0, COUNT, 100)}


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(
    at_work: tuple[subprocess.Popen, Path], source: Path, serial: Path
) -> None:
    process, out = at_work
    members = children(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 300
    while any(Path(f"/proc/{pid}").exists() for pid in members):
        assert time.monotonic() < deadline, "a process outlived the command"
        time.sleep(0.02)
    bring_the_picture(source)
    finished = {file: file.stat().st_mtime_ns for file in out.glob("data/train-*.parquet")}
    assert 0 < len(finished) < 5
    assert not (out / "README.md").exists()
    assert run(*words(source, out), "--workers", 1) == 0
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert contents(out) == contents(serial)
    assert not leftovers(out)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_ctrl_c_keeps_the_finished_shards(
    at_work: tuple[subprocess.Popen, Path], source: Path, serial: Path
) -> None:
    process, out = at_work
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to every process
    bring_the_picture(source)
    _, printed = process.communicate(timeout=300)
    assert process.returncode == 130
    assert re.search(r"interrupted; \d finished shards are kept", printed)
    assert "Traceback" not in printed
    assert not leftovers(out)
    assert run(*words(source, out), "--workers", 1) == 0
    assert contents(out) == contents(serial)


FULL = """
mount -t tmpfs -o size=$2 tmpfs "$1" || exit 77
shift 2
"$@"
status=$?
mount -o remount,size=50m tmpfs "$OUT"
ls -A "$OUT"/data
"$@" || exit 78
cp -r "$OUT" "$COPY"
exit $status
"""


@pytest.mark.slow
def test_a_full_disk_keeps_the_finished_shards(source: Path, serial: Path, tmp_path: Path) -> None:
    out, copy = tmp_path / "out", tmp_path / "copy"
    out.mkdir()
    shard = (serial / "data/train-00000.parquet").stat().st_size
    done = subprocess.run(
        [
            *("unshare", "--map-root-user", "--mount", "sh", "-c", FULL, "sh"),
            *(str(out), str(int(2.5 * shard)), *command(source, out, "--workers", "2")),
        ],
        env=os.environ | {"OUT": str(out), "COPY": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a small disk")
    assert done.returncode == 1, done.stderr
    assert re.search(r"error: the disk is full; [12] finished shards are kept", done.stderr)
    assert "Traceback" not in done.stderr
    assert ".partial" not in done.stdout
    assert contents(copy) == contents(serial)


def test_a_file_that_may_not_grow_is_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with files_of_at_most(100_000):
        assert run(*words(source, tmp_path), "--workers", 1) == 1
    assert "error: the disk is full" in capsys.readouterr().err
    assert not leftovers(tmp_path)


def test_a_finished_split_is_left_alone(
    source: Path, serial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(serial, tmp_path / "out")
    before = {file: file.stat().st_mtime_ns for file in out.glob("data/*")}
    assert run(*words(source, out)) == 0
    assert {file: file.stat().st_mtime_ns for file in out.glob("data/*")} == before
    assert f"{COUNT - 5} rows" in capsys.readouterr().out


def test_a_damaged_shard_is_made_again(source: Path, serial: Path, tmp_path: Path) -> None:
    out = shutil.copytree(serial, tmp_path / "out")
    shard = out / "data/train-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:1000])
    assert run(*words(source, out), "--workers", 1) == 0
    assert contents(out) == contents(serial)


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--style", "seg_zero"], "style was"), (["--limit", "7"], "limit was None")],
)
def test_other_options_are_refused(
    source: Path,
    serial: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    named: str,
) -> None:
    out = shutil.copytree(serial, tmp_path / "out")
    assert run(*words(source, out), *options) == 1
    assert named in capsys.readouterr().err
    assert contents(out) == contents(serial)


def test_another_split_goes_beside_the_first(source: Path, serial: Path, tmp_path: Path) -> None:
    out = shutil.copytree(serial, tmp_path / "out")
    assert run(*words(source, out), "--split", "testA", "--limit", 3) == 0
    assert set(json.loads((out / "report.json").read_text())) == {"train", "testA"}
    assert len(rows(out, "testA")) == 2
    assert len(rows(out, "train")) == COUNT - 5


def test_files_of_others_are_not_touched(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train-00000.parquet").write_text("mine")
    assert run(*words(source, tmp_path)) == 1
    assert "prepare didn't write" in capsys.readouterr().err
    assert (tmp_path / "data/train-00000.parquet").read_text() == "mine"


def test_two_runs_do_not_work_in_one_folder(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with store.claimed(tmp_path, "val", {}):
        assert run(*words(source, tmp_path)) == 1
    assert "another prepare is at work" in capsys.readouterr().err


@pytest.mark.slow
def test_the_tabletop_is_written_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD", 4)
    out = tmp_path / "out"
    assert run("tabletop", "--out", out, "--split", "val", "--limit", 6, "--workers", 2) == 0
    expected = tabletop.rows("val", 6)
    assert len(rows(out, "val")) == 6
    for row, same in zip(rows(out, "val"), expected, strict=True):
        assert (row["id"], row["thinking"]) == (same["id"], same["thinking"])
        assert np.array_equal(row["image"], np.asarray(same["image"]))


@pytest.mark.parametrize("options", [["--split", "testA"], ["--limit", "100001"]])
def test_the_tabletop_has_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert run("tabletop", "--out", tmp_path, *options) == 1
    assert "the tabletop has these splits, with so many rows: test" in capsys.readouterr().err


@pytest.mark.parametrize("split", ["", "../x", "a-b"])
def test_a_split_is_a_word(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    assert run(*words(source, tmp_path), "--split", split) == 1
    assert "a split's name" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_a_terminal_lacks_are_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    save(noise(), tmp_path / "a.png")
    save(Image.fromarray(filled(5, 5, 9, 9).astype("u1")), tmp_path / "masks/a.png")
    lines = [{"image": f"{name}.png", "text": "it"} for name in ("a", "杯")]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    printed = io.BytesIO()
    terminal = io.TextIOWrapper(printed, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run(*words(tmp_path, tmp_path / "out"), "--workers", 1) == 0
    terminal.flush()
    name = "杯" if encoding == "utf-8" else "\\u676f"
    assert name in printed.getvalue().decode(encoding)


def test_an_out_that_is_a_file_is_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("")
    assert run(*words(source, tmp_path / "out")) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
