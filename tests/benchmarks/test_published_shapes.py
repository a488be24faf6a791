"""The decoder in the widths of published models, on a small picture."""

import gc

import published_shapes
import pytest
import torch


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2.5-vl-3b", "qwen3-vl-2b"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_its_logits_are_those_of_generate_within_the_types_rounding(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_shapes, "PICTURES", ((112, 112),))
    (row,) = published_shapes.compare(name, dtype, 6)
    rounding = row["generate against float32"]
    assert 0 < rounding < (1e-4 if dtype == torch.float32 else 0.05)
    assert row["ours against float32"] < 1.5 * rounding
    assert row["largest gap of those"] <= 4 * rounding
    assert row["new tokens"] == 6
    gc.collect()
