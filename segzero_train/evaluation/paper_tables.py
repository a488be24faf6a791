"""The figures of the Seg-Zero paper, and a Markdown table that puts ours beside them.

Source: arXiv 2503.06520, tables 6 and 7, in percent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from segzero_train.evaluation.published import FIELD, licence_lines
from segzero_train.evaluation.scores import batch_text, malformed_text, named_rows

Column = tuple[str, str, str]
"""A benchmark, its split, and the metric `giou` or `ciou`."""


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table of the paper.

    Attributes:
        number: Of the table in the paper.
        columns: What each figure measures.
        rows: A model with its figures in percent, one for each column; the last may be missing.
    """

    number: int
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]


TABLES = (
    PublishedTable(
        number=6,
        columns=tuple(
            ("ReasonSeg", split, metric) for split in ("val", "test") for metric in ("giou", "ciou")
        ),
        rows=(
            ("OVSeg", (28.5, 18.6, 26.1, 20.8)),
            ("ReLA", (22.4, 19.9, 21.3, 22.0)),
            ("Grounded-SAM", (26.0, 14.5, 21.3, 16.4)),
            ("LISA-7B", (53.6, 52.3, 48.7, 48.8)),
            ("LISA-13B", (57.7, 60.3, 53.8, 50.8)),
            ("SAM4MLLM", (46.7, 48.1)),
            ("Qwen2.5-VL-3B + SAM2", (53.8, 44.1, 47.6, 37.4)),
            ("Seg-Zero-3B", (62.6, 58.5, 56.1, 48.6)),
            ("Seg-Zero-7B", (62.6, 62.0, 57.5, 52.0)),
        ),
    ),
    PublishedTable(
        number=7,
        columns=(
            ("RefCOCO", "testA", "ciou"),
            ("RefCOCO+", "testA", "ciou"),
            ("RefCOCOg", "test", "ciou"),
        ),
        rows=(
            ("LAVT", (75.8, 68.4, 62.1)),
            ("ReLA", (76.5, 71.0, 66.0)),
            ("LISA-7B", (76.5, 67.4, 68.5)),
            ("PixelLM-7B", (76.5, 71.7, 70.5)),
            ("PerceptionGPT-7B", (78.6, 73.9, 71.7)),
            ("Seg-Zero-3B", (79.3, 73.7, 71.5)),
            ("Seg-Zero-7B", (80.3, 76.2, 72.6)),
        ),
    ),
)
_METRICS = {"giou": "gIoU", "ciou": "cIoU"}
_BENCHMARKS = {
    "reasonseg": "ReasonSeg",
    "reasonseg_refine": "ReasonSeg-R",
    "reasonseg-r": "ReasonSeg-R",
    "reasonsegx": "ReasonSeg-X",
    "reasonseg-x": "ReasonSeg-X",
    "refcoco": "RefCOCO",
    "refcoco+": "RefCOCO+",
    "refcocop": "RefCOCO+",
    "refcocoplus": "RefCOCO+",
    "refcocog": "RefCOCOg",
}
_NAME = re.compile(
    r"(?P<benchmark>[a-z+]+?(?:_refine|-[rx])?)(?:[_-](?P<split>val|test|testa|testb))?"
)


def benchmark(dataset: str, split: str) -> tuple[str, str] | None:
    """Recognise a published benchmark by the last part of a dataset's name.

    A split in the name has priority: the published `ReasonSeg_val` stores its rows as `test`.

    Args:
        dataset: A folder or a name on the Hub.
        split: The split that was evaluated.

    Returns:
        The benchmark and its split in lower case; None for any other dataset.
    """
    match = _NAME.fullmatch(PurePosixPath(dataset).name.lower())
    if match is None or match["benchmark"] not in _BENCHMARKS:
        return None
    return _BENCHMARKS[match["benchmark"]], match["split"] or split.lower()


