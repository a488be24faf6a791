"""`python benchmarks/decoding.py`: how long a token takes, against `generate` and memory's bound.

A token reads every weight of the language model's layers once, so that it takes (bytes of the
weights) / (memory bandwidth) at least. `generate` of transformers with its default cache goes first
on the same weights. `--random qwen2.5-vl-7b` builds a model of full size with random weights.
"""

import argparse
import copy
import itertools
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import models
import numpy as np
import records
import torch
from transformers.generation.streamers import BaseStreamer

from segzero.devices import resolve_device
from segzero.pipeline import SegZero
from segzero.profiles import DecodingWeights
from segzero.reasoning.decoder import Decoder, supports_int4_decoding

_WARM = 8
"""Tokens that are not counted."""


class _TokenTimes(BaseStreamer):
    """When `generate` had each token."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.seconds.append(time.perf_counter())

    def end(self) -> None:
        pass


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument("--random", metavar="LANGUAGE", help="of full size, random weights")
    parser.add_argument("--tokens", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "decoding.json")
    options = parser.parse_args()
    device = resolve_device(options.device)
    if options.random:
        segzero = models.random(options.random, "sam2.1-tiny", options.tokens, device)
    else:
        segzero = SegZero.load(options.profile, str(device))
    per_second = round(bandwidth(device) / 1e9, 1)
    rows = measure(segzero, per_second, options.tokens, options.repeats)
    figures = {
        "models": options.random or options.profile,
        "memory bandwidth [GB/s]": per_second,
        "rows": rows,
    }
    records.record(figures, ("torch", "transformers"), options.out)
    names = list(rows[0])
    cells = [[records.cell(row[name]) for name in names] for row in rows]
    print(records.table([tuple(names), *cells]))
    return 0


def measure(segzero: SegZero, per_second: float, tokens: int, repeats: int) -> list[dict[str, Any]]:
    """The rows of `compare`, with the share of the bound at a bandwidth in GB/s."""
    rows = compare(segzero, tokens, repeats)
    for row in rows:
        least = row["weights read [MB]"] / per_second  # milliseconds
        row["share of the bound"] = round(least / row["ms per token"]["median"], 3)
    return rows


@torch.inference_mode()
def compare(segzero: SegZero, tokens: int, repeats: int) -> list[dict[str, Any]]:
    """A row for `generate` and for each kind of weights; all in turn, `repeats` times."""
    reasoner: Any = segzero._reasoner
    model = reasoner._model
    inputs = reasoner._processor(
        text=[reasoner._chat("the red ball")],
        images=[np.zeros((112, 112, 3), np.uint8)],  # the prompt isn't counted here
        return_tensors="pt",
    ).to(model.device)
    config = copy.deepcopy(reasoner._generation)
    config.update(max_new_tokens=tokens, eos_token_id=None)
    kinds = get_args(DecodingWeights) if supports_int4_decoding(model) else ("full",)
    decoders = {kind: Decoder(model, four_bits=kind == "int4") for kind in kinds}
    times: dict[str, list[float]] = {name: [] for name in ("generate", *decoders)}
    for _ in range(repeats):
        times_of_generate = _TokenTimes()
        model.generate(**inputs, generation_config=config, streamer=times_of_generate)
        times["generate"].append(_median(times_of_generate.seconds))
        for kind, decoder in decoders.items():
            written = itertools.islice(decoder.decode(inputs, config), tokens)
            times[kind].append(_median([time.perf_counter() for _ in written]))
    read = {kind: _bytes(decoder) for kind, decoder in decoders.items()}
    return [
        {
            "weights": name,
            "ms per token": records.spread(spent, 3),
            "times as fast": records.spread(
                [plain / own for plain, own in zip(times["generate"], spent, strict=True)], 2
            ),
            "weights read [MB]": round(read.get(name, read["full"]) / 1e6, 1),
        }
        for name, spent in times.items()
    ]


def bandwidth(device: torch.device) -> float:
    """Bytes per second, read and written, while a tensor larger than any cache is copied."""
    source = torch.ones(2**28, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(10):
        _wait(device)
        start = time.perf_counter()
        target.copy_(source)
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return 2 * source.nbytes / min(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _median(moments: list[float]) -> float:
    return 1000 * float(np.median(np.diff(moments)[_WARM:]))


def _bytes(decoder: Decoder) -> int:
    """Of all weights that a token reads: layers and head."""
    fused = decoder._fused
    parts = [getattr(layer, field.name) for layer in fused.layers for field in fields(layer)]
    return sum(part.nbytes for part in (*parts, fused.head) if part is not None)


if __name__ == "__main__":
    sys.exit(main())
