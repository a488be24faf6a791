"""Addresses without their passwords, and which of them are this machine."""

from pathlib import Path

import pytest

from segzero import cli
from segzero.errors import CheckpointError
from segzero.profiles import load_profile
from segzero.reasoning.server_url import is_loopback, split_credentials

SECRET = "pa55word"


@pytest.mark.parametrize(
    ("url", "shown", "credentials"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1", None),
        (f"https://u:{SECRET}@x.org/v1", "https://x.org/v1", ("u", SECRET)),
        (f"https://u:{SECRET}%40%2F@x.org/v1", "https://x.org/v1", ("u", f"{SECRET}@/")),
        (f"https://u:{SECRET}@/@x.org/v1", "https://x.org/v1", ("u", f"{SECRET}@/")),
        ("https://token@x.org", "https://x.org", ("token", "")),
        (f"u:{SECRET}@x.org/v1", "x.org/v1", ("u", SECRET)),
    ],
)
def test_user_and_password_are_taken_off(
    url: str, shown: str, credentials: tuple[str, str] | None
) -> None:
    assert split_credentials(url) == (shown, credentials)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:80", "robot.localhost"])
def test_addresses_of_this_machine_are_known(host: str) -> None:
    assert is_loopback(f"http://{host}/v1")


@pytest.mark.parametrize("host", ["example.org", "192.168.0.1", "localhost.org", "[::1"])
def test_other_addresses_are_not_this_machine(host: str) -> None:
    assert not is_loopback(f"http://{host}/v1")


def write_profile(folder: Path, **changes: object) -> Path:
    content = {
        "summary": "served",
        "reasoner": "m",
        "segmenter": "owner/name",
        "prompt": "vision_reasoner",
        "answer_format": "vision_reasoner",
        "coordinates": "absolute_pixels",
        "rounding": "round",
        "server": f"http://u:{SECRET}@robot:8000/v1",
        **changes,
    }
    path = folder / "served.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in content.items()))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"server": f"ftp://u:{SECRET}@robot/v1"},
        {"server": f"u:{SECRET}@robot/v1"},
        {"decoding_weights": "int4"},
        {"drafts": "answer_format"},
        {"image_size": 841},
    ],
    ids=str,
)
def test_a_profile_that_is_refused_does_not_show_the_password(
    changes: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="in the profile") as error:
        load_profile(write_profile(tmp_path, **changes))
    assert SECRET not in str(error.value)


def test_the_list_of_profiles_does_not_show_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_profile(tmp_path)
    monkeypatch.setattr(cli, "profile_names", lambda: [str(path)])
    assert cli.main(["profiles"]) == 0
    shown = capsys.readouterr().out
    assert "http://robot:8000/v1" in shown
    assert SECRET not in shown
