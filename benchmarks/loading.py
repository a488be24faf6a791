"""`python benchmarks/loading.py`: the host memory and the time that loading a reasoner takes.

A Qwen2.5-VL 3B in bfloat16 with random weights is written as two shards and loaded on the CPU, each
time by a process of its own: as segzero does it, and as transformers does it by default, which maps
the files. After loading, every weight is read once, and the layers are fused for decoding.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import numpy as np
import records
import torch
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

from segzero.pretrained import load_model
from segzero.reasoning.decoder import Decoder
from segzero.weights import INDEX

WAYS = ("mapped", "segzero")
SHARDS = 2
LANGUAGE = "qwen2.5-vl-3b"


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, help="of the language model (default: all)")
    parser.add_argument("--folder", type=Path, help="for the weights, which are deleted again")
    parser.add_argument("--load", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "loading.json", help="default: %(default)s"
    )
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load(options.load[0], Path(options.load[1]))))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        size = write_checkpoint(Path(made), options.layers)
        ways = {way: measure(way, Path(made), size) for way in WAYS}
    figures = {"model": LANGUAGE, "layers": options.layers or "all", "GB": round(size / 1e9, 2)}
    records.record(figures | ways, ("torch", "transformers", "safetensors"), options.out)
    head = list(ways["segzero"])
    print(records.table([("", *head), *((way, *row.values()) for way, row in ways.items())]))
    return 0


def write_checkpoint(folder: Path, layers: int | None) -> int:
    """Write config.json and shards of random weights; returns their bytes."""
    sizes = models.LANGUAGE[LANGUAGE]
    text = sizes["text_config"]
    text = {**text, "num_hidden_layers": layers or text["num_hidden_layers"]}
    config = Qwen2_5_VLConfig(**{**sizes, "text_config": text})
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    config.save_pretrained(folder)
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    if sizes["tie_word_embeddings"]:
        del shapes["lm_head.weight"]
    names = list(shapes)
    index: dict[str, str] = {}
    total = 0
    for number in range(SHARDS):
        file = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        shard = names[number * len(names) // SHARDS : (number + 1) * len(names) // SHARDS]
        total += write_shard(folder / file, {name: shapes[name] for name in shard})
        index |= dict.fromkeys(shard, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return total


def write_shard(path: Path, shapes: dict[str, list[int]]) -> int:
    """Write bfloat16 tensors, piece by piece; returns their bytes."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header).encode()
    piece = torch.randn(1 << 24).bfloat16().view(torch.int16).numpy().tobytes()
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for begin in range(0, end, len(piece)):
            file.write(piece[: end - begin])
    return end


def measure(way: str, folder: Path, size: int) -> dict[str, float]:
    """Load in a new process and relate its memory to the size of the weights."""
    command = [sys.executable, __file__, "--load", way, str(folder)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    peak, peak_fused, loaded, fused = json.loads(output.splitlines()[-1])
    return {
        "peak memory, times the size": round(peak / size, 3),
        "with fused layers, times the size": round(peak_fused / size, 3),
        "seconds until it is read": round(loaded, 1),
        "seconds until it is fused": round(fused, 1),
    }


def load(way: str, folder: Path) -> tuple[int, int, float, float]:
    """Load, read and fuse in this process.

    Returns:
        Peak memory in bytes after reading and after fusing, without what Python and the libraries
        take, and the seconds until then.
    """
    loaders: dict[str, Callable[[], Any]] = {
        "segzero": lambda: load_model(
            AutoModelForImageTextToText, folder, dtype="bfloat16", device=torch.device("cpu")
        ),
        "mapped": lambda: AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16),
    }
    before = resident("VmRSS")
    start = time.perf_counter()
    model = loaders[way]()
    for tensor in model.state_dict().values():
        tensor.aminmax()
    loaded = time.perf_counter() - start
    peak = resident("VmHWM") - before
    Decoder(model)
    return peak, resident("VmHWM") - before, loaded, time.perf_counter() - start


def resident(kind: str) -> int:
    """Bytes of this process in memory: `VmRSS` now, `VmHWM` at most so far."""
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc has no {kind}")


if __name__ == "__main__":
    sys.exit(main())
