"""The fast path steps aside where it would train a model that doesn't see its image."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel

from segzero_train import grpo
from segzero_train.training.fast_path import difference, missing_argument, verdict
from tests.segzero_train.tiny_runs import words

INNER: dict[str, Any] = {"qwen2_5_vl": Qwen2_5_VLModel, "qwen3_vl": Qwen3VLModel}


def swallowing(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward that takes `mm_encoder_outputs` for nothing, as older versions do."""

    def blind(self: Any, *inputs: Any, **named: Any) -> Any:
        named.pop("mm_encoder_outputs", None)
        return forward(self, *inputs, **named)

    return blind


def trained(profile: str | Path, table: Path, run: Path) -> None:
    assert grpo.main(words(profile, table, run)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("family", INNER)
def test_a_run_says_that_it_takes_the_fast_path(
    family: str, request: Any, table: Path, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trained(request.getfixturevalue(family), table, run_folder)
    lines = [line for line in capfd.readouterr().err.splitlines() if "log-probabilities" in line]
    assert len(lines) == 1
    assert lines[0].startswith("log-probabilities: fast path, ")


@pytest.mark.slow
@pytest.mark.parametrize("family", INNER)
def test_a_run_whose_transformers_lacks_an_argument_takes_the_plain_path(
    family: str,
    request: Any,
    table: Path,
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(INNER[family], "forward", swallowing(INNER[family].forward))
    trained(request.getfixturevalue(family), table, run_folder)
    assert "plain path, because " in (said := capfd.readouterr().err)
    assert "takes no mm_encoder_outputs" in said


@pytest.mark.slow
def test_a_run_that_would_be_blind_takes_the_plain_path(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The demo looks at its image; the argument is there and does nothing."""
    trained("demo", table, tmp_path / "seeing")
    assert "fast path, " in capfd.readouterr().err
    inner = INNER["qwen3_vl"]
    monkeypatch.setattr(inner, "forward", wraps(inner.forward)(swallowing(inner.forward)))
    trained("demo", table, tmp_path / "blind")
    assert "plain path, because the fast one is " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        ("inner", "forward"),
        ("model", "prepare_inputs_for_generation"),
        ("model", "generate"),
    ],
)
def test_an_argument_that_is_missing_is_named(owner: str, method: str) -> None:
    def forward(self: Any, mm_encoder_outputs: Any) -> None: ...
    def prepare(self: Any, next_sequence_length: Any) -> None: ...
    def generate(self: Any, custom_generate: Any) -> None: ...
    def older(self: Any, **kwargs: Any) -> None: ...

    methods = {"forward": forward, "prepare_inputs_for_generation": prepare, "generate": generate}
    whole = {name: methods[name] for name in methods if name != "forward"}

    def built(inner: Any, model: Any) -> Any:
        made = type("Model", (), model)()
        made.model = type("Inner", (), inner)()
        return made

    assert missing_argument(built({"forward": forward}, whole)) is None
    inner = {"forward": older if owner == "inner" else forward}
    model = {**whole, method: older} if owner == "model" else whole
    assert "older takes no " in str(missing_argument(built(inner, model)))


@pytest.mark.parametrize(
    ("apart", "dtype", "fast"),
    [
        (0.0, torch.float32, True),
        (1e-6, torch.float32, True),
        (1e-3, torch.float32, False),
        (0.03, torch.bfloat16, True),
        (2.24, torch.bfloat16, False),
        (torch.inf, torch.bfloat16, False),
    ],
)
def test_rounding_is_told_from_blindness(apart: float, dtype: torch.dtype, fast: bool) -> None:
    taken, line = verdict(apart, dtype)
    assert taken is fast
    assert ("fast path, " if fast else "plain path, ") in line


@pytest.mark.parametrize(("value", "expected"), [(-1.0, 0.5), (torch.nan, torch.inf)])
def test_only_tokens_that_were_written_count(value: float, expected: float) -> None:
    fast = torch.tensor([[value, -9.0]])
    written = torch.tensor([[True, False]])
    assert difference(fast, torch.tensor([[-1.5, 0.0]]), written) == expected
