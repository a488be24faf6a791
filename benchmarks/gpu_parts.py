"""One part of `gpu.py`, in a process of its own: `python benchmarks/gpu_parts.py NAME --out FILE`.

Models of the published sizes have random weights, and pictures are drawn without OpenGL, so that
all but training runs wherever PyTorch does. Rows are written as they come.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import torch
from gpu_discs import discs, questions
from gpu_live import live
from gpu_training import demo, grpo
from gpu_writer import Writer, free

_SMALL: dict[str, Any] = {
    "text_config": {
        "hidden_size": 128,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "vocab_size": 16_384,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [16, 24, 24],
        },
    },
    "vision_config": {
        "depth": 2,
        "hidden_size": 128,
        "num_heads": 2,
        "intermediate_size": 64,
        "out_hidden_size": 128,
    },
    "tie_word_embeddings": True,
}
_SMALL_SEGMENTER = (16, 1, [1, 1, 2, 1], [8, 4, 14, 7], [3])


def self_check(device: torch.device, small: bool, writer: Writer) -> None:
    """What is our own against transformers, in bfloat16, in the published widths."""
    import models
    import published_shapes
    import segmenter_shapes

    languages = ["small"] if small else [name for name in models.LANGUAGE if name != "small"]
    if small:
        published_shapes.PICTURES = ((112, 112),)
    for name in languages:
        for row in published_shapes.compare(name, torch.bfloat16, 8 if small else 256, device):
            writer.row(**{"check": "decoder", **row})
        writer.row(check="int4", model=name, **_int4(name, device))
        free()
    for name in ("small",) if small else ("sam2.1-tiny", "sam2.1-large"):
        row = segmenter_shapes.compare(name, 2 if small else 9, device)
        writer.row(**{"check": "segmenter", **row})


@torch.inference_mode()
def _int4(name: str, device: torch.device) -> dict[str, Any]:
    """How far logits of weights in four bits are from those of the full ones."""
    import published_shapes

    from segzero.reasoning.decoder import Decoder, supports_int4_decoding
    from segzero.reasoning.decoder_check import relative_difference

    model = published_shapes.language_model(name, torch.bfloat16, device)
    if not supports_int4_decoding(model):
        return {"not measured": "the kernels for four bits don't take these weights here"}
    inputs = published_shapes.prompt(model, (112, 112))
    tokens = torch.arange(5, 21, device=device)  # (S,)
    full: Any = Decoder(model)
    expected = full.logits(inputs, tokens).float()  # (S, V)
    rounded = Decoder(model, four_bits=True).logits(inputs, tokens).float()
    return {
        "int4 against full": round(relative_difference(rounded, expected), 4),
        "steps are graphs": bool(full._graphs and full._graphs.usable),
    }


def answer(device: torch.device, small: bool, writer: Writer, cache: str | None = None) -> None:
    """Question to masks by the full-size models."""
    import answer
    import models

    names = ("small", "small") if small else ("qwen2.5-vl-7b", "sam2.1-large")
    segzero = models.random(*names, 8 if small else 128, device)
    pairs = answer.compare(segzero, 1 if small else 10, answer.FIXED, questions(), cache)
    writer.row(models=names, baseline=cache or "as published", **answer.summary(pairs))


def answer_compiled(device: torch.device, small: bool, writer: Writer) -> None:
    """The same, where `generate` has a static cache, which transformers compiles on a GPU."""
    answer(device, small, writer, "static")


def answer_demo(device: torch.device, small: bool, writer: Writer) -> None:
    """The demo's trained models on tabletops, without drafts and with them."""
    import answer

    from segzero.pipeline import SegZero
    from segzero.profiles import load_profile

    for drafts in ("none", "answer_format"):
        profile = replace(load_profile("demo"), drafts=drafts)
        segzero = SegZero.load(profile, str(device))
        pairs = answer.compare(segzero, 2 if small else 40)
        writer.row(models="demo", drafts=drafts, **answer.summary(pairs))


def decoding(device: torch.device, small: bool, writer: Writer) -> None:
    """A token's time by the weights' type; how long a draft must be to pay."""
    import decoding
    import models

    from segzero.reasoning.decoder import Decoder

    for name in ("small",) if small else ("qwen2.5-vl-7b", "qwen2.5-vl-3b"):
        tokens = 12 if small else 64
        segzero: Any = models.random(name, "small" if small else "sam2.1-tiny", tokens, device)
        per_second = round(decoding.bandwidth(device) / 1e9, 1)
        for row in decoding.measure(segzero, per_second, tokens, 1 if small else 5):
            writer.row(**{"model": name, "memory bandwidth [GB/s]": per_second, **row})
        with torch.inference_mode():
            least = Decoder(segzero._reasoner._model).least_draft()
        writer.row(model=name, **{"shortest draft that pays [tokens]": least})
        del segzero
        free()
    writer.row(weights="int8", **{"not measured": "segzero has no weights of eight bits"})


def follow_large(device: torch.device, small: bool, writer: Writer) -> None:
    """Following by the large SAM 2.1."""
    _follow("sam2.1-large", device, small, writer)


def follow_tiny(device: torch.device, small: bool, writer: Writer) -> None:
    """Following by the tiny SAM 2.1."""
    _follow("sam2.1-tiny", device, small, writer)


def _follow(name: str, device: torch.device, small: bool, writer: Writer) -> None:
    import follow
    import models

    from segzero.pipeline import SegZero

    if small:
        name, segzero = "demo", SegZero.load("demo", str(device))
    else:
        segzero = models.random("small", name, 1, device)
    size, length = ((160, 120), 3) if small else ((1280, 720), 60)
    for count in (1, 3) if small else (1, 3, 5, 16):
        frames, masks = zip(*itertools.islice(discs(count, *size), length + 31), strict=False)
        objects = [follow._ground(mask) for mask in masks[0]]
        clip = follow.Clip(list(frames), objects, list(masks))
        writer.row(models=name, objects=count, **follow.compare(segzero, clip, 1 if small else 3))
        free()


FUNCTIONS: dict[str, Callable[[torch.device, bool, Writer], None]] = {
    "self-check": self_check,
    "answer": answer,
    "answer-compiled": answer_compiled,
    "answer-demo": answer_demo,
    "decoding": decoding,
    "follow-large": follow_large,
    "follow-tiny": follow_tiny,
    "grpo": grpo,
    "demo": demo,
    "live": live,
}


def main(words: list[str] | None = None) -> int:
    """The command; returns its exit status, 0 also where the file says why nothing is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=list(FUNCTIONS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(words)
    writer = Writer(options.part, options)
    try:
        import models

        from segzero.devices import resolve_device

        models.LANGUAGE["small"], models.SEGMENTER["small"] = _SMALL, _SMALL_SEGMENTER
        FUNCTIONS[options.part](resolve_device(options.device), options.small, writer)
    except (ImportError, PackageNotFoundError, MemoryError, RuntimeError) as error:
        # A package, a device, OpenGL or memory that this machine lacks: the next part may run.
        writer.nothing(f"{type(error).__name__}: {error}")
    except Exception as error:
        if not isinstance(error, _ours()):
            raise
        writer.nothing(str(error))
    return 0


def _ours() -> tuple[type[Exception], ...]:
    """Errors of segzero, whose messages name the remedy."""
    try:
        from segzero.errors import SegZeroError
    except ImportError:
        return ()
    return (SegZeroError,)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main())
