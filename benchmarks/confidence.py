"""`python benchmarks/confidence.py`: does any number tell a right object from a wrong one?

The demo profile answers questions of the tabletop. An object is right if its mask overlaps one of
the question's with an IoU of at least 0.5. Every candidate orders all objects; its AUROC is the
probability that a right one stands above a wrong one. Intervals are bootstrapped over questions.
All goes into `benchmarks/results/confidence.json`.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import records
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from segzero.errors import MalformedAnswer
from segzero.metrics import overlap
from segzero.pipeline import SegZero
from segzero.reasoning.squash import squash
from segzero_train.datasets.sample import Sample
from segzero_train.datasets.tabletop import samples
from segzero_train.evaluation.scoring import chunks

RIGHT = 0.5
"""IoU from which an object is right."""
RESAMPLES = 2000
_BATCH = 20
_OBJECT = re.compile(r"(\{[^{}]*\})")
_MATCH = re.compile(r"([a-z]+ [a-z]+) *\[")
"""How the demo's thinking names an object before its box."""
_END = "</answer>"


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument("--split", default="val", help="default: %(default)s")
    parser.add_argument("-n", type=int, default=300, help="questions (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "confidence.json")
    options = parser.parse_args()
    figures = measure(options.profile, options.split, options.n)
    records.record(figures, ("torch", "transformers", "numpy", "scipy"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


def measure(profile: str, split: str, count: int) -> dict[str, Any]:
    """Ask the questions; the AUROC of every candidate."""
    model = SegZero.load(profile, device="cpu")
    objects = [
        {"question": number, **judged}
        for chunk in chunks(enumerate(samples(split, count)), _BATCH)
        for number, judged in _ask(model, chunk)
    ]
    right = np.array([item["right"] for item in objects], bool)
    questions = np.array([item["question"] for item in objects])
    names = [name for name in objects[0] if name not in ("question", "right")]
    values = {name: np.array([item[name] for item in objects], float) for name in names}
    return {
        "profile": profile,
        "split": split,
        "questions": count,
        "objects": len(objects),
        "right objects": int(right.sum()),
        "auroc": {name: interval(values[name], right, questions) for name in names},
    }


def auroc(values: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The probability that a right object has the larger value; a tie counts one half."""
    positive, negative = int(right.sum()), int((~right).sum())
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(values)
    return float((ranks[right].sum() - positive * (positive + 1) / 2) / (positive * negative))


def interval(
    values: NDArray[np.float64], right: NDArray[np.bool_], questions: NDArray[np.int64]
) -> dict[str, float]:
    """The AUROC with a 95 % interval; questions are drawn, with all of their objects."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(questions == number) for number in np.unique(questions)]
    drawn = []
    for _ in range(RESAMPLES):
        picked = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        drawn.append(auroc(values[picked], right[picked]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    named = {"auroc": auroc(values, right), "2.5 %": low, "97.5 %": high}
    return {name: round(float(value), 3) for name, value in named.items()}


def _ask(
    model: SegZero, numbered: Sequence[tuple[int, Sample]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """For each object of each answer: the number of its question and what may tell its worth."""
    reasoner: Any = model._reasoner
    tokenizer = reasoner._processor.tokenizer
    images = [squash(sample.image, reasoner._image_size) for _, sample in numbered]
    inputs = reasoner._prepare(images, [reasoner._chat(sample.question) for _, sample in numbered])
    with torch.inference_mode():
        output = reasoner._model.generate(
            **inputs,
            generation_config=reasoner._generation,
            output_logits=True,
            return_dict_in_generate=True,
        )
    new = output.sequences[:, inputs["input_ids"].shape[1] :]  # (B, T)
    logits = torch.stack(output.logits, dim=1)  # (B, T, V)
    chosen = logits.float().softmax(-1).gather(-1, new[..., None])[..., 0].numpy()  # (B, T)
    patch = reasoner._processor.image_processor.patch_size
    sizes = [
        (columns * patch, rows * patch) for _, rows, columns in inputs["image_grid_thw"].tolist()
    ]
    for row, (number, sample) in enumerate(numbered):
        pieces = [tokenizer.decode(token) for token in new[row].tolist()]
        text = "".join(pieces).partition(_END)[0] + _END
        height, width = sample.image.shape[:2]
        try:
            answer = model._completion_format.read(text, sizes[row], (width, height))
        except MalformedAnswer:
            continue
        written = _spans(_OBJECT, text, text.find("<answer>"))
        matched = _spans(_MATCH, text, text.find("match"), text.find("</think>"))
        if not len(written) == len(matched) == len(answer.objects):
            continue  # something was left out: which one isn't told
        tokens = _Tokens(pieces, chosen[row])
        thinking = tokens.words(0, text.find("</think>"))
        listed = {name for _, _, name in _spans(_MATCH, text, 0, text.find("match"))}
        drawn = model.segment(sample.image, answer.objects)
        for item, (start, end, _), match in zip(drawn, written, matched, strict=True):
            digits, words = tokens.digits(start, end), tokens.words(*match[:2])
            yield (
                number,
                {
                    "right": any(overlap(item.mask, mask).iou >= RIGHT for mask in sample.masks),
                    "mean of its digits": digits.mean(),
                    "least of its digits": digits.min(),
                    "mean of the thinking's words": thinking.mean(),
                    "least of the thinking's words": thinking.min(),
                    "least of the words that name it": words.min(),
                    "product of the words that name it": words.prod(),
                    "named among what the thinking lists": float(match[2] in listed),
                    "SAM's score": item.score,
                    "product of its words times SAM's score": words.prod() * item.score,
                },
            )


class _Tokens:
    """The tokens of a completion by their place in its text, with their probabilities."""

    def __init__(self, pieces: Sequence[str], chosen: NDArray[np.float32]) -> None:
        self._ends = np.cumsum([len(piece) for piece in pieces])
        self._starts = self._ends - [len(piece) for piece in pieces]
        self._digits = np.array([piece.strip().isdigit() for piece in pieces])
        self._words = np.array([piece.strip().isalpha() for piece in pieces])
        self._chosen = chosen[: len(pieces)]

    def digits(self, start: int, end: int) -> NDArray[np.float32]:
        """The probabilities of the numbers from `start` to `end`; 1 if there is none."""
        return self._within(start, end, self._digits)

    def words(self, start: int, end: int) -> NDArray[np.float32]:
        """The probabilities of the words from `start` to `end`; 1 if there is none."""
        return self._within(start, end, self._words)

    def _within(self, start: int, end: int, kind: NDArray[np.bool_]) -> NDArray[np.float32]:
        found = self._chosen[(self._starts < end) & (self._ends > start) & kind]
        return found if found.size else np.ones(1, np.float32)


def _spans(
    pattern: re.Pattern[str], text: str, start: int, end: int | None = None
) -> list[tuple[int, int, str]]:
    """Where the pattern is found from `start` to `end`, and its group 1."""
    found = pattern.finditer(text, max(0, start), len(text) if end is None else max(0, end))
    return [(match.start(), match.end(), match.group(1)) for match in found]


if __name__ == "__main__":
    sys.exit(main())
