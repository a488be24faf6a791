"""`prepare folder` shares pictures out to splits."""

from pathlib import Path

import pytest

from tests.segzero_train.datasets.folder_sources import pictures
from tests.segzero_train.original_files import rows, run


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ("train=0.9,val=0.1", (18, 2)),
        ("train=0.5,val=0.3,test=0.2", (10, 6, 4)),
        ("train=0.99,val=0.01", (18, 2)),
    ],
)
def test_pictures_are_shared_out_whole(split: str, counts: tuple[int, ...], tmp_path: Path) -> None:
    source, out = pictures(tmp_path, 11), tmp_path / "out"
    assert run("folder", "--source", source, "--out", out, "--split", split, "--workers", 1) == 0
    names = [part.partition("=")[0] for part in split.split(",")]
    parts = [[row["id"].split("-")[0] for row in rows(out, name)] for name in names]
    # Two pictures are equal and count as one; both questions about one stay together.
    assert sum(map(len, parts)) == 22
    assert [len(part) - 2 * ("9" in part) for part in parts] == list(counts)
    assert sum(len(set(part)) for part in parts) == 11
    assert sum({"9", "10"} <= set(part) for part in parts) == 1


def test_the_same_pictures_are_shared_out_alike_again(tmp_path: Path) -> None:
    source = pictures(tmp_path, 6)
    shares = ("--split", "train=0.5,val=0.5", "--workers", 1)
    for out in ("one", "two"):
        assert run("folder", "--source", source, "--out", tmp_path / out, *shares) == 0
    one, two = ([row["id"] for row in rows(tmp_path / out, "val")] for out in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("folder", "train=0.9"), "add up to 1"),
        (("folder", "train=0.9,val=0.2"), "add up to 1"),
        (("folder", "train=1.1,val=-0.1"), "above 0"),
        (("folder", "train=most,val=0.1"), "must be a number"),
        (("folder", "train=0.5,train=0.5"), "names train twice"),
        (("folder", "a/b=0.5,val=0.5"), "letters, digits and _ only"),
        (("folder", "a=0.2,b=0.2,c=0.6"), "2 pictures can't be shared out to 3 splits"),
        (("reasonseg", "train=0.9,val=0.1"), "has splits of its own"),
    ],
)
def test_shares_that_can_not_be_are_one_clear_line(
    words: tuple[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, split = words
    source, out = pictures(tmp_path, 3), tmp_path / "out"
    assert run(dataset, "--source", source, "--out", out, "--split", split) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
