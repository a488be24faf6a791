"""The licences of weights and data are told where they are downloaded."""

from pathlib import Path

import pytest

from segzero.licences import LICENCES, licence_line

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("Ricky06662/Seg-Zero-7B", "other"),
        ("Ricky06662/ReasonSeg_test", "cc-by-nc-4.0"),
        ("facebook/sam2-hiera-large@main", "apache-2.0"),
        ("facebook/sam3", "gated"),
        ("owner/unheard-of", "not known here"),
    ],
)
def test_a_licence_is_told_or_said_to_be_unknown(name: str, licence: str) -> None:
    line = licence_line(name)
    assert line.startswith(f"licence of {name.partition('@')[0]}: ")
    assert licence in line and "read its page" in line


@pytest.mark.parametrize("name", sorted(name for name in LICENCES if "/" in name))
def test_the_page_on_data_tells_them_too(name: str) -> None:
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    assert name in page
