"""The options of `python -m segzero_train.evaluate`."""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from segzero.metrics import CONVENTIONS, Convention
from segzero_train.evaluation.sources import IGNORED, Ignored
from segzero_train.evaluation.votes import Draws

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
        samples: Answers sampled for each question besides the greedy one.
        temperature: At which they are sampled.
        seed: Of the samples.
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
    samples: int
    temperature: float
    seed: int
    shard: tuple[int, int]
    ignored: Ignored
    convention: Convention
    device: str
    out: Path | None
    against: Path | None
    worst: int
    json: Path | None

    @property
    def draws(self) -> Draws | None:
        """How answers are sampled; None if none is."""
        return Draws(self.samples, self.temperature, self.seed) if self.samples else None


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
        "--samples",
        type=_count,
        default=0,
        metavar="K",
        help="sample K more answers to each question: their mean, the best of them, and the "
        "majority vote over their masks",
    )
    add("--temperature", type=_temperature, default=1.0, metavar="T", help="of the samples")
    add("--seed", type=_count, default=0, help="of the samples")
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


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return number


def _temperature(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be above 0")
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
