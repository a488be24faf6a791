import json
import resource
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from transformers import TrainerState

from segzero_train import plot
from segzero_train.runs import BadRun, checkpoints, log_history


def grpo_history(steps: int) -> list[dict[str, Any]]:
    """The log of `steps` steps, as TRL writes it, with an evaluation after every tenth."""
    history: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        history.append(
            {
                "step": step,
                "loss": 0.0,
                "completions/mean_length": 50.0 + step,
                "completions/min_length": 30.0,
                "reward": step / steps,
                "rewards/box_iou/mean": step / steps,
                "rewards/box_iou/std": 0.1,
                "rewards/thinking_format/mean": None if step == 2 else 1.0,
            }
        )
        if step % 10 == 0:
            scores = {"giou": 0.5, "giou_low": 0.4, "giou_high": 0.6, "reward": 2.0}
            history.append({"step": step} | {f"eval_greedy/{k}": v for k, v in scores.items()})
    return history


def save(folder: Path, history: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    TrainerState(log_history=history).save_to_json(str(folder / "trainer_state.json"))
    return folder


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_every_reward_the_lengths_and_the_evaluation_have_a_panel() -> None:
    assert titles(plot.draw(grpo_history(20))) == [
        "completion length, tokens",
        "total reward",
        "reward: box_iou",
        "reward: thinking_format",
        "held out, greedy: gIoU",
        "held out, greedy: total reward",
    ]


def test_lengths_are_drawn_as_logged_with_mean_and_least() -> None:
    axes = plot.draw(grpo_history(20)).axes[0]
    logged = axes.lines[0]
    assert np.array_equal(logged.get_xdata(), np.arange(1, 21))
    assert np.array_equal(logged.get_ydata(), 50 + np.arange(1, 21))
    legend = axes.get_legend()
    assert legend and [text.get_text() for text in legend.get_texts()] == ["mean", "least"]


def test_steps_without_a_value_are_left_out() -> None:
    thinking = plot.draw(grpo_history(5)).axes[3]
    assert thinking.get_title(loc="left") == "reward: thinking_format"
    assert np.asarray(thinking.lines[0].get_xdata()).tolist() == [1, 3, 4, 5]


def test_the_running_mean_of_a_line_is_the_line() -> None:
    smooth = np.asarray(plot.draw(grpo_history(200)).axes[0].lines[1].get_ydata())
    assert np.allclose(smooth[10:-10], 50 + np.arange(1, 201)[10:-10])


def test_a_supervised_run_shows_its_token_accuracy() -> None:
    history = [{"step": step, "mean_token_accuracy": 0.5, "loss": 1.0} for step in (1, 2)]
    assert titles(plot.draw(history)) == ["token accuracy"]


def test_a_log_without_anything_to_draw_is_refused() -> None:
    with pytest.raises(BadRun, match="no completion length, reward"):
        plot.draw([{"step": 1, "loss": 0.5}])


def test_the_command_writes_a_picture_beside_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, grpo_history(20))
    assert plot.main([str(tmp_path)]) == 0
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None
    assert picture.std() > 5
    assert capsys.readouterr().out.strip() == str(tmp_path / "curves.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "trainer_state.json"]


def test_checkpoints_come_in_order_of_their_steps(tmp_path: Path) -> None:
    for name in ("checkpoint-900", "checkpoint-1000", "checkpoint-50", "checkpoint-best", "best"):
        (tmp_path / name).mkdir()
    assert list(checkpoints(tmp_path)) == [50, 900, 1000]


def test_a_running_run_is_read_from_its_newest_checkpoint_with_a_log(tmp_path: Path) -> None:
    save(tmp_path / "checkpoint-9", grpo_history(9))
    save(tmp_path / "checkpoint-10", grpo_history(10))
    (tmp_path / "checkpoint-11").mkdir()
    assert log_history(tmp_path) == grpo_history(10)


def test_the_longest_log_counts_when_a_finished_run_goes_on(tmp_path: Path) -> None:
    save(tmp_path, grpo_history(10))
    save(tmp_path / "checkpoint-15", grpo_history(15))
    assert log_history(tmp_path) == grpo_history(15)
    save(tmp_path, grpo_history(16))
    assert log_history(tmp_path) == grpo_history(16)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"log_history": 3}', '{"log_history": [{"loss": 1.0}]}']
)
def test_a_broken_log_is_named_in_one_line(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trainer_state.json").write_text(content)
    assert plot.main([str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert str(tmp_path / "trainer_state.json") in message
    assert message.count("\n") == 1


def test_what_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plot.main([str(tmp_path / "absent")]) == 1
    assert "there is no run" in capsys.readouterr().err
    assert plot.main([str(tmp_path)]) == 1
    assert "no trainer_state.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "message"), [("curves.xyz", "the kind '.xyz'"), ("no/such/curves.png", "no/such")]
)
def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, out: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, grpo_history(3))
    assert plot.main([str(tmp_path), "--out", str(tmp_path / out)]) == 1
    assert message in capsys.readouterr().err


def test_a_picture_that_cant_be_written_is_one_line_and_keeps_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, grpo_history(3))
    (tmp_path / "curves.png").write_text("old")
    before = sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # bytes that a file may have
    try:
        status = plot.main([str(tmp_path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "File too large" in line
    assert (tmp_path / "curves.png").read_text() == "old"
    assert sorted(tmp_path.iterdir()) == before


def test_numbers_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    history = [{"step": 1, "reward": float("nan")}, {"step": 2, "reward": 1.0}]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    line = plot.draw(log_history(tmp_path)).axes[0].lines[0]
    assert np.asarray(line.get_xdata()).tolist() == [2]
