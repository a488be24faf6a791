"""Weights of Qwen's decoder layers as few, large matrices, shared with the loaded model.

Shape comments use: D hidden size, F inner size of the SwiGLU, H query heads, K key-value heads, d
head size, V vocabulary size, W tokens of a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from segzero import gpu
from segzero.reasoning import int4
from segzero.reasoning.int4 import Int4Linear

Weight = torch.Tensor | Int4Linear
"""(out, in)."""


@dataclass(frozen=True, slots=True, eq=False)
class FusedLayer:
    """Weights of one layer; those that multiply the same input are one matrix.

    Attributes:
        input_norm: (D,) scales of the RMSNorm before attention.
        qkv_proj: ((H + 2K)·d, D).
        qkv_bias: ((H + 2K)·d,), where the model has one (Qwen2-VL and Qwen2.5-VL).
        qk_norm: (H + K, d) scales of the RMSNorm of queries and keys, where the model has them
            (Qwen3-VL).
        o_proj: (D, H·d).
        post_attention_norm: (D,) scales of the RMSNorm before the SwiGLU.
        gate_up_proj: (2F, D).
        down_proj: (D, F).
    """

    input_norm: torch.Tensor
    qkv_proj: Weight
    qkv_bias: torch.Tensor | None
    qk_norm: torch.Tensor | None
    o_proj: Weight
    post_attention_norm: torch.Tensor
    gate_up_proj: Weight
    down_proj: Weight


def fuse_layers(text: Any, *, four_bits: bool) -> list[FusedLayer]:
    """Fuse the layers of a language model one by one; its own weights become views.

    Args:
        text: The language model, of a family that `decoder.supports`.
        four_bits: Round the weights to four bits where the kernels support it. The model keeps
            its own.

    Returns:
        The layers. Memory that is freed between two of them goes back to the GPU at once, so that
        the weights never lie there twice.
    """
    layers = []
    for layer in text.layers:
        layers.append(_fuse_layer(layer, text.config, four_bits))
        gpu.empty_cache()
    return layers


def fuse_head(head: nn.Linear, *, four_bits: bool) -> Weight:
    """The output head, (V, D), rounded to four bits if that is wanted and possible."""
    weight = head.weight.detach()
    return Int4Linear(weight) if four_bits and int4.supports_int4(weight) else weight


def linear(x: torch.Tensor, weight: Weight, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x·Wᵀ + bias`: (W, in) -> (W, out)."""
    if isinstance(weight, torch.Tensor):
        return functional.linear(x, weight, bias)
    product = weight(x)
    return product if bias is None else product + bias


def add_linear(residual: torch.Tensor, x: torch.Tensor, weight: Weight) -> torch.Tensor:
    """`residual + x·Wᵀ`, one operation where there is one: (W, out), (W, in) -> (W, out)."""
    if isinstance(weight, torch.Tensor):
        return torch.addmm(residual, x, weight.t())
    return residual + weight(x)


def _fuse_layer(layer: Any, config: Any, four_bits: bool) -> FusedLayer:
    attention, mlp = layer.self_attn, layer.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    qkv_bias = qk_norm = None
    if attention.q_proj.bias is not None:
        qkv_bias = torch.cat([projection.bias.detach() for projection in projections])
    if hasattr(attention, "q_norm"):
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        qk_norm = torch.cat(
            [
                attention.q_norm.weight.detach().expand(heads, -1),  # (d,) -> (H, d)
                attention.k_norm.weight.detach().expand(kv_heads, -1),  # (d,) -> (K, d)
            ]
        )  # (H + K, d)
    return FusedLayer(
        input_norm=layer.input_layernorm.weight,
        qkv_proj=_fuse_linears(projections, four_bits),
        qkv_bias=qkv_bias,
        qk_norm=qk_norm,
        o_proj=_fuse_linears([attention.o_proj], four_bits),
        post_attention_norm=layer.post_attention_layernorm.weight,
        gate_up_proj=_fuse_linears([mlp.gate_proj, mlp.up_proj], four_bits),
        down_proj=_fuse_linears([mlp.down_proj], four_bits),
    )


@torch.no_grad()
def _fuse_linears(linears: Sequence[nn.Linear], four_bits: bool) -> Weight:
    """One matrix from several with the same input: (out_i, in) each -> (sum of out_i, in)."""
    weights = [linear.weight for linear in linears]
    fused = torch.cat(weights) if len(weights) > 1 else weights[0].data
    if four_bits and int4.supports_int4(fused):
        return Int4Linear(fused)
    # The model's weights become views of it, so that they are in memory once.
    views = torch.split(fused, [len(weight) for weight in weights])
    for layer, view in zip(linears, views, strict=True):
        layer.weight.data = view
    return fused
