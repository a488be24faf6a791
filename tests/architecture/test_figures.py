"""Figures in the documents are those of the JSON files that benchmarks wrote.

A block of text that states figures is followed by a comment which says where each comes from:

    <!-- figures: benchmarks/results/answer.json
    1.79 = times as fast / median
    33 % = rows / 0 / share of the bound
    -->

The left side is what the block above says, as it says it; the right side is the way to the value.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
MEASURED = {"performance.md": ".*", "robot.md": "How exact", "training.md": "Watch"}
"""Sections in which every decimal number is a figure, unless its block tells of an estimate."""

_COMMENT = re.compile(r"<!-- figures: (\S+)\n(.*?)-->", re.DOTALL)
_DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")
_BLOCKS = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as a page states it, the block that it stands in, and the value it comes from."""

    page: str
    file: str
    stated: str
    way: str
    block: str

    def __str__(self) -> str:
        return f"{self.page}: {self.stated} = {self.file}: {self.way}"


def figures(page: Path) -> Iterator[Figure]:
    text = page.read_text()
    for match in _COMMENT.finditer(text):
        # Several comments may stand under one block.
        above = _COMMENT.sub("", text[: match.start()]).rstrip()
        block = _BLOCKS.split(above)[-1]
        for line in match[2].strip().splitlines():
            stated, _, way = line.partition(" = ")
            yield Figure(page.name, match[1], stated.strip(), way.strip(), block)


def value(figure: Figure) -> float:
    found: Any = json.loads((ROOT / figure.file).read_text())
    for step in figure.way.split(" / "):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return float(found)


def rounded(number: float, stated: str) -> str:
    """A value with as many decimals as the page states; a share becomes a percentage."""
    digits, percent = re.sub(r"[ %]", "", stated), "%" in stated
    decimals = len(digits.partition(".")[2])
    return f"{100 * number if percent else number:.{decimals}f}"


ALL = [figure for page in PAGES for figure in figures(page)]


@pytest.mark.parametrize("figure", ALL, ids=str)
def test_a_figure_is_that_of_its_json(figure: Figure) -> None:
    assert figure.stated in figure.block
    stated = re.sub(r"[ %]", "", figure.stated)
    assert float(rounded(value(figure), figure.stated)) == float(stated.replace("−", "-"))


def section(page: str, heading: str) -> str:
    """The sections of a page whose headings match."""
    _, *parts = re.split(r"^## (?:\d+\. )?", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)
    found = [part for part in parts if re.fullmatch(heading, part.partition("\n")[0])]
    assert found, f"{page} has no section {heading}"
    return "\n".join(found)


@pytest.mark.parametrize(("page", "heading"), MEASURED.items())
def test_every_decimal_of_measurements_names_its_json(page: str, heading: str) -> None:
    named = {(figure.block, figure.stated.rstrip(" %")) for figure in ALL if figure.page == page}
    text = re.sub(r"```.*?```", "", _COMMENT.sub("", section(page, heading)), flags=re.DOTALL)
    unnamed = [
        f"{number} in: {block[:60]}"
        for block in _BLOCKS.split(text)
        if "stimate" not in block
        for number in _DECIMAL.findall(re.sub(r"`[^`]*`", "", block))
        if (block.rstrip(), number) not in named
    ]
    assert not unnamed


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.name)
def test_results_were_made_by_a_clean_commit(file: Path) -> None:
    commit = json.loads(file.read_text())["commit"]
    assert re.fullmatch("[0-9a-f]{7,40}", commit), commit


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.name)
def test_results_name_a_command_that_exists(file: Path) -> None:
    words = json.loads(file.read_text())["command"].split()
    assert words[0] == "python"
    assert (ROOT / words[1]).is_file() or words[1] == "-m"


def test_the_comparison_finds_a_wrong_figure() -> None:
    key = "seed 42 / giou / difference / mean"
    wrong = Figure("", "benchmarks/results/grpo-demo.json", "0.36", key, "by 0.36")
    assert rounded(value(wrong), "0.36") == "0.31"
