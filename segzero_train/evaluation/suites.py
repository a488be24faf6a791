"""Suites: several datasets that one command evaluates on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from segzero_train.evaluation.options import Options
from segzero_train.evaluation.paper_rows import REASONSEG_TEST, REASONSEG_VAL, REFCOCOG, Place

PLACES: Mapping[str, tuple[Place, ...]] = {"paper": (REASONSEG_VAL, REASONSEG_TEST, REFCOCOG)}


def each(options: Options) -> list[Options]:
    """The options of each dataset; without a suite there is one.

    In the paper's suite ignored pixels count as in the authors' evaluation.
    """
    if options.suite is None:
        return [options]
    found = []
    for dataset, split in PLACES[options.suite]:
        one = replace(options, dataset=dataset, split=split, ignored="target")
        found.append(
            replace(
                one,
                out=options.out / name(one) if options.out else None,
                against=options.against / name(one) if options.against else None,
            )
        )
    return found


def name(options: Options) -> str:
    """A folder's name for a dataset and its split."""
    return f"{Path(options.dataset).name}-{options.split}"
