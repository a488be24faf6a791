"""Visual question answering: how much of it a reasoner still knows.

Training for one task can make a model forget others; the Seg-Zero paper measures that in figure 5.
The reasoner is asked for a word or a phrase, without boxes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segzero.metrics import bootstrap
from segzero.pipeline import check_image
from segzero.reasoning.prompts import clean_question
from segzero.reasoning.reasoner import Reasoner
from segzero_train.datasets.columns import row_image
from segzero_train.errors import BadData
from segzero_train.evaluation.runner import Source
from segzero_train.evaluation.scores import plain
from segzero_train.evaluation.sources import read

if TYPE_CHECKING:
    from datasets import Dataset

MANY = 10
"""From so many answers on, agreement with three of them is enough."""
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_WORDS)}
_ARTICLES = frozenset(("a", "an", "the"))
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question with its image, (H, W, 3) uint8 RGB, and what people answered."""

    image: NDArray[np.uint8]
    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one question. text: the completion; accuracy: in [0, 1]."""

    index: int
    question: str
    answers: Sequence[str]
    text: str
    accuracy: float


def source(rows: "Dataset") -> Source:
    """All rows, as `loading.load_split` gives them; one that can't be read is skipped.

    Raises BadData unless there are columns `question`, `image`, and `answers` or `answer`.
    """
    columns = set(rows.column_names)
    if not columns >= {"question", "image"} or not columns & {"answers", "answer"}:
        raise BadData(
            "visual question answering needs the columns question, image, and answers or answer; "
            f"there are {', '.join(rows.column_names)}"
        )
    return Source(len(rows), partial(read, rows, _asked))


def answer(reasoner: Reasoner, items: Sequence[tuple[int, Asked]]) -> list[Answered]:
    """Ask all questions at once; the reasoner must have the prompt SHORT_ANSWER.

    Raises BadImage or BadQuestion if one of them can't be asked, or DeviceOutOfMemory.
    """
    for _, asked in items:
        check_image(asked.image)
    found = reasoner.complete_batch(
        [asked.image for _, asked in items], [clean_question(asked.question) for _, asked in items]
    )
    return [
        Answered(
            index=index,
            question=asked.question,
            answers=asked.answers,
            text=completion.text,
            accuracy=accuracy(short_answer(completion.text), asked.answers),
        )
        for (index, asked), completion in zip(items, found, strict=True)
    ]


def report(results: Sequence[Answered]) -> dict[str, Any]:
    """`n`, the mean `accuracy` and its 95 % interval as plain numbers."""
    values = np.array([item.accuracy for item in results])
    mean, interval = plain(bootstrap(lambda pick: float(values[pick].mean()), len(values)))
    return {"n": len(values), "accuracy": mean, "accuracy_95": interval}


def table(figures: dict[str, Any]) -> str:
    """The report as a line for the terminal."""
    low, high = figures["accuracy_95"]
    return f"{figures['n']} questions, accuracy {figures['accuracy']:.3f} [{low:.3f}, {high:.3f}]"


def accuracy(prediction: str, answers: Sequence[str]) -> float:
    """How right an answer is, in [0, 1], both sides normalised.

    With ten or more answers min(matches / 3, 1), the accuracy of Antol et al. (VQA, ICCV 2015);
    with fewer, 1 if it is one of them, else 0.
    """
    given = normalise(prediction)
    matches = sum(normalise(answer) == given for answer in answers)
    return min(matches / 3, 1.0) if len(answers) >= MANY else float(matches > 0)


def normalise(text: str) -> str:
    """An answer as the VQA evaluation compares it (Antol et al. 2015).

    Lower case, no punctuation, no articles, number words as digits. Apostrophes go, where the
    original puts missing ones back.
    """
    text = re.sub(r"(?<=\d),(?=\d)", "", " ".join(text.lower().split()))
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        text = text.replace(mark, "" if beside_blank else " ")
    text = re.sub(r"\.(?!\d)", "", text).replace("'", "")
    return " ".join(_DIGITS.get(word, word) for word in text.split() if word not in _ARTICLES)


def short_answer(text: str) -> str:
    """The answer in a completion: between answer tags if there are any, else after the thinking."""
    _, opening, inside = text.partition("<answer>")
    if opening:
        return inside.partition("</answer>")[0]
    return text.rpartition("</think>")[2]


def _asked(row: Mapping[str, Any]) -> Asked:
    answers = row.get("answers", row.get("answer"))
    # A list, one text, or the {"answer": …} of VQA v2, in either nesting.
    if isinstance(answers, Mapping):
        answers = answers.get("answer")
    if not isinstance(answers, list):
        answers = [] if answers is None else [answers]
    texts = [str(item["answer"] if isinstance(item, Mapping) else item) for item in answers]
    if not texts:
        raise BadData(f"the question {row['question']!r} has no answers")
    return Asked(row_image(row), str(row["question"]), tuple(texts))
