"""The benchmark of loading: the checkpoint that it writes, and that both ways load it."""

from pathlib import Path

import loading
import models
import pytest
import torch
from safetensors.torch import load_file

TINY = {
    "text_config": {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6},
    },
    "vision_config": {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 64,
    },
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize("way", loading.WAYS)
def test_the_checkpoint_that_it_writes_is_loaded(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models.LANGUAGE, loading.LANGUAGE, TINY)
    size = loading.write_checkpoint(tmp_path, layers=None)
    files = sorted(tmp_path.glob("*.safetensors"))
    tensors = [tensor for file in files for tensor in load_file(file).values()]
    assert len(files) == loading.SHARDS
    assert size == sum(tensor.nbytes for tensor in tensors)
    assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
    peak, peak_fused, loaded, fused = loading.load(way, tmp_path)
    assert 0 <= peak <= peak_fused and 0 < loaded < fused
