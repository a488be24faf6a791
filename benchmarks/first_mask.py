"""`python benchmarks/first_mask.py`: how much sooner is the first mask there than the whole answer?

A text is written piece by piece, with a wait for each, as a large model needs for a token;
it names the true boxes and points of 1, 3 or 5 objects on a simulated table. The demo's segmenter
draws them. Each text is written twice, in turn: once with `on_objects`, which gives the first
objects while the next ones are written, and once without, as one had to wait before.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import records
from numpy.typing import NDArray

from segzero.metrics import bootstrap
from segzero.pipeline import SegZero
from segzero.reasoning.reasoner import Completion, OnText, Stop
from segzero.types import Answer
from segzero_sim.questions import Question, look
from segzero_sim.tabletop import TabletopRenderer, draw_usable
from segzero_train.datasets.tabletop import to_sample

FIRST_SEED = 500_000
WIDTH, HEIGHT = 320, 240
COUNTS = (1, 3, 5)
"""Objects of an answer."""
TOKEN = 0.025
"""Seconds that each piece takes."""
THINKING = "Several things lie on the table. Those that the question means are looked for. " * 3

Times = tuple[float, float, float]
"""Seconds until the first mask, until the whole answer with it, and until one without it."""


class Writer:
    """A reasoner that writes a given text: a digit, or up to four other characters, a piece."""

    def __init__(self, model_size: tuple[int, int], token: float) -> None:
        self.model_size = model_size
        self.text = ""
        self._token = token

    def complete(
        self, image: NDArray[np.uint8], question: str, *, on_text: OnText = None, stop: Stop = None
    ) -> Completion:
        pieces = re.findall(r"\d|\D{1,4}", self.text)
        for piece in pieces:
            time.sleep(self._token)
            if on_text:
                on_text(piece)
        return Completion(self.text, self.model_size, len(pieces))


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=10, help="of each number of objects")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "first-mask.json")
    options = parser.parse_args()
    measured = measure(SegZero.load("demo"), options.answers, TOKEN)
    figures = {
        "image": f"{WIDTH}x{HEIGHT}",
        "wait for a piece [ms]": 1000 * TOKEN,
        "rows": [row(count, times) for count, times in measured.items()],
    }
    records.record(figures, ("torch", "transformers"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


def measure(loaded: SegZero, answers: int, token: float) -> dict[int, list[Times]]:
    """Write answers about `answers` tables, with each number of objects."""
    completion_format: Any = loaded._completion_format
    writer: Any = Writer((WIDTH, HEIGHT), token)
    segzero = SegZero(writer, loaded._models()[1], completion_format)
    found: dict[int, list[Times]] = {count: [] for count in COUNTS}
    segzero.segment(np.zeros((HEIGHT, WIDTH, 3), np.uint8), [])
    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        for number in range(answers):
            scene, frame = draw_usable(renderer, FIRST_SEED + number, (5, 5), depth=False)
            seen = look(scene, frame.ids)
            for count in COUNTS:
                asked = Question(1, "", tuple(item.id for item in seen[:count]))
                objects = to_sample("", frame, seen, asked).objects
                answer = Answer(THINKING, objects, "")
                size = (WIDTH, HEIGHT)
                writer.text = completion_format.write(answer, size, size)
                found[count].append(time_both(segzero, frame.rgb, early_first=bool(number % 2)))
    return found


def time_both(segzero: SegZero, image: NDArray[np.uint8], *, early_first: bool) -> Times:
    """Answer with and without early masks."""
    spent: dict[bool, float] = {}
    first: list[float] = []
    for early in (early_first, not early_first):
        began = time.perf_counter()

        def on_objects(_: object, began: float = began) -> None:
            first.append(time.perf_counter() - began)

        segzero.ask(image, "the things", on_objects=on_objects if early else None)
        spent[early] = time.perf_counter() - began
    return first[0], spent[True], spent[False]


def row(objects: int, times: list[Times]) -> dict[str, Any]:
    """The figures of the answers with one number of objects."""
    first, early, whole = np.array(times).T
    ratios = whole / first
    median = bootstrap(lambda pick: float(np.median(ratios[pick])), len(ratios))
    return {
        "objects": objects,
        "answers": len(times),
        "first mask [s]": records.spread(first.tolist(), 2),
        "whole answer [s]": records.spread(whole.tolist(), 2),
        "first mask sooner [times]": {
            **records.spread(ratios.tolist(), 2),
            "95 % of the median": [round(median.low, 2), round(median.high, 2)],
        },
        "whole answer with early masks / without": records.spread((early / whole).tolist(), 3),
    }


if __name__ == "__main__":
    sys.exit(main())
