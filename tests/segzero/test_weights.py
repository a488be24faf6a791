"""Missing, half-written and wrong checkpoints are told by name before anything runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from segzero import hub, pretrained, weights
from segzero.errors import CheckpointError
from tests.segzero.tiny_checkpoints import write_shards

CPU = torch.device("cpu")


@pytest.fixture
def copy(qwen3_vl: Path, tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(qwen3_vl, tmp_path / "copy"))


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def load(folder: Path, dtype: str = "float32", **options: Any) -> Any:
    loader = AutoModelForImageTextToText
    return pretrained.load_model(loader, folder, dtype=dtype, device=CPU, **options)


def test_a_whole_folder_is_found(qwen3_vl):
    assert weights.resolve_weights(str(qwen3_vl), "tiny") == qwen3_vl


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no folder .*absent"):
        weights.resolve_weights(str(tmp_path / "absent"), "tiny")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(copy, file):
    (copy / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        weights.resolve_weights(str(copy), "tiny")


@pytest.mark.parametrize(
    "file", ["config.json", "model.safetensors", "tokenizer.json", "processor_config.json"]
)
def test_a_half_written_file_is_named(copy, file):
    cut(copy / file)
    with pytest.raises(CheckpointError, match=f"{file} is damaged"):
        weights.resolve_weights(str(copy), "tiny")


def test_an_empty_weight_file_is_named(copy):
    (copy / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        weights.resolve_weights(str(copy), "tiny")


@pytest.fixture
def sharded(copy: Path) -> Path:
    write_shards(copy, load_file(copy / "model.safetensors"))
    (copy / "model.safetensors").unlink()
    return copy


def test_shards_load(sharded):
    assert load(weights.resolve_weights(str(sharded), "tiny"))


def test_a_missing_shard_is_named(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"00002-of-00002\.safetensors is missing"):
        weights.resolve_weights(str(sharded), "tiny")


def test_an_index_without_shards_is_named(sharded):
    (sharded / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no weight_map"):
        weights.resolve_weights(str(sharded), "tiny")


@pytest.mark.parametrize(
    "names",
    [[7], [None], [["a.safetensors"]], ["../model.safetensors"], ["/x.safetensors"], ["a.bin"]],
)
def test_an_index_that_names_no_file_beside_it_is_refused(sharded, names):
    index = {"weight_map": {str(number): name for number, name in enumerate(names)}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"index\.json names .* as a file of weights"):
        weights.resolve_weights(str(sharded), "tiny")


def test_an_adapter_alone_is_named(copy):
    (copy / "config.json").rename(copy / "adapter_config.json")
    with pytest.raises(CheckpointError, match=r"LoRA adapter.*segzero_train\.export"):
        weights.resolve_weights(str(copy), "tiny")


def test_pickles_are_never_loaded(copy):
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        weights.resolve_weights(str(copy), "tiny")
    with pytest.raises(CheckpointError, match="safetensors"):
        load(copy)


def test_weights_that_lack_a_tensor_are_refused_instead_of_drawn_at_random(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack 1 .*lm_head\.weight"):
        load(weights.resolve_weights(str(copy), "tiny"))


def test_weights_of_another_size_are_refused(copy):
    tensors = load_file(copy / "model.safetensors")
    tensors["lm_head.weight"] = tensors["lm_head.weight"][:-1].contiguous()
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=str(copy)):
        load(weights.resolve_weights(str(copy), "tiny"))


def test_a_model_of_another_kind_is_refused(sam2):
    with pytest.raises(CheckpointError, match="of type sam2_video"):
        load(weights.resolve_weights(str(sam2), "tiny"))


def test_an_unknown_attention_is_refused(qwen3_vl):
    with pytest.raises(CheckpointError, match="can't load"):
        load(qwen3_vl, attn_implementation="flash_attention_9")


def test_code_in_a_checkpoint_is_never_run(copy):
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModelForImageTextToText": "mine.Model"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "mine.py").write_text(f"open({str(copy / 'ran')!r}, 'w')\n")
    with pytest.raises(CheckpointError):
        load(copy)
    assert not (copy / "ran").exists()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty Hub cache, and a Hub that can't be reached."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return cache


def test_weights_that_are_not_here_are_named_with_the_command_that_gets_them(no_network):
    with pytest.raises(CheckpointError, match=r"Ricky06662/Seg-Zero-7B.*segzero fetch seg-zero-7b"):
        weights.resolve_weights("Ricky06662/Seg-Zero-7B", "seg-zero-7b")


def test_fetching_without_network_says_so(no_network):
    with pytest.raises(CheckpointError, match=r"can't fetch .*Seg-Zero-7B.*network"):
        hub.fetch("Ricky06662/Seg-Zero-7B")


def cache_as_hub(cache: Path, folder: Path, repository: str) -> Path:
    """Lay a folder out as a download of the Hub."""
    base = cache / f"models--{repository.replace('/', '--')}"
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text("0" * 40)
    return Path(shutil.copytree(folder, base / "snapshots" / ("0" * 40)))


def test_fetched_weights_are_found_without_network(no_network, sam2):
    snapshot = cache_as_hub(no_network, sam2, "owner/sam2")
    assert weights.resolve_weights("owner/sam2", "mine") == snapshot


def test_a_broken_download_is_named_with_the_command_that_mends_it(no_network, sam2):
    snapshot = cache_as_hub(no_network, sam2, "owner/sam2")
    cut(snapshot / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"damaged.*segzero fetch mine"):
        weights.resolve_weights("owner/sam2", "mine")


def test_fetching_a_folder_only_checks_it(sam2, tmp_path):
    assert hub.fetch(str(sam2)) == sam2
    with pytest.raises(CheckpointError, match="no folder"):
        hub.fetch(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pytorch_model.bin", "only safetensors are read; convert pytorch_model.bin"),
        ("consolidated.00.pth", "only safetensors are read; convert consolidated.00.pth"),
        ("model.Q4_K_M.gguf", "serve model.Q4_K_M.gguf and name `server`"),
        ("notes.md", "copy or train the checkpoint again"),
    ],
)
def test_weights_of_another_format_are_named(copy, name, says):
    (copy / "model.safetensors").rename(copy / name)
    with pytest.raises(CheckpointError, match=f"model.safetensors is missing: .*{says}"):
        weights.resolve_weights(str(copy), "tiny")


def test_what_can_not_be_read_as_a_file_is_named(copy):
    (copy / "added.json").mkdir()
    with pytest.raises(CheckpointError, match=r"added.json can't be read \(Is a directory\)"):
        weights.resolve_weights(str(copy), "tiny")


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "int8", "uint8", "int32", "bool"])
def test_numbers_that_alone_are_no_weights_are_refused(copy, kind):
    file = copy / "model.safetensors"
    tensors = load_file(file)
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    tensors[name] = tensors[name].to(getattr(torch, kind))
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=rf"quantized or no numbers \({name} is of"):
        load(copy)


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8", "bitsandbytes", "of tomorrow"])
def test_a_quantized_checkpoint_is_refused_with_what_to_do(copy, method):
    config = json.loads((copy / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=rf"quantized weights \({method}\).*`server`"):
        load(copy)


@pytest.mark.parametrize("adapter", ["lora_A.weight", "lora_B.default.weight", "lora_magnitude"])
def test_an_adapter_that_is_not_merged_is_refused(copy, adapter):
    file = copy / "model.safetensors"
    name = f"model.language_model.layers.0.self_attn.q_proj.{adapter}"
    save_file(load_file(file) | {name: torch.ones(2, 2)}, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match="isn't merged"):
        load(copy)


@pytest.mark.parametrize(
    ("part", "key", "stack"),
    [
        ("text_config", "num_hidden_layers", "model.language_model.layers.1."),
        ("vision_config", "depth", "model.visual.blocks.1."),
    ],
)
def test_layers_that_the_configuration_leaves_out_are_named(copy, part, key, stack):
    config = json.loads((copy / "config.json").read_text())
    config[part][key] -= 1
    config[part].pop("layer_types", None)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"describes fewer layers: {stack}"):
        load(copy)


def test_other_tensors_that_the_model_has_no_use_for_do_no_harm(copy):
    file = copy / "model.safetensors"
    more = {"rotary.inv_freq": torch.ones(3), "memory.layers.0.weight": torch.ones(3)}
    save_file(load_file(file) | more, file, {"format": "pt"})
    load(copy)
