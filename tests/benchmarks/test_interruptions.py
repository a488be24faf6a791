"""Runs under ZeRO-3 on two processes that are ended and go on: a few of the benchmark's."""

import json
import shutil
from pathlib import Path

import interruptions
import pytest
import torch
from safetensors.torch import load_file, save_file

STEPS = 3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interruptions.undisturbed(tmp_path_factory.mktemp("runs") / "whole", STEPS)[0]


def test_a_requeued_run_ends_in_order_and_goes_on_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ending = interruptions.end(run, whole, STEPS, "USR1", (run / "checkpoint-1").is_dir)
    assert (ending.status, ending.starts, ending.equal) == (0, 2, True)
    assert 1 <= ending.step < STEPS


@pytest.mark.parametrize("change", ["weights", "optimizer", "log"])
def test_what_differs_is_seen(change: str, whole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    assert interruptions.same(run, whole, STEPS)
    if change == "weights":
        weights = load_file(run / "model.safetensors")
        next(iter(weights.values())).view(-1)[0] += 1e-3
        save_file(weights, run / "model.safetensors")
    elif change == "optimizer":
        (shard, *_) = run.glob(f"checkpoint-{STEPS}/global_step*/*optim_states.pt")
        state = torch.load(shard, weights_only=False)
        moments = state["optimizer_state_dict"]["optimizer_state_dict"]["state"]
        moments[0]["exp_avg"].view(-1)[0] += 1e-3
        torch.save(state, shard)
    else:
        text = (run / "trainer_state.json").read_text()
        log = json.loads(text)
        log["log_history"][0]["reward"] += 1e-6
        (run / "trainer_state.json").write_text(json.dumps(log))
    assert not interruptions.same(run, whole, STEPS)
