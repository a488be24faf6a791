"""`python -m segzero_train.fetch RECIPE`: download what training by a recipe needs.

RECIPE is the name of a shipped recipe, such as `seg_zero_3b` or `sft/seg_zero_3b`, or a file. What
is downloaded are the weights that training starts from, the segmenter, and datasets with names on
the Hub. Datasets that are folders must be prepared. No GPU is needed.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from segzero.files import read_mapping
from segzero.hub import fetch
from segzero.hub_names import is_hub_name
from segzero.licences import licence_line
from segzero.terminal import escape_unprintable, one_line_errors
from segzero_train.datasets.loading import load_rows
from segzero_train.datasets.mixing import read_weights
from segzero_train.errors import BadRecipe
from segzero_train.recipe import GrpoOptions
from segzero_train.shipped import KINDS, find, shipped
from segzero_train.training.model import base_profile

_RECIPES = ("grpo", "sft")
_REPLACED = ("profile", "weights", "dataset", "held_out")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    escape_unprintable()
    parser = argparse.ArgumentParser(
        prog="python -m segzero_train.fetch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", help="a shipped recipe's name, or a file")
    for key in _REPLACED:
        parser.add_argument(f"--{key}", help="in place of the recipe's")
    words = vars(parser.parse_args(arguments))
    with one_line_errors(interrupted="interrupted: the same command goes on") as outcome:
        _fetch(_read(words.pop("recipe"), words))
    return outcome.status


def _fetch(options: GrpoOptions) -> None:
    profile = base_profile(options)
    for weights in (profile.reasoner, profile.segmenter):
        print(f"{weights}: {fetch(weights)}", flush=True)
        _tell_licence(weights)
    names = list(read_weights(options.datasets)) or [options.dataset]
    wanted = [(name, options.dataset_split) for name in names]
    if options.held_out_size and options.held_out:
        wanted.append((options.held_out, options.held_out_split))
    for name, split in wanted:
        if name == "tabletop":
            continue
        rows = load_rows(name, split)  # downloads a name on the Hub
        print(f"{name}: {len(rows)} rows of {split}", flush=True)
        _tell_licence(name)


def _tell_licence(name: str) -> None:
    if is_hub_name(name.partition("@")[0]) and not Path(name).exists():
        print(licence_line(name), flush=True)


def _read(name: str, replaced: dict[str, Any]) -> GrpoOptions:
    """The keys of a recipe that say what it is made of."""
    content = read_mapping(_find(name), "recipe", BadRecipe)
    known = {field.name for field in fields(GrpoOptions)}
    options = {key: value for key, value in content.items() if key in known and value is not None}
    options |= {key: value for key, value in replaced.items() if value is not None}
    if replaced.get("profile") and not replaced.get("weights"):
        options.pop("weights", None)  # as in training
    if replaced.get("dataset"):
        options.pop("datasets", None)
    if wrong := [key for key in _REPLACED if not isinstance(options.get(key, ""), str)]:
        raise BadRecipe(f"{wrong[0]} in the recipe {name} must be a text")
    if not options.get("profile"):
        raise BadRecipe(f"the recipe {name} names no profile: add `profile: …`")
    return GrpoOptions(**options)


def _find(name: str) -> Path:
    folder, _, stem = name.partition("/")
    for kind in KINDS:
        if kind in _RECIPES and kind == folder and not Path(name).exists():
            return find(kind, stem)
    kind = next((kind for kind in KINDS if kind in _RECIPES and name in shipped(kind)), KINDS[0])
    return find(kind, name)


if __name__ == "__main__":
    sys.exit(main())
