"""The file of one part of `gpu.py`, and the memory that is given back between its rows."""

import argparse
import gc
from typing import Any

import gpu
import records
import torch

_LIBRARIES = ("torch", "transformers")


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
        self.out = options.out
        self._rows: list[dict[str, Any]] = []

    def row(self, **figures: Any) -> None:
        """Add a row."""
        if torch.cuda.is_available():
            figures["peak GPU memory [GB]"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
            torch.cuda.reset_peak_memory_stats()
        self._rows.append(figures)
        records.record({**self._head, "rows": self._rows}, _LIBRARIES, self.out)
        print(figures, flush=True)

    def nothing(self, reason: str) -> None:
        """Say why nothing is measured; rows that are there stay."""
        reason = " ".join(reason.split())
        missed = {"missed": reason, "rows": self._rows} if self._rows else {"not measured": reason}
        records.record({**self._head, **missed}, _LIBRARIES, self.out)
        print(reason, flush=True)


def free() -> None:
    """Give back the memory of models that nobody has any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
