"""Files and folders are written whole or not at all; YAML files are read or refused."""

from pathlib import Path

import pytest

from segzero.errors import CheckpointError
from segzero.files import read_mapping, write_text_whole, written_whole


@pytest.mark.parametrize("name", ["a.json", "recipe.yaml", "no_suffix", ".hidden"])
def test_what_was_written_is_there_and_nothing_else(tmp_path: Path, name: str) -> None:
    write_text_whole(tmp_path / name, "first")
    write_text_whole(tmp_path / name, "sécond")
    assert (tmp_path / name).read_text(encoding="utf-8") == "sécond"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    (file := tmp_path / "a.txt").write_text("old")
    with pytest.raises(type(error)), written_whole(file) as partial:
        partial.write_text("half")
        raise error
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_made_whole(tmp_path: Path) -> None:
    with written_whole(tmp_path / "out") as partial:
        partial.mkdir()
        (partial / "a").touch()
        assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "a.npy") as partial:
        left = partial  # nothing is written: there is nothing to rename
    left.mkdir()
    with written_whole(tmp_path / "a.npy") as partial:
        partial.touch()
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "isn't a YAML mapping"),
        (b"- a\n", "isn't a YAML mapping"),
        (b"a: [b\n", "isn't valid YAML"),
        (b"a: \xff\n", "isn't valid YAML"),
        (b"[" * 20_000, "isn't valid YAML"),
        (b"a: 1\nb: 2\na: 3\n", "a stands there twice"),
        (b"a: {b: 1, b: 1}\n", "b stands there twice"),
        (b"on: 1\n'on': 2\n", "on stands there twice"),
        (None, "No such file"),
    ],
)
def test_what_is_no_mapping_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as caught:
        read_mapping(file, "profile", CheckpointError, unique=True)
    assert f"the profile {file}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
