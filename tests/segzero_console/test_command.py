"""The commands: found by `segzero`, and refused in one line where they can't work."""

import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from segzero import cli
from segzero_console.command import annotate, console


def test_segzero_finds_the_commands_and_does_not_import_them() -> None:
    program = "import sys, segzero.cli; print('segzero_console' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["console", "annotate"])
def test_segzero_has_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: segzero {name}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--source", "/nowhere"], "there is no /nowhere"),
        (["--profile", "nowhere"], "nowhere"),
        (["--source", "/nowhere", "--seed", "1"], "seed"),
    ],
)
def test_what_can_not_be_shown_is_one_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console(arguments) == 1
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


@pytest.mark.parametrize("source", ["tabletop", "0"])
def test_a_camera_is_not_annotated(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert annotate([source, "--out", str(tmp_path / "rows")]) == 1
    assert "only a video or a folder" in capsys.readouterr().err


def test_a_short_token_is_refused_where_others_come(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path), "--host", "0.0.0.0", "--token", "abc"]
    assert annotate([str(pictures), *options]) == 1
    assert "8 characters" in capsys.readouterr().err


def test_a_port_that_is_in_use_is_told(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from segzero_console.server import bind

    taken = bind("127.0.0.1", 0)
    taken.listen()
    port = taken.getsockname()[1]
    assert annotate([str(pictures), "--out", str(tmp_path), "--port", str(port)]) == 1
    assert "in use" in capsys.readouterr().err
    taken.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number: int, pictures: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "segzero_console.command", "--source", str(pictures)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        assert urlopen(f"{url}healthz", timeout=60).status == 200
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in rest
