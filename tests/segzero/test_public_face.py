"""What `from segzero import …` offers."""

import importlib
import subprocess
import sys

import pytest

import segzero


@pytest.mark.parametrize("name", segzero.__all__)
def test_a_public_name_is_that_of_its_module(name: str) -> None:
    public = getattr(segzero, name)
    assert public is getattr(importlib.import_module(public.__module__), name)
    assert public.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = segzero.nothing_like_this


@pytest.mark.parametrize("program", ["import segzero", "from segzero import Profile, Segmentation"])
def test_importing_costs_no_torch(program: str) -> None:
    check = f"import sys; {program}; assert not {{'torch', 'transformers'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", check], check=True)
