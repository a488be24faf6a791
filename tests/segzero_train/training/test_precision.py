from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig, SFTConfig

from segzero import devices
from segzero_train.training.precision import fit_precision

BFLOAT16: dict[str, Any] = {
    "model_init_kwargs": {"dtype": "bfloat16", "attn_implementation": "sdpa"}
}


@pytest.fixture
def without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU without AVX-512, which a running process can't become."""
    monkeypatch.setattr(devices, "computes_bfloat16", lambda device: False)
    monkeypatch.setattr(devices, "computes_float16", lambda device: False)


@pytest.mark.parametrize("kind", [GRPOConfig, SFTConfig])
@pytest.mark.parametrize("written", [{"bf16": True}, {"fp16": True, "bf16": False}, {}])
@pytest.mark.usefixtures("without_bfloat16")
def test_a_recipe_trains_in_float32_where_half_types_are_slow(
    tmp_path: Path, kind: type, written: dict, caplog: pytest.LogCaptureFixture
) -> None:
    config = kind(output_dir=str(tmp_path), use_cpu=True, **BFLOAT16, **written)
    fit_precision(config)
    assert not config.bf16 and not config.fp16
    assert config.mixed_precision == "no"
    assert config.model_init_kwargs == {"dtype": "float32", "attn_implementation": "sdpa"}
    assert [line.partition(" computes")[0] for line in caplog.messages] == [
        "the training",
        "the trained model",
    ]


@pytest.mark.usefixtures("without_bfloat16")
def test_a_recipe_in_float32_stays_as_it_is(tmp_path, caplog) -> None:
    config = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    fit_precision(config)
    assert (config.bf16, config.mixed_precision, config.model_init_kwargs) == (False, "no", None)
    assert caplog.messages == []


def test_elsewhere_a_recipe_trains_in_the_type_that_it_names(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(devices, "computes_bfloat16", lambda device: True)
    config = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=True, **BFLOAT16)
    fit_precision(config)
    assert (config.bf16, config.mixed_precision) == (True, "bf16")
    assert config.model_init_kwargs == BFLOAT16["model_init_kwargs"]
