"""Markdown wraps at 100 columns, and its links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (".", ".github", "checkpoints/demo", "docs", "docs/api")
PAGES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)")


def prose(page: Path) -> Iterator[str]:
    """The lines outside code fences."""
    inside = False
    for line in page.read_text().splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            yield line


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_lines_are_wrapped_outside_tables_and_links(page: Path) -> None:
    table_or_link = re.compile(r"\s*\||.*(\]\(|https?:)")
    lines = page.read_text().splitlines()
    long = [line for line in lines if len(line) > 100 and not table_or_link.match(line)]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_to_files(page: Path) -> None:
    links = LINK.findall("\n".join(prose(page)))
    assert [link for link in links if not (page.parent / link).exists()] == []
