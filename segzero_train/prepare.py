"""`python -m segzero_train.prepare`: a dataset's original files -> the columns to train on.

It writes `data/<split>-*.parquet`, which `datasets.load_dataset` reads, and `report.json`, which
lists what was skipped. Interrupted, the same command continues where it stopped.
"""

import argparse
import errno
import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from segzero.errors import SegZeroError
from segzero.terminal import escape_unprintable
from segzero_train.datasets import folder, reasonseg, refer
from segzero_train.datasets.items import Format, Item, features, make_row
from segzero_train.datasets.shards import write_split
from segzero_train.datasets.skipped import Skipped, Unusable
from segzero_train.datasets.solutions import SOLUTION_STYLES, SolutionStyle
from segzero_train.datasets.splits import read_shares, split_by_picture
from segzero_train.datasets.store import Report, shards
from segzero_train.errors import BadData

_TRAINING_SIDE = 840
_TABLETOP_SIZE = 1000
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; some datasets leave fields at their defaults.

    Attributes:
        dataset: One of `refer.REFS`, `reasonseg`, `folder` or `tabletop`.
        out: Folder of the prepared dataset.
        split: Of the dataset; for `folder` perhaps with shares, as `splits.read_shares` reads it.
        limit: Only the first items; None for all.
        workers: How many processes.
        source: Folder with the original files; none for the tabletop.
        images: COCO's train2014, for `refer.REFS`.
        rows: What makes a row, for `refer.REFS`; None for the split's default.
        negatives: Questions about what isn't there, for each other one, for `refer.REFS`.
        size: Side of the stored pictures; None for the split's default.
        style: Of the solutions.
    """

    dataset: str
    out: Path
    split: str
    limit: int | None
    workers: int
    source: Path = Path()
    images: Path | None = None
    rows: refer.Rows | None = None
    negatives: float = 0
    size: Literal["840", "original"] | None = None
    style: SolutionStyle = "vision_reasoner"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 after an error, 130 after an interruption."""
    escape_unprintable()
    options = Options(**vars(_parser().parse_args(arguments)))
    try:
        shares = read_shares(options.split)
        if len(shares) > 1 and options.dataset != "folder":
            raise BadData(f"{options.dataset} has splits of its own: name one as --split")
        parts = _folder(options) if options.dataset == "folder" else [_prepare(options)]
        for part, report in parts:
            print(_summary(part, report))
            if not report.rows:
                raise BadData("nothing of it can be used")
    except SegZeroError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except OSError as error:
        reason = "the disk is full" if error.errno in _FULL else " ".join(str(error).split())
        print(f"error: {reason}{_kept(options)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted{_kept(options)}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m segzero_train.prepare", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="DATASET", dest="dataset")
    for name in refer.REFS:
        command = _add(commands, name, f"{name} from its refs, instances.json and train2014")
        command.add_argument("--images", type=Path, metavar="DIR", help="COCO's train2014")
        command.add_argument(
            "--rows",
            choices=refer.ROWS,
            help="a row for each object (default in train), each of its sentences (default "
            "elsewhere), or each picture with all its objects",
        )
        command.add_argument(
            "--negatives",
            type=_share,
            default=0.0,
            metavar="SHARE",
            help="also ask for what isn't there: so many questions for each other one, such as "
            "0.2; they need --style vision_reasoner",
        )
        _add_format(command, "vision_reasoner" if name == "grefcoco" else "seg_zero")
    command = _add(commands, "reasonseg", "ReasonSeg's pictures and json files")
    _add_format(command, "vision_reasoner")
    command = _add(
        commands,
        "folder",
        "your own pictures, masks and questions",
        f"{folder.__doc__}\nWith --split train=0.9,val=0.1 all questions about a picture go to one "
        "split.",
    )
    _add_format(command, "vision_reasoner")
    command = _add(commands, "tabletop", "the simulated tabletop, rendered", source=False)
    command.set_defaults(limit=_TABLETOP_SIZE)
    return parser


