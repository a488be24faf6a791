"""Completions for the tests of rewards: the golden ones, and whatever else a model may write."""

import json
from pathlib import Path

from hypothesis import strategies as st

from segzero.reasoning.completion_format import CompletionFormat
from segzero_train.rewards import RewardContext

_GOLDEN = json.loads((Path(__file__).parent / "rewards" / "golden_rewards.json").read_text())
SINGLE: list[dict] = _GOLDEN["single"]
MULTI: list[dict] = _GOLDEN["multi"]

CONTEXT = RewardContext(
    model_size=(840, 630),
    completion_format=CompletionFormat("vision_reasoner", "absolute_pixels", "half_up"),
    thinking_words=10,
)

_KEYS = st.sampled_from(["bbox", "bbox_2d", "point_2d", "points_1", "points_2", "Points_x"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.integers(-9, 900) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(st.integers(0, 900), min_size=2, max_size=4)
        | st.dictionaries(_KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


def _wrapped(answer: str) -> str:
    return f"<think>It is red.</think><answer>{answer}</answer>"


def _cut(case: tuple[str, int, int, str]) -> str:
    text, start, length, instead = case
    return text[:start] + instead + text[start + length :]


COMPLETIONS = (
    st.text()
    | _VALUES.map(json.dumps).map(_wrapped)
    | st.tuples(
        st.sampled_from([case["completion"] for case in SINGLE + MULTI]),
        st.integers(0, 200),
        st.integers(0, 40),
        st.text(alphabet="[]{}()<>/,.:'\"0123456789-e think", max_size=8),
    ).map(_cut)
)
"""Any text, any JSON in an answer, and golden completions with a stretch cut out or replaced."""


def answer(objects: list[dict], thinking: str = "It is red.") -> str:
    """A completion in the format `vision_reasoner`."""
    return f"<think>{thinking}</think><answer>{json.dumps(objects)}</answer>"


def thing(x1: float, y1: float, x2: float, y2: float) -> dict:
    """An object with its point in the middle of its box."""
    return {"bbox_2d": [x1, y1, x2, y2], "point_2d": [(x1 + x2) // 2, (y1 + y2) // 2]}
