"""Visual question answering: what a reasoner still knows after training.

Training for one task can make a model forget others; the Seg-Zero paper (arXiv 2503.06520)
measures that in figure 5. The reasoner is asked for a word or a phrase, without boxes.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segzero.checks import check_image
from segzero.metrics import bootstrap
from segzero.reasoning.prompts import clean_question
from segzero.reasoning.reasoner import Reasoner
from segzero_train.datasets.columns import row_image
from segzero_train.errors import BadData
from segzero_train.evaluation.runner import Source
from segzero_train.evaluation.scores import batch_text, batches, plain
from segzero_train.evaluation.sources import read

if TYPE_CHECKING:
    from datasets import Dataset

MANY = 10
"""Number of answers from which agreement with three of them is full accuracy."""
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_WORDS)}
_ARTICLES = frozenset(("a", "an", "the"))
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question with the answers of people.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        question: What to ask.
        answers: At least one.
    """

    image: NDArray[np.uint8]
    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """The outcome of one question; each field can be written as JSON.

    Attributes:
        index: Its number in the dataset.
        question: What was asked.
        answers: Of people.
        text: The completion.
        accuracy: In [0, 1].
        asked: A fingerprint of picture, question and answers; "" in folders of older versions.
        batch: How many questions were asked at once; 0 if it isn't known.
    """

    index: int
    question: str
    answers: Sequence[str]
    text: str
    accuracy: float
    asked: str = ""
    batch: int = 0


def source(rows: "Dataset") -> Source:
    """All rows of a question answering set; a row that can't be read is skipped.

    Args:
        rows: As `loading.load_split` returns them.

    Returns:
        The source.

    Raises:
        BadData: The columns `question`, `image`, and `answers` or `answer` are not all there.
    """
    columns = set(rows.column_names)
    if not columns >= {"question", "image"} or not columns & {"answers", "answer"}:
        raise BadData(
            "visual question answering needs the columns question, image, and answers or answer; "
            f"there are {', '.join(rows.column_names)}"
        )
    return Source(len(rows), partial(read, rows, _asked))


def answer(
    reasoner: Reasoner, items: Sequence[tuple[int, Asked]], batch: int = 0
) -> list[Answered]:
    """Ask several questions at once.

    Args:
        reasoner: Must have the prompt SHORT_ANSWER.
        items: Row numbers and questions.
        batch: Is written into the results: the last items of a set may be fewer.

    Returns:
        One outcome for each item, in their order.

    Raises:
        BadImage, BadQuestion: An item can't be asked.
        DeviceOutOfMemory: The batch is too large.
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
            asked=fingerprint(asked),
            batch=batch,
        )
        for (index, asked), completion in zip(items, found, strict=True)
    ]


def fingerprint(asked: Asked) -> str:
    """Tells a question by its picture, text and answers."""
    found = hashlib.sha256("\0".join((asked.question, *asked.answers)).encode())
    found.update(str(asked.image.shape).encode() + np.ascontiguousarray(asked.image).tobytes())
    return found.hexdigest()[:16]


def report(results: Sequence[Answered]) -> dict[str, Any]:
    """Summarise results.

    Args:
        results: At least one.

    Returns:
        Plain numbers for JSON: `n`, the mean `accuracy`, its 95 % interval `accuracy_95`, and
        `batches`, as in `scores.report`.
    """
    values = np.array([item.accuracy for item in results])
    mean, interval = plain(bootstrap(lambda pick: float(values[pick].mean()), len(values)))
    return {
        "n": len(values),
        "accuracy": mean,
        "accuracy_95": interval,
        "batches": batches(results),
    }


def table(figures: dict[str, Any]) -> str:
    """Format a report as a line for the terminal."""
    low, high = figures["accuracy_95"]
    return (
        f"{figures['n']} questions, accuracy {figures['accuracy']:.3f} [{low:.3f}, {high:.3f}]; "
        f"{batch_text(figures['batches'])}"
    )


def accuracy(prediction: str, answers: Sequence[str]) -> float:
    """The accuracy of a prediction, both sides normalised.

    With ten or more answers it is min(matches / 3, 1), as in Antol et al. (VQA, ICCV 2015). With
    fewer it is 1 if the prediction equals one of them, else 0.

    Args:
        prediction: What the model answered.
        answers: What people answered.

    Returns:
        A value in [0, 1].
    """
    given = normalise(prediction)
    matches = sum(normalise(answer) == given for answer in answers)
    return min(matches / 3, 1.0) if len(answers) >= MANY else float(matches > 0)


def normalise(text: str) -> str:
    """Normalise an answer as the VQA evaluation does (Antol et al. 2015).

    Lower case, no punctuation, no articles, number words as digits. Unlike the original, which
    adds missing apostrophes, this removes all of them.
    """
    text = re.sub(r"(?<=\d),(?=\d)", "", " ".join(text.lower().split()))
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        text = text.replace(mark, "" if beside_blank else " ")
    text = re.sub(r"\.(?!\d)", "", text).replace("'", "")
    return " ".join(_DIGITS.get(word, word) for word in text.split() if word not in _ARTICLES)


def short_answer(text: str) -> str:
    """The answer in a completion: inside answer tags if there are any, else after the thinking."""
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
    plain_answers = [item["answer"] if isinstance(item, Mapping) else item for item in answers]
    texts = [str(item) for item in plain_answers if item is not None]
    if not isinstance(row["question"], str):
        raise BadData(f"the question must be text, not {type(row['question']).__name__}")
    if not texts:
        raise BadData(f"the question {row['question']!r} has no answers")
    return Asked(row_image(row), row["question"], tuple(texts))