def _add(
    commands: Any, name: str, summary: str, more: str | None = None, source: bool = True
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=more or summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if source:
        command.add_argument("--source", type=Path, required=True, metavar="DIR")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--split", default="train", help="default: %(default)s")
    command.add_argument("--limit", type=_count, metavar="N", help="only the first N items")
    processes = len(os.sched_getaffinity(0))
    command.add_argument("--workers", type=_count, default=processes, help="default: %(default)s")
    return command


def _add_format(command: argparse.ArgumentParser, style: str) -> None:
    command.add_argument(
        "--size",
        choices=[str(_TRAINING_SIDE), "original"],
        help="840 squashes pictures to 840x840 (default in train); original keeps their size",
    )
    command.add_argument("--style", choices=SOLUTION_STYLES, default=style, help="of the solutions")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a whole number from 1 on")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a share from 0 to 1")
    return value


def _prepare(options: Options) -> tuple[Options, Report]:
    return options, _RUN.get(options.dataset, _refer)(options)


def _refer(options: Options) -> Report:
    rows = options.rows or ("ref" if options.split == "train" else "sentence")
    if rows == "image" and options.style == "seg_zero":
        raise BadData("--rows image puts several objects in a row: add --style vision_reasoner")
    if options.negatives and options.style == "seg_zero":
        raise BadData("--negatives makes rows without an object: add --style vision_reasoner")
    found, skipped = refer.items(
        options.dataset,
        options.source,
        options.images,
        options.split,
        rows,
        options.limit,
        options.negatives,
    )
    return _write_items(options, found, skipped)


def _reasonseg(options: Options) -> Report:
    found, skipped = reasonseg.items(options.source, options.split)
    return _write_items(options, found[: options.limit], skipped)


def _folder(options: Options) -> Iterator[tuple[Options, Report]]:
    found, skipped = folder.items(options.source)
    parts = split_by_picture(found[: options.limit], read_shares(options.split))
    for split, items in parts.items():
        part = replace(options, split=split)
        yield part, _write_items(part, items, skipped)
        skipped = []  # stands in the report of the first


def _write_items(options: Options, found: list[Item], skipped: list[Skipped]) -> Report:
    size = options.size or (str(_TRAINING_SIDE) if options.split == "train" else "original")
    stored = Format(None if size == "original" else int(size), options.style)
    questions = hashlib.sha256(repr([(item.id, item.problem) for item in found]).encode())
    return write_split(
        options.out,
        options.split,
        found,
        partial(_rows, stored=stored),
        features().arrow_schema,
        {
            "dataset": options.dataset,
            "size": size,
            "style": options.style,
            "limit": options.limit,
            "questions": questions.hexdigest()[:16],
        },
        skipped,
        options.workers,
    )


def _rows(items: Sequence[Item], stored: Format) -> Iterator[dict[str, Any] | Skipped]:
    for item in items:
        try:
            yield make_row(item, stored)
        except Unusable as error:
            yield Skipped(item.id, error.reason, error.detail)


def _tabletop(options: Options) -> Report:
    from segzero_train.datasets import tabletop  # here: only this one needs the simulator

    most = tabletop.largest(options.split)
    count = options.limit or min(_TABLETOP_SIZE, most)
    if options.split not in tabletop.SPLITS or count > most:
        listed = ", ".join(f"{name} (up to {tabletop.largest(name)})" for name in tabletop.SPLITS)
        raise BadData(f"the tabletop has these splits, with so many rows: {listed}")
    return write_split(
        options.out,
        options.split,
        range(count),
        partial(tabletop.row_dicts, options.split),
        tabletop.features().arrow_schema,
        {"dataset": "tabletop", "limit": count},
        (),
        options.workers,
    )


def _summary(options: Options, report: Report) -> str:
    lines = [f"{options.dataset} {options.split}: {report.rows} rows in {options.out}"]
    reasons: dict[str, list[Skipped]] = defaultdict(list)
    for entry in report.skipped:
        reasons[entry.reason].append(entry)
    for reason, entries in sorted(reasons.items()):
        first = entries[0]
        lines.append(f"skipped {len(entries)}: {reason}, such as {first.name} ({first.detail})")
    if reasons:
        lines.append(f"all of them are named in {options.out / 'report.json'}")
    return "\n".join(lines)


def _kept(options: Options) -> str:
    splits = [part.partition("=")[0] for part in options.split.split(",")]
    finished = sum(len(shards(options.out, split)) for split in splits)
    return f"; {finished} finished shards are kept, the same command goes on after them"


_RUN = {"reasonseg": _reasonseg, "tabletop": _tabletop}


if __name__ == "__main__":
    sys.exit(main())
