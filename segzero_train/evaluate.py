"""`python -m segzero_train.evaluate`: how well does a profile answer a dataset's questions?

For each category gIoU and cIoU with 95 % intervals, and beside them the segmenter alone, given the
true boxes and points: the upper bound for a perfect reasoner. The baseline "base model + SAM2" is
the same command with the profile of a base model, such as qwen2.5-vl-3b.

Under `accelerate launch` the processes share the questions (on CPUs `accelerate launch
--multi_gpu`: with --cpu it starts a single process). With --out every answer is kept: interrupted,
the same command continues where it stopped.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzero.errors import SegZeroError
from segzero.metrics import CONVENTIONS, Convention
from segzero.pipeline import SegZero
from segzero.profiles import Profile, load_profile
from segzero.reasoning.prompts import SHORT_ANSWER
from segzero.terminal import escape_unprintable
from segzero_sim.tabletop import NoOpenGL
from segzero_train.datasets.loading import load_rows, load_split
from segzero_train.evaluation import vqa
from segzero_train.evaluation.paper_tables import markdown
from segzero_train.evaluation.pictures import write_worst
from segzero_train.evaluation.runner import SkippedRow, Source, claim, run, write_text
from segzero_train.evaluation.scores import report, table
from segzero_train.evaluation.scoring import Result, score_batch
from segzero_train.evaluation.sources import IGNORED, Ignored, rows_source, tabletop_source

if TYPE_CHECKING:
    from accelerate import PartialState

TABLETOP_SIZE = 300
_LIBRARIES = ("segzero", "torch", "transformers", "numpy")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        profile: A profile's name or its YAML file.
        dataset: `tabletop`, a folder, or a published set's name.
        split: Of the dataset.
        size: How many questions; None for the default.
        vqa: Whether the dataset is one of visual question answering.
        batch: Questions asked at once.
        ignored: What pixels that are marked 255 are, one of `sources.IGNORED`.
        convention: Of the printed figures, one of `metrics.CONVENTIONS`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        out: Folder for answers, scores, table and pictures.
        worst: How many of the worst answers to draw.
        json: File for the printed figures.
    """

    profile: str
    dataset: str
    split: str
    size: int | None
    vqa: bool
    batch: int
    ignored: Ignored
    convention: Convention
    device: str
    out: Path | None
    worst: int
    json: Path | None


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Of the command line; None takes those of this process.

    Returns:
        The exit status: 0, 1 after an error, 130 after an interruption.
    """
    escape_unprintable()
    options = Options(**vars(_parser().parse_args(arguments)))
    try:
        _evaluate(options)
    except (SegZeroError, NoOpenGL, ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = f": the same command goes on, {options.out} keeps the answers" if options.out else ""
        print(f"interrupted{kept}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m segzero_train.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--profile", default="demo", help="a profile's name or its YAML file")
    add("--dataset", default="tabletop", help="tabletop, a folder, or a published set's name")
    add("--split", default="test", help="default: %(default)s")
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
        "--worst",
        type=_positive,
        default=8,
        metavar="K",
        help="how many of the worst answers to draw",
    )
    add("--json", type=Path, metavar="FILE", help="write the printed figures here, too")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _evaluate(options: Options) -> None:
    if options.json is not None:
        _check_writable(options.json)
    # Here: these take seconds, which --help shouldn't cost.
    from accelerate import PartialState

    from segzero.devices import resolve_device

    profile = load_profile(options.profile)
    on_cpu = resolve_device(options.device).type == "cpu"
    # From here on, "cuda" is each process's own. One that is done waits for the others.
    state = PartialState(cpu=on_cpu, timeout=timedelta(days=7))
    source = _source(options)
    if options.out is not None:
        claim(options.out, _identity(options, profile, source.size), state)
    ask = _ask_vqa if options.vqa else _ask
    ask(options, profile, source, state)


def _check_writable(file: Path) -> None:
    """Fail before the work, not after it."""
    if not file.parent.is_dir():
        raise OSError(f"there is no folder {file.parent} to write {file.name} to: make it first")


def _source(options: Options) -> Source:
    if options.vqa:
        rows = load_split(options.dataset, options.split)
        return vqa.source(rows.select(range(min(options.size or len(rows), len(rows)))))
    if options.dataset == "tabletop":
        return tabletop_source(options.split, options.size or TABLETOP_SIZE)
    return rows_source(load_rows(options.dataset, options.split, options.size), options.ignored)


def _ask(options: Options, profile: Profile, source: Source, state: "PartialState") -> None:
    model = SegZero.load(profile, options.device)
    results, skipped = run(
        source, partial(score_batch, model), Result, options.batch, options.out, state
    )
    if not state.is_main_process:
        return
    reports: dict[str, Any] = {name: report(results, name) for name in CONVENTIONS}
    print(table(reports[options.convention]))
    _finish(options, len(results), reports[options.convention], reports, skipped)
    if options.out is not None:
        text = markdown(_described(options), list(reports.values()))
        write_text(options.out / "table.md", text)
        write_worst(options.out / "worst", model, source.load, results, options.worst)


def _ask_vqa(options: Options, profile: Profile, source: Source, state: "PartialState") -> None:
    from segzero.devices import resolve_device
    from segzero.loading import load_reasoner

    reasoner = load_reasoner(profile, resolve_device(options.device), SHORT_ANSWER)
    results, skipped = run(
        source, partial(vqa.answer, reasoner), vqa.Answered, options.batch, options.out, state
    )
    if not state.is_main_process:
        return
    figures = vqa.report(results)
    print(vqa.table(figures))
    _finish(options, len(results), figures, figures, skipped)


def _finish(
    options: Options,
    answered: int,
    printed: dict[str, Any],
    figures: dict[str, Any],
    skipped: Sequence[SkippedRow],
) -> None:
    """Write the figures that were printed to --json, all of them to --out."""
    reasons = [item.reason for item in skipped]
    content = _described(options) | {"n": answered, "skipped": reasons}
    if skipped:
        print(f"skipped: {len(skipped)} of the rows, each named above")
    if options.json is not None:
        options.json.write_text(_json(content | printed), encoding="utf-8")
    if options.out is not None:
        versions = {name: version(name) for name in _LIBRARIES}
        write_text(options.out / "scores.json", _json(content | {"versions": versions} | figures))


def _described(options: Options) -> dict[str, Any]:
    keys = ("profile", "dataset", "split", "size", "ignored")
    return {key: getattr(options, key) for key in keys}


def _identity(options: Options, profile: Profile, size: int) -> dict[str, Any]:
    """What answers depend on; with another of these they can't be mixed."""
    from segzero.weights import resolve_weights

    here = [] if profile.server else [profile.reasoner]
    here += [] if options.vqa else [profile.segmenter]
    folders = [resolve_weights(weights, profile.name) for weights in here]
    files = [file for folder in folders for file in sorted(folder.glob("*.safetensors"))]
    dataset = Path(options.dataset)
    return {
        "profile": asdict(replace(profile, name="", summary="")),
        "weights_written": [int(file.stat().st_mtime) for file in files],
        "dataset": str(dataset.resolve()) if dataset.is_dir() else options.dataset,
        "split": options.split,
        "size": size,
        "vqa": options.vqa,
        # None for the default, so that folders of older versions fit.
        "ignored": None if options.ignored == "excluded" else options.ignored,
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
