"""The rows of the paper's tables that this project can make: models, their training, figures.

Source of the figures: arXiv 2503.06520, tables 1 to 7, in percent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Place = tuple[str, str]
"""A prepared dataset's folder and its split."""

REASONSEG_VAL: Place = ("data/reasonseg", "val")
REASONSEG_TEST: Place = ("data/reasonseg", "test")
REFCOCOG: Place = ("data/refcocog", "test")
REFCOCO: Place = ("data/refcoco", "testA")
REFCOCO_PLUS: Place = ("data/refcoco+", "testA")
SOURCES: Mapping[str, tuple[str, ...]] = {
    "data/reasonseg": ("reasonseg", "--source", "ReasonSeg", "--style", "seg_zero"),
    **{
        f"data/{name}": (name, "--source", f"refer/{name}", "--images", "train2014")
        for name in ("refcoco", "refcoco+", "refcocog")
    },
}
"""What prepares each folder from the originals."""
TRAINING_DATA: tuple[Place, ...] = (("data/refcocog", "train"), REASONSEG_VAL)
"""What the recipes train on, and hold out."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the paper.

    Attributes:
        train: What trains it: a module's name after `segzero_train.`, and its options. None for a
            model that isn't trained.
        profile: Of a model that isn't trained; "" where the trained one is exported.
    """

    train: tuple[str, ...] | None = None
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in a table.

    Attributes:
        row: Its row's title.
        model: A key of MODELS.
        place: Where it was measured.
        metric: `giou` or `ciou`.
        published: In percent.
    """

    row: str
    model: str
    place: Place
    metric: str
    published: float


def _variant(profile: str, rewards: str) -> tuple[str, ...]:
    """The paper's recipe with another model, prompt or answer format."""
    return ("grpo", "--config", "seg_zero_3b", "--profile", profile, "--rewards", rewards)


MODELS: Mapping[str, Model] = {
    "baseline": Model(profile="qwen2.5-vl-3b"),
    "sft": Model(("sft", "--config", "seg_zero_3b")),
    "rl": Model(("grpo", "--config", "seg_zero_3b", "--rewards", "seg_zero_soft")),
    "rl_soft_accuracy": Model(
        ("grpo", "--config", "seg_zero_3b", "--rewards", "seg_zero_soft_accuracy")
    ),
    "rl_strict": Model(("grpo", "--config", "seg_zero_3b")),
    "rl_strict_7b": Model(("grpo", "--config", "seg_zero_7b")),
    "rl_no_cot": Model(_variant("qwen2.5-vl-3b-no-thinking", "seg_zero_no_thinking")),
    "rl_box": Model(_variant("qwen2.5-vl-3b-box", "seg_zero_box")),
    "rl_points": Model(_variant("qwen2.5-vl-3b-points", "seg_zero_points")),
    "rl_2b": Model(_variant("qwen2-vl-2b", "seg_zero_strict")),
}


def _two(row: str, model: str, refcocog: float, reasonseg: float) -> tuple[Figure, ...]:
    # The paper doesn't say which metric: gIoU, as its ReasonSeg figures are those of table 6.
    return (
        Figure(row, model, REFCOCOG, "giou", refcocog),
        Figure(row, model, REASONSEG_TEST, "giou", reasonseg),
    )


def _reasonseg(row: str, model: str, *published: float) -> tuple[Figure, ...]:
    places = [(place, metric) for place in (REASONSEG_VAL, REASONSEG_TEST) for metric in _METRICS]
    return tuple(
        Figure(row, model, place, metric, value)
        for (place, metric), value in zip(places, published, strict=True)
    )


def _refcoco(row: str, model: str, *published: float) -> tuple[Figure, ...]:
    places = (REFCOCO, REFCOCO_PLUS, REFCOCOG)
    return tuple(
        Figure(row, model, place, "ciou", value)
        for place, value in zip(places, published, strict=True)
    )


_METRICS = ("giou", "ciou")
TABLES: Mapping[str, tuple[Figure, ...]] = {
    "table1": (
        *_two("Baseline Qwen2.5-VL-3B + SAM2", "baseline", 70.4, 47.6),
        *_two("SFT without CoT", "sft", 70.8, 44.9),
        *_two("RL without CoT", "rl_no_cot", 73.2, 51.3),
        *_two("RL with CoT", "rl", 73.6, 53.8),
    ),
    "table2": (
        *_two("points only", "rl_points", 69.6, 45.5),
        *_two("box only", "rl_box", 72.9, 53.6),
        *_two("box and points", "rl", 73.6, 53.8),
    ),
    "table3": (
        *_two("soft accuracy", "rl_soft_accuracy", 70.2, 54.1),
        *_two("hard accuracy", "rl", 73.6, 53.8),
    ),
    "table4": (
        *_two("soft format", "rl", 73.6, 53.8),
        *_two("strict format", "rl_strict", 73.0, 56.1),
    ),
    "table5": (
        Figure("Qwen2-VL-2B", "rl_2b", REASONSEG_TEST, "giou", 37.2),
        Figure("Qwen2.5-VL-3B", "rl_strict", REASONSEG_TEST, "giou", 56.1),
        Figure("Qwen2.5-VL-7B", "rl_strict_7b", REASONSEG_TEST, "giou", 57.5),
    ),
    "table6": (
        *_reasonseg("Qwen2.5-VL-3B + SAM2", "baseline", 53.8, 44.1, 47.6, 37.4),
        *_reasonseg("Seg-Zero-3B", "rl_strict", 62.6, 58.5, 56.1, 48.6),
        *_reasonseg("Seg-Zero-7B", "rl_strict_7b", 62.6, 62.0, 57.5, 52.0),
    ),
    "table7": (
        *_refcoco("Seg-Zero-3B", "rl_strict", 79.3, 73.7, 71.5),
        *_refcoco("Seg-Zero-7B", "rl_strict_7b", 80.3, 76.2, 72.6),
    ),
}
