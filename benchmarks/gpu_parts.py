"""One part of `gpu.py`, in a process of its own: `python benchmarks/gpu_parts.py NAME --out FILE`.

Models of the published sizes have random weights, and pictures are drawn without OpenGL, so that
all but training runs wherever PyTorch does. Rows are written as they come.
"""

import argparse
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import gpu
import numpy as np
import records
import torch
from numpy.typing import NDArray

_LIBRARIES = ("torch", "transformers")
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
_PAPER = {
    "num_generations": 8,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 32,
    "max_completion_length": 256,
    "bf16": True,
    "gradient_checkpointing": True,
    "model_init_kwargs": json.dumps({"dtype": "bfloat16", "attn_implementation": "sdpa"}),
}
"""16 prompts x 8 completions. Random weights never end one, hence not 1300 tokens."""


class Writer:
    """Writes a part's file again after each row.

    Args:
        part: Its name.
        options: Of the command.
    """

    def __init__(self, part: str, options: argparse.Namespace) -> None:
        (number,) = (one.number for one in gpu.PARTS if one.name == part)
        words = ["--run", "--parts", number, "--device", options.device]
        typed = " ".join(["python benchmarks/gpu.py", *words, *["--small"][: options.small]])
        self._head = {"command": typed, "part": part, "device": options.device}
        if options.device == "cpu":
            self._head["trial"] = "on a CPU: nothing here is a figure of a GPU"
        if options.small:
            self._head["small"] = "tiny models: these figures say only that the part runs"
        self._out = options.out
        self._rows: list[dict[str, Any]] = []

    def row(self, **figures: Any) -> None:
        """Add a row."""
        if torch.cuda.is_available():
            figures["peak GPU memory [GB]"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
            torch.cuda.reset_peak_memory_stats()
        self._rows.append(figures)
        records.record({**self._head, "rows": self._rows}, _LIBRARIES, self._out)
        print(figures, flush=True)

    def nothing(self, reason: str) -> None:
        """Say why nothing is measured; rows that are there stay."""
        reason = " ".join(reason.split())
        missed = {"missed": reason, "rows": self._rows} if self._rows else {"not measured": reason}
        records.record({**self._head, **missed}, _LIBRARIES, self._out)
        print(reason, flush=True)


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
        _free()
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
    pairs = answer.compare(segzero, 1 if small else 10, answer.FIXED, _questions(), cache)
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
        _free()
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
        frames, masks = zip(*itertools.islice(_discs(count, *size), length + 31), strict=False)
        objects = [follow._ground(mask) for mask in masks[0]]
        clip = follow.Clip(list(frames), objects, list(masks))
        writer.row(models=name, objects=count, **follow.compare(segzero, clip, 1 if small else 3))
        _free()


def grpo(device: torch.device, small: bool, writer: Writer) -> None:
    """A GRPO step by stage, against TRL's own trainer on the same weights, rows and seeds."""
    import train

    from segzero.profiles import resource_root

    with tempfile.TemporaryDirectory() as folder:
        if small:
            base = resource_root() / "checkpoints" / "demo" / "base" / "profile.yaml"
            changes: dict[str, Any] = {"profile": base, "per_device_train_batch_size": 8}
            changes |= {"max_completion_length": 16, "use_cpu": device.type == "cpu"}
        else:
            changes = {**_PAPER, "profile": _random_checkpoint(Path(folder), device)}
        completions, plain, fast = train.measure(1, 1, Path(folder), **changes)
    settings = {name: str(value) for name, value in changes.items() if name != "profile"}
    writer.row(settings=settings, **train.summary(completions, plain, fast))


def _random_checkpoint(folder: Path, device: torch.device) -> Path:
    """Save a 3B with random weights as a profile of the paper's picture size."""
    import models
    import yaml

    from segzero.profiles import load_profile

    segzero: Any = models.random("qwen2.5-vl-3b", "small", 256, device)
    segzero._reasoner._model.save_pretrained(folder / "3b")
    segzero._reasoner._processor.save_pretrained(folder / "3b")
    profile = {
        "summary": "a 3B with random weights",
        "reasoner": str(folder / "3b"),
        "segmenter": load_profile("demo").segmenter,
        "prompt": "vision_reasoner",
        "answer_format": "vision_reasoner",
        "coordinates": "relative_1000",
        "rounding": "half_up",
        "image_size": 840,
    }
    file = folder / "3b.yaml"
    file.write_text(yaml.safe_dump(profile))
    del segzero
    _free()
    return file


def demo(device: torch.device, small: bool, writer: Writer) -> None:
    """The demo from nothing. Its folder stays, and a second call goes on where this one ended."""
    folder = writer._out.with_suffix("")
    words = ["--run", str(folder / "run"), "--out", str(folder / "demo"), "--device", str(device)]
    if small:
        few = ("segmenter", "memory", "looking", "writing", "naming", "matching", "base", "grpo")
        words += [word for name in few for word in (f"--{name}-steps", "1")]
        words += ["--scenes", "16", "--clips", "2", "--questions", "2"]
    start, limit = time.monotonic(), gpu.LIMIT - 30
    command = [sys.executable, "-m", "segzero_train.demo", *words]
    try:
        found = subprocess.run(command, timeout=limit, capture_output=True, text=True)
        status, said = found.returncode, (found.stdout + found.stderr).strip()[-2000:]
    except subprocess.TimeoutExpired:
        status, said = None, "not finished: call this part again, and it goes on"
    scores = folder / "run" / "scores.json"
    if status:
        raise RuntimeError(said.splitlines()[-1])
    writer.row(
        seconds=round(time.monotonic() - start),
        finished=status == 0,
        says=said.splitlines()[-1],
        scores=json.loads(scores.read_text()) if scores.exists() else None,
    )


def live(device: torch.device, small: bool, writer: Writer) -> None:
    """Follow two discs, and ask one question after the other meanwhile; memory as time goes on."""
    import follow

    from segzero.pipeline import SegZero

    segzero = SegZero.load("demo", str(device))
    pairs = _discs(2, 640, 480)
    first, masks = next(pairs)
    found = segzero.segment(first, [follow._ground(mask) for mask in masks])
    ended, answered = threading.Event(), itertools.count()
    asking = threading.Thread(target=_ask, args=(segzero, first, ended, answered), daemon=True)
    asking.start()
    try:
        _watch(segzero.track(first, found), pairs, answered, 4 if small else 480, writer)
    finally:
        ended.set()
        asking.join()


def _ask(
    segzero: Any, frame: NDArray[np.uint8], ended: threading.Event, answered: Iterator[int]
) -> None:
    from segzero.errors import SegZeroError

    while not ended.is_set():
        with suppress(SegZeroError):  # an answer without objects, or stopped
            segzero.ask(frame, "the red ball", stop=ended)
        next(answered)


def _watch(
    following: Any,
    pairs: Iterator[Any],
    answered: Iterator[int],
    seconds: float,
    writer: Writer,
) -> None:
    import follow

    start, since, count, before = time.monotonic(), time.monotonic(), 0, 0
    step = seconds / 16
    for frame, _ in pairs:
        following.step(frame)
        count += 1
        now = time.monotonic()
        if now - since < step:
            continue
        asked = next(answered)  # which counts this look, too
        writer.row(
            minutes=round((now - start) / 60, 2),
            memory=round(follow._memory() / 1e6, 1),
            **{"frames per second": round(count / (now - since), 1), "answers": asked - before},
        )
        since, count, before = time.monotonic(), 0, asked + 1
        if now - start >= seconds:
            break
    following.close()


def _questions() -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Pictures and questions without end."""
    for frame, _ in _discs(3, 840, 840):
        yield frame, "the red ball beside the two others"


def _discs(
    count: int, width: int, height: int
) -> Iterator[tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]]:
    """A moving picture of discs, each with a place of its own, and their masks."""
    columns = int(np.ceil(np.sqrt(count)))
    cell_x, cell_y = width / columns, height / columns
    radius = 0.3 * min(cell_x, cell_y)
    y, x = np.mgrid[:height, :width]
    ground = (60 + 40 * x / width + 40 * y / height).astype(np.uint8)
    colors = np.random.default_rng(0).integers(80, 256, (count, 3))
    for time_step in itertools.count():
        picture = np.repeat(ground[..., None], 3, axis=-1)
        masks = []
        for number in range(count):
            angle = time_step / 20 + number
            center_x = (number % columns + 0.5) * cell_x + 0.15 * cell_x * np.cos(angle)
            center_y = (number // columns + 0.5) * cell_y + 0.15 * cell_y * np.sin(angle)
            mask = (x - center_x) ** 2 + (y - center_y) ** 2 < radius**2
            picture[mask] = colors[number]
            masks.append(mask)
        yield picture, masks


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
