import json
from pathlib import Path

import grpo_demo
import pytest


def write(folder: Path, step: int, scores: dict[str, tuple[float, float]]) -> None:
    questions = [
        {"id": name, "category": "1", "iou": iou, "reward": reward, "completion": ""}
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


def test_other_questions_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 0, {"a": (0.0, 1.0)})
    write(tmp_path, 10, {"b": (1.0, 1.0)})
    with pytest.raises(ValueError, match="different questions"):
        grpo_demo.compare(tmp_path)
