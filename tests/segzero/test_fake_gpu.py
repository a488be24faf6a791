"""Steps of decoding, encoding and following on a GPU that isn't there, in the published widths.

Under FakeTensorMode tensors have a device, a shape and a type, but no numbers. So an operation
whose inputs are on two devices fails as on a GPU, and so does one that the host would wait for.
"""

from types import SimpleNamespace

import models
import published_shapes
import pytest
import torch
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from segzero.reasoning.fused_model import FusedModel
from segzero.reasoning.step_graphs import buckets
from segzero.segmentation.image_encoder import Features, ImageEncoder
from segzero.segmentation.video_memory import ObjectMemory, decode, encode_memory, init_memory

CUDA = torch.device("cuda", 0)
GPU = FakeTensorMode()
"""One for all tests: transformers keeps some encodings for the next model of the same shapes."""


@pytest.fixture(autouse=True)
def no_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single numbers are fakes, too: PyTorch would compute with them on a real GPU."""
    monkeypatch.setattr(fake_tensor, "CONSTANT_NUMEL_LIMIT", -1)


@pytest.mark.parametrize("name", ["qwen2.5-vl-7b", "qwen3-vl-2b", "qwen3-vl-8b"])
def test_a_step_keeps_its_shape_in_each_bucket_and_never_waits(name: str) -> None:
    with torch.inference_mode(), GPU:
        fused = FusedModel(
            published_shapes.language_model(name, torch.bfloat16, CUDA), four_bits=False
        )
        cache = fused.new_cache(1100)
        for width in (1, 16):
            tokens, slots = cache.slots.new_zeros(width), cache.slots[:width].clone()
            for length in buckets(cache.capacity):
                logits = fused.forward_fixed(cache, tokens, slots, length)
                assert logits.device == CUDA
                assert logits.shape == (width, published_shapes.VOCABULARY)
                assert logits.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-8b"])
def test_a_prompt_moves_into_the_cache_on_the_gpu(name: str) -> None:
    with torch.inference_mode(), GPU:
        model = published_shapes.language_model(name, torch.bfloat16, CUDA)
        fused = FusedModel(model, four_bits=False)
        cache = fused.new_cache(1100)
        _, heads, _, size = cache.keys.shape
        read = torch.zeros(1, heads, 900, size, dtype=torch.bfloat16, device=CUDA)
        cache.fill([SimpleNamespace(keys=read, values=read)] * len(fused.layers))
        delta = torch.zeros(1, 1, dtype=torch.long, device=CUDA)
        cache.rotate(model.model.language_model.rotary_emb, delta)
        tokens = torch.zeros(30, dtype=torch.long, device=CUDA)
        logits = fused.forward(cache, tokens, cache.slots[900:930], 930, last=True)
        assert (logits.device, logits.shape) == (CUDA, (1, published_shapes.VOCABULARY))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam2.1-base-plus", "sam2.1-large"])
def test_objects_are_followed_on_the_gpu_without_a_wait(name: str) -> None:
    count = 3
    with torch.inference_mode(), GPU:
        with torch.device(CUDA):
            model = models.sam2(name)
        encoder = ImageEncoder(model)
        masks = torch.zeros(count, 1, 1024, 1024, device=CUDA)
        memory = None
        for _ in range(4):
            frame: Features = encoder(torch.zeros(1, 3, 1024, 1024, device=CUDA)).expand(count)
            if memory is None:
                memory = ObjectMemory(model, init_memory(model, frame, masks))
                continue
            found = decode(model, frame, memory.condition_on_memory(frame.image_embed))
            present = found.object_score_logits > 0
            logits = found.best_masks(present)
            memory.add(encode_memory(model, frame, logits, present, found.object_pointer))
            assert (logits.device, logits.shape) == (CUDA, (count, 1, 256, 256))


@pytest.mark.parametrize("wait", [torch.Tensor.item, bool, int, float])
def test_a_wait_for_the_gpu_would_be_found(wait: object) -> None:
    with GPU, pytest.raises(DataDependentOutputException):
        wait(torch.zeros(1, device=CUDA))  # type: ignore[operator]


def test_a_tensor_on_another_device_would_be_found() -> None:
    with GPU, pytest.raises(RuntimeError, match="cuda:0 and cpu"):
        torch.zeros(2, 3, device=CUDA) + torch.zeros(2, 3)
