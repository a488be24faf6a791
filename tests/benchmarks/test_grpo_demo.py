import json
from pathlib import Path

import grpo_demo
import pytest

NO_THOUGHT = "<think>  </think><answer>[]</answer>"


def write(folder: Path, step: int, scores: dict[str, tuple[float, float]]) -> None:
    questions = [
        {"id": name, "category": "1", "iou": iou, "reward": reward, "completion": NO_THOUGHT}
        for name, (iou, reward) in scores.items()
    ]
    content = {"step": step, "giou": 0.5, "questions": questions}
    (folder / f"{step:06d}.json").write_text(json.dumps(content))


def test_the_rise_is_that_of_the_same_questions(tmp_path: Path) -> None:
    write(tmp_path, 0, {"a": (0.0, 1.0), "b": (0.5, 2.0)})
    write(tmp_path, 10, {"a": (1.0, 1.0), "b": (0.0, 2.0)})
    write(tmp_path, 20, {"a": (0.2, 2.0), "b": (0.7, 3.0)})
    figures = grpo_demo.compare(tmp_path)
    assert figures["steps"] == 20
    assert figures["giou"]["before"]["mean"] == 0.25
    assert figures["giou"]["after"]["mean"] == 0.45
    # Every question rose by as much: the interval is a point.
    assert figures["giou"]["difference"] == {"mean": 0.2, "95 %": [0.2, 0.2]}
    assert figures["reward"]["difference"] == {"mean": 1.0, "95 %": [1.0, 1.0]}
    assert [point["step"] for point in figures["curve"]] == [0, 10, 20]


@pytest.mark.parametrize(
    ("completion", "share"),
    [
        (NO_THOUGHT, 0.0),
        ("<think></think><answer>[]</answer>", 0.0),
        ("<answer>[]</answer>", 0.0),
        ("<think> a red ball. match: none. </think><answer>[]</answer>", 1.0),
        ("<think>ball</think><answer>[]</answer>", 1.0),
    ],
)
def test_an_empty_thought_is_none(completion: str, share: float) -> None:
    assert grpo_demo.thinking([{"completion": completion}]) == share


def test_a_line_is_drawn_for_each_seed(tmp_path: Path) -> None:
    curve = [{"step": 0, "giou": 0.2, "thinking": 0.0}, {"step": 15, "giou": 0.6, "thinking": 1.0}]
    grpo_demo.draw({"seed 1": curve, "seed 2": curve}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_other_questions_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 0, {"a": (0.0, 1.0)})
    write(tmp_path, 10, {"b": (1.0, 1.0)})
    with pytest.raises(ValueError, match="different questions"):
        grpo_demo.compare(tmp_path)
