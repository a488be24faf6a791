"""The options of `python -m segzero_train.evaluate`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from segzero.metrics import CONVENTIONS, Convention
from segzero_train.evaluation.sources import IGNORED, Ignored

TABLETOP_SIZE = 300
SUITES = ("paper",)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        profile: A profile's name or its YAML file.
        dataset: `tabletop`, a folder, or a published set's name.
        split: Of the dataset.
        suite: A suite of datasets, one of SUITES, instead of a dataset; None for one dataset.
        size: How many questions; None for the default.
        vqa: Whether the dataset is one of visual question answering.
        batch: Questions asked at once.
        shard: Which part of the questions, counted from 1, of how many.
        ignored: What pixels that are marked 255 are, one of `sources.IGNORED`.
        convention: Of the printed figures, one of `metrics.CONVENTIONS`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        out: Folder for answers, scores, table and pictures.
        against: Folder of another evaluation to compare with.
        worst: How many of the worst answers to draw.
        json: File for the printed figures.
    """

    profile: str
    dataset: str
    split: str
    suite: str | None
    size: int | None
    vqa: bool
    batch: int
    shard: tuple[int, int]
    ignored: Ignored
    convention: Convention
    device: str
    out: Path | None
    against: Path | None
    worst: int
    json: Path | None


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command's options, by the names of `Options`."""
    made = argparse.ArgumentParser(
        prog="python -m segzero_train.evaluate",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--profile", default="demo", help="a profile's name or its YAML file")
    add("--dataset", default="tabletop", help="tabletop, a folder, or a published set's name")
    add("--split", default="test", help="default: %(default)s")
    add(
        "--suite",
        choices=SUITES,
        help="instead of a dataset: data/reasonseg val and test, and data/refcocog test, each in a "
        "folder of its own below --out; ignored pixels as in the authors' evaluation",
    )
    add(
        "-n",
        "--n",
        "--size",
        dest="size",
        type=_positive,
        metavar="N",
        help=f"how many questions (default: {TABLETOP_SIZE} of the tabletop, else all)",
    )
    add("--vqa", action="store_true", help="visual question answering, from a dataset for that")
    add("--batch", type=_positive, default=1, metavar="N", help="questions asked at once")
    add(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="only the I-th of N parts of the questions; all parts have one --out, and the command "
        "without --shard puts them together",
    )
    add(
        "--ignored",
        choices=IGNORED,
        default="excluded",
        help="pixels marked 255: not counted (default), or part of the answer as in the authors' "
        "evaluation",
    )
    add("--convention", choices=CONVENTIONS, default="lisa", help="of the printed figures")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    add("--out", type=Path, metavar="DIR", help="for answers, scores.json, table.md and worst/")
    add(
        "--against",
        type=Path,
        metavar="RUN",
        help="the --out of another evaluation on the same questions: differences, question by "
        "question",
    )
    add(
        "--worst",
        type=_positive,
        default=8,
        metavar="K",
        help="how many of the worst answers to draw",
    )
    add("--json", type=Path, metavar="FILE", help="write the printed figures here, too")
    return made


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _shard(text: str) -> tuple[int, int]:
    part, slash, parts = text.partition("/")
    try:
        shard = int(part), int(parts)
    except ValueError:
        slash = ""
    if not slash or not 1 <= shard[0] <= shard[1]:
        raise argparse.ArgumentTypeError("is a part and their number, such as 1/4 to 4/4")
    return shard
