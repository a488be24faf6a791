"""Evaluation sets by their short names, models after Seg-Zero, and the licences of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segzero.licences import LICENCES, UNKNOWN

ON_HUB: Mapping[tuple[str, str], str] = {
    ("reasonseg-r", "test"): "sj9909/ReasonSeg_refine",
    ("reasonseg-x", "val"): "sj9909/ReasonSegX_val",
    ("reasonseg-x", "test"): "sj9909/ReasonSegX_test",
}
"""StAR's sets (arXiv 2603.14382) by their short names and splits; each has its rows as `test`."""


@dataclass(frozen=True, slots=True)
class FieldRow:
    """What another model reaches on ReasonSeg's test split, as its authors measured it.

    Attributes:
        model: Its name.
        giou: In percent.
        source: Where it was published.
    """

    model: str
    giou: float
    source: str


_STAR, _SAM3 = "StAR, arXiv 2603.14382", "SAM 3, arXiv 2511.16719"
FIELD = (
    FieldRow("Seg-Zero-7B", 57.5, "arXiv 2503.06520"),
    FieldRow("Seg-Zero-7B", 61.4, "as GenSeg-R1 measures it, arXiv 2602.09701"),
    FieldRow("SAM 3 Agent, Qwen2.5-VL-7B", 62.6, _SAM3),
    FieldRow("VisionReasoner-7B", 63.6, "arXiv 2505.12081"),
    FieldRow("StAR-7B", 67.5, _STAR),
    FieldRow("GenSeg-R1-4B", 68.4, "arXiv 2602.09701"),
    FieldRow("StAR-7B, majority vote over masks", 68.5, _STAR),
    FieldRow("StAR-8B", 70.6, _STAR),
    FieldRow("SAM 3 Agent, Qwen2.5-VL-72B", 71.8, _SAM3),
    FieldRow("StAR-8B, majority vote over masks", 71.8, _STAR),
    FieldRow("StAR-32B", 72.1, _STAR),
    FieldRow("StAR-32B, majority vote over masks", 72.7, _STAR),
)


def locate(dataset: str, split: str) -> tuple[str, str]:
    """Where a dataset lies: the set on the Hub that a short name means, else itself.

    Args:
        dataset: A folder, a name on the Hub, or a short name; a folder goes before a short name.
        split: Of the dataset.

    Returns:
        The dataset and the split to load.
    """
    found = ON_HUB.get((dataset.lower(), split))
    return (found, "test") if found and not Path(dataset).is_dir() else (dataset, split)


def licence_lines(place: tuple[str, str] | None, weights: Sequence[str]) -> list[str]:
    """What the measured data and weights may be used for, as items of a Markdown list.

    Args:
        place: As `paper_tables.benchmark` returns it.
        weights: Names on the Hub or folders.

    Returns:
        One line for each that has a known owner; none for the tabletop and folders of one's own.
    """
    lines = []
    if place and place[0] == "ReasonSeg":
        lines.append("- ReasonSeg: CC-BY-NC-4.0 on the Hub, no commercial use")
    elif place and place[0].startswith("ReasonSeg-"):
        lines.append(f"- {place[0]}: see its page; ReasonSeg itself is CC-BY-NC-4.0 on the Hub")
    elif place:
        lines.append(f"- {place[0]}: see refer's page; each picture has its author's licence")
    for name in dict.fromkeys(item.partition("@")[0] for item in weights):
        if name in LICENCES or (name.count("/") == 1 and not Path(name).exists()):
            licence = LICENCES.get(name, UNKNOWN)
            own = ", a licence of its authors: read it first" if licence == "other" else ""
            lines.append(f"- `{name}`: {licence}{own}")
    if place == ("ReasonSeg", "test"):
        lines.append("- SAM 3, in the comparison: its own licence, and gated on the Hub")
    return lines
