"""What the tests of `evaluate` share: the command run here, and what it leaves in its folder."""

import json
from pathlib import Path

from segzero_train import evaluate


def run(*arguments: str) -> int:
    return evaluate.main(["--device", "cpu", *arguments])


def answers(folder: Path) -> list[str]:
    files = sorted(folder.glob("results-*.jsonl"))
    return [line for file in files for line in file.read_text().splitlines() if line]


def scores(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text())