def markdown(run: dict[str, Any], reports: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of the measured figures, for a published benchmark beside the paper's.

    Args:
        run: The keys `profile`, `dataset`, `split` and perhaps `ignored`.
        reports: `scores.report` of each convention.

    Returns:
        The text of a Markdown file.
    """
    lines = [f"# {run['profile']} on {run['dataset']}, split {run['split']}", ""]
    measured = f"{malformed_text(reports[0])}; {batch_text(reports[0]['batches'])}"
    lines += [f"With 95 % intervals of the bootstrap; {measured}.", ""]
    excluded = reports[0].get("ignored_pixels", 0)
    if run.get("ignored") == "target":
        lines += ["Ignored pixels are part of the answer, as in the authors' evaluation.", ""]
    elif excluded:
        lines += [f"{excluded} ignored pixels are not counted.", ""]
    header = [""]
    for figures in reports:
        header += ["n", f"gIoU ({figures['convention']})", f"cIoU ({figures['convention']})"]
    lines += _head(header)
    for parts in zip(*map(named_rows, reports), strict=True):
        cells = [parts[0][0]]
        for _, row in parts:
            cells += [str(row["n"]), with_interval(row, "giou"), with_interval(row, "ciou")]
        lines.append(_line(cells))
    place = benchmark(run["dataset"], run["split"])
    if place and excluded:
        lines += ["", "The published figures count ignored pixels: compare with --ignored target."]
    else:
        for published in TABLES:
            if any(place == (name, split.lower()) for name, split, _ in published.columns):
                lines += ["", *_beside(published, place, run["profile"], reports)]
        if place == ("ReasonSeg", "test"):
            lines += ["", *_field(run["profile"], reports)]
    if licences := licence_lines(place, run.get("weights", ())):
        lines += ["", "## Licences", "", *licences]
    return "\n".join(lines) + "\n"


def _field(profile: str, reports: Sequence[dict[str, Any]]) -> list[str]:
    """Our figures among those of later models."""
    lines = ["## Beside other models on ReasonSeg test, gIoU in percent", ""]
    lines += ["Each figure is of its own authors' evaluation, and these differ.", ""]
    lines += _head(["model", "gIoU", "source"])
    lines += [_line([row.model, f"{row.giou:.1f}", row.source]) for row in FIELD]
    for figures in reports:
        measured = {"": figures["all"], **figures.get("samples", {})}
        for name, row in measured.items():
            title = f"**{profile}**" + (f", {name}" if name else "")
            source = f"measured, {figures['convention']}, {batch_text(figures['batches'])}"
            lines.append(_line([title, _percent(row, "giou"), source]))
    return lines


def _beside(
    published: PublishedTable,
    place: tuple[str, str] | None,
    profile: str,
    reports: Sequence[dict[str, Any]],
) -> list[str]:
    columns = [f"{name} {split} {_METRICS[metric]}" for name, split, metric in published.columns]
    lines = [f"## Beside table {published.number} of arXiv 2503.06520, in percent", ""]
    lines += _head(["model", "figures", *columns])
    for model, values in published.rows:
        blank = [""] * (len(columns) - len(values))
        lines.append(_line([model, "published", *map("{:.1f}".format, values), *blank]))
    for figures in reports:
        ours = [
            _percent(figures["all"], metric) if (name, split.lower()) == place else ""
            for name, split, metric in published.columns
        ]
        source = (
            f"measured, {figures['convention']}, n = {figures['all']['n']}, "
            f"{batch_text(figures['batches'])}"
        )
        lines.append(_line([f"**{profile}**", source, *ours]))
    return lines


def _head(cells: Sequence[str]) -> list[str]:
    return [_line(cells), _line(["---"] * len(cells))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def with_interval(
    row: dict[str, Any], metric: str, layout: str = "{:.3f} ({:.3f} to {:.3f})", missing: str = ""
) -> str:
    """A table's cell: the metric of a report's row and its 95 % interval.

    Args:
        row: Of the report.
        metric: A key of it.
        layout: Takes the value and both ends.
        missing: The cell without a value.
    """
    if row[metric] is None:
        return missing
    return layout.format(row[metric], *row[f"{metric}_95"])


def _percent(row: dict[str, Any], metric: str) -> str:
    return with_interval(row, metric, "{:.1%} ({:.1%} to {:.1%})").replace("%", "")
