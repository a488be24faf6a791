"""`python benchmarks/first_mask.py`: how much sooner is the first mask there than the whole answer?

The demo's models answer questions about simulated tables, twice each, in turn: once with
`on_objects`, which gives the first objects while the model writes the next ones, and once without,
as one had to wait before. Answers are grouped by how many objects they name. Then the same with a
wait after each piece of text, as long as a model of 7B takes for one.
"""

import argparse
import itertools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import records
from numpy.typing import NDArray

from segzero.errors import MalformedAnswer
from segzero.metrics import bootstrap
from segzero.pipeline import SegZero
from segzero_sim.questions import look, questions
from segzero_sim.tabletop import TabletopRenderer, draw_usable

FIRST_SEED = 500_000
WIDTH, HEIGHT = 320, 240
COUNTS = (1, 3, 5)
"""Objects of an answer."""
MOST_SCENES = 2000
PACES = (0.0, 0.025)
"""Seconds to wait after each piece of text."""

Times = tuple[float, float, float]
"""Seconds until the first mask, until the whole answer with it, and until one without it."""


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=20, help="of each number of objects")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "first-mask.json")
    options = parser.parse_args()
    segzero, rows = SegZero.load("demo"), []
    for pace in PACES:
        measured = measure(segzero, options.questions, pace)
        rows += [{"wait for a piece [ms]": 1000 * pace, **row(n, measured[n])} for n in COUNTS]
    figures = {"image": f"{WIDTH}x{HEIGHT}", "rows": rows}
    records.record(figures, ("torch", "transformers"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


def measure(segzero: SegZero, count: int, pace: float) -> dict[int, list[Times]]:
    """Answer until there are `count` answers of each number of objects."""
    found: dict[int, list[Times]] = defaultdict(list)
    for number, (wanted, image, text) in enumerate(asked()):
        if all(len(found[n]) >= count for n in COUNTS) or number >= MOST_SCENES:
            break
        if len(found[wanted]) >= count:
            continue
        try:
            objects, times = ask_both(segzero, image, text, pace, early_first=bool(number % 2))
        except MalformedAnswer:
            continue
        if objects in COUNTS and number >= len(COUNTS):  # the first ones warm up
            found[objects].append(times)
    return found


def asked() -> Iterator[tuple[int, NDArray[np.uint8], str]]:
    """Questions whose true answer has each number of COUNTS, in turn, on a new table each."""
    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        for seed, count in zip(itertools.count(FIRST_SEED), itertools.cycle(COUNTS)):
            size = (max(3, count + 1),) * 2
            scene, frame = draw_usable(renderer, seed, size, depth=False)
            fitting = [q for q in questions(look(scene, frame.ids)) if len(q.ids) == count]
            if fitting:
                yield count, frame.rgb, fitting[seed % len(fitting)].text


def ask_both(
    segzero: SegZero, image: NDArray[np.uint8], text: str, pace: float, *, early_first: bool
) -> tuple[int, Times]:
    """Answer with and without early masks; return the number of objects and the times."""
    spent: dict[bool, float] = {}
    first: list[float] = []
    objects = 0
    for early in (early_first, not early_first):
        began = time.perf_counter()

        def on_objects(_: object, began: float = began) -> None:
            first.append(time.perf_counter() - began)

        answer = segzero.ask(
            image,
            text,
            on_text=lambda _: time.sleep(pace),
            on_objects=on_objects if early else None,
        )
        spent[early] = time.perf_counter() - began
        objects = len(answer.objects)
    # With a single object, the answer may end before its mask is drawn.
    return objects, (min([*first, spent[True]]), spent[True], spent[False])


def row(objects: int, times: list[Times]) -> dict[str, Any]:
    """The figures of the answers with one number of objects."""
    first, early, whole = np.array(times).T
    ratios = whole / first
    median = bootstrap(lambda pick: float(np.median(ratios[pick])), len(ratios))
    return {
        "objects": objects,
        "answers": len(times),
        "first mask [ms]": records.spread((1000 * first).tolist()),
        "whole answer [ms]": records.spread((1000 * whole).tolist()),
        "first mask sooner [times]": {
            **records.spread(ratios.tolist(), 2),
            "95 % of the median": [round(median.low, 2), round(median.high, 2)],
        },
        "whole answer with early masks / without": records.spread((early / whole).tolist(), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
