"""`python -m segzero_train.paper [ITEM …]`: the commands of the paper's tables and figure 5.

Without an option it prints the commands, each once, in an order in which they can be run. An item
is `table1` to `table7` or `figure5`; without one, all. `--run` runs them and leaves out what is
done. `--collect` prints the tables with the published figures beside those measured so far, and
draws figure 5 into `figure5.png` beside the runs.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from segzero.errors import SegZeroError
from segzero.terminal import escape_unprintable
from segzero_train import plot
from segzero_train.errors import BadData
from segzero_train.evaluation import figure_5
from segzero_train.evaluation.paper_rows import (
    MODELS,
    SOURCES,
    TABLES,
    TRAINING_DATA,
    Figure,
    Place,
)
from segzero_train.shipped import find

ITEMS = (*TABLES, "figure5")


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and what tells that it was run.

    Attributes:
        words: From the module's name on, without `-m`.
        done: Is there when it ended; None for what is quick when it is done.
        processes: Whether it trains on many.
    """

    words: tuple[str, ...]
    done: Path | None
    processes: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    escape_unprintable()
    options = _parser().parse_args(arguments)
    items = options.items or list(ITEMS)
    try:
        if options.collect:
            print("\n\n".join(table(item, options.runs) for item in items))
            if "figure5" in items and (found := figure_5.measured(options.runs)):
                plot.write(figure_5.draw(found), options.runs / "figure5.png")
            return 0
        launch = ["python", "-m"] if options.launch == "none" else _launch(options.launch)
        for command in commands(items, options.runs, options.vqa):
            words = [*(launch if command.processes else ["python", "-m"]), *command.words]
            print(shlex.join(words), flush=True)
            if options.run and not (command.done and command.done.exists()):
                _run(words)
    except (SegZeroError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on", file=sys.stderr)
        return 130
    return 0


def commands(items: Sequence[str], runs: Path, vqa: str) -> list[Command]:
    """What is to be run, each command once, in order.

    Args:
        items: Of ITEMS.
        runs: The folder of all runs and results.
        vqa: The dataset of visual questions for figure 5.

    Returns:
        Preparation, training, export and evaluation.
    """
    found: dict[tuple[str, ...], Command] = {}
    trained = any(MODELS[name].train for item in items for name in _models(item))
    places = list(TRAINING_DATA) if trained else []
    places += [figure.place for item in items for figure in TABLES.get(item, ())]
    for command in map(_preparation, places):
        found.setdefault(command.words, command)
    for item in items:
        for name in _models(item):
            for command in _training(name, runs):
                found.setdefault(command.words, command)
        for command in _evaluations(item, runs, vqa):
            found.setdefault(command.words, command)
    return list(found.values())


def table(item: str, runs: Path) -> str:
    """A table of the paper in Markdown, with what was measured beside it.

    Args:
        item: Of ITEMS.
        runs: The folder of all runs and results.

    Returns:
        The table; empty cells were not measured yet.
    """
    if item not in TABLES:
        return figure_5.table(figure_5.measured(runs))
    lines = [f"## {item}, in percent", "", "| row | on | metric | published | measured | n |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: |")
    for figure in TABLES[item]:
        measured, count = _measured(figure, runs)
        dataset, split = figure.place
        lines.append(
            f"| {figure.row} | {Path(dataset).name} {split} | {figure.metric} | "
            f"{figure.published:.1f} | {measured} | {count} |"
        )
    return "\n".join(lines)


def _measured(figure: Figure, runs: Path) -> tuple[str, str]:
    file = _results(figure.model, figure.place, runs) / "scores.json"
    if not file.is_file():
        return "", ""
    try:
        scores = json.loads(file.read_text(encoding="utf-8"))
        # The convention of the authors' evaluation.
        row = scores["seg_zero"]["all"]
        low, high = row[f"{figure.metric}_95"]
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        return f"{100 * row[figure.metric]:.1f} ({interval})", str(scores["n"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(f"{file} isn't an evaluation's scores: evaluate again ({error})") from error


def _models(item: str) -> list[str]:
    figures = TABLES.get(item, ())
    return list(dict.fromkeys([figure.model for figure in figures] or figure_5.TITLES))


def _preparation(place: Place) -> Command:
    folder, split = place
    return Command(
        ("segzero_train.prepare", *SOURCES[folder], "--split", split, "--out", folder), None
    )


def _training(name: str, runs: Path) -> Iterator[Command]:
    model = MODELS[name]
    if model.train is None:
        return
    run, exported = str(runs / name), runs / f"{name}-exported"
    module, *options = model.train
    words = (f"segzero_train.{module}", *options, "--output_dir", run)
    yield Command(words, exported, processes=True)
    yield Command(("segzero_train.export", run, "--out", str(exported)), exported)


def _evaluations(item: str, runs: Path, vqa: str) -> Iterator[Command]:
    if item not in TABLES:
        for name in figure_5.TITLES:
            out = figure_5.results(name, runs)
            asked = ("--vqa", "--dataset", vqa, "--split", "val", "--out", str(out))
            yield _evaluate(name, runs, asked, out)
        return
    for figure in TABLES[item]:
        out = _results(figure.model, figure.place, runs)
        dataset, split = figure.place
        words = ("--dataset", dataset, "--split", split, "--ignored", "target")
        yield _evaluate(figure.model, runs, (*words, "--out", str(out)), out)


def _evaluate(name: str, runs: Path, words: tuple[str, ...], out: Path) -> Command:
    profile = MODELS[name].profile or str(runs / f"{name}-exported" / "profile.yaml")
    evaluate = ("segzero_train.evaluate", "--profile", profile, *words)
    return Command(evaluate, out / "scores.json")


def _results(model: str, place: Place, runs: Path) -> Path:
    dataset, split = place
    return runs / "results" / model / f"{Path(dataset).name}-{split}"


def _launch(name: str) -> list[str]:
    file = str(find("accelerate", name))
    return ["accelerate", "launch", "--config_file", file, "-m"]


def _run(words: Sequence[str]) -> None:
    program = [sys.executable, *words[1:]] if words[0] == "python" else list(words)
    status = subprocess.run(program, check=False).returncode
    if status:
        raise BadData(f"{shlex.join(words)} ended with status {status}: the same command goes on")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m segzero_train.paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("items", nargs="*", metavar="ITEM", choices=[[], *ITEMS], default=[])
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--run", action="store_true", help="run what isn't done yet")
    action.add_argument("--collect", action="store_true", help="print the tables measured so far")
    parser.add_argument("--runs", type=Path, default=Path("runs/paper"), metavar="DIR")
    parser.add_argument(
        "--launch",
        default="8gpu_zero3",
        help="accelerate configuration that trains, or none (default: %(default)s)",
    )
    parser.add_argument(
        "--vqa", default="data/vqa", metavar="DATASET", help="visual questions for figure 5"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
