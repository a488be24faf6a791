"""`python benchmarks/rewards.py`: milliseconds that rewards take of a training step.

A step has 128 completions, as in the published recipes, here of 20 objects each, which is more than
the datasets have. All goes into `benchmarks/results/rewards.json`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import records

from segzero_train.rewards import REWARD_SETS, RewardFunction

COMPLETIONS, OBJECTS = 128, 20
_THINKING = "The cup stands left of the plate. " * 2 + "One more sentence about it. "


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50, help="default: %(default)s")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("it takes at least one repetition")
    figures = {
        "completions": COMPLETIONS,
        "objects of a completion": OBJECTS,
        "repetitions": options.repeats,
        "milliseconds of a step": measure(options.repeats),
    }
    records.record(figures, ("numpy", "scipy"), records.RESULTS / "rewards.json")
    print(json.dumps(figures, indent=2))
    return 0


def measure(repeats: int) -> dict[str, Any]:
    """The spread of the milliseconds that the multi-object set and each of its rewards take."""
    completions, solutions = step(COMPLETIONS, OBJECTS)
    rewards = REWARD_SETS["vision_reasoner"]
    taken = np.array([_taken(rewards, completions, solutions) for _ in range(repeats)])
    names = [reward.__name__ for reward in rewards]
    each = {name: records.spread(values, 2) for name, values in zip(names, taken.T, strict=True)}
    return {"vision_reasoner": records.spread(taken.sum(1), 2), **each}


def step(count: int, objects: int) -> tuple[list[str], list[str]]:
    """Completions near their solutions, with the objects in another order, and the solutions."""
    rng = np.random.default_rng(0)
    completions, solutions = [], []
    for _ in range(count):
        corners = rng.integers(0, 700, (objects, 2))
        boxes = np.hstack([corners, corners + rng.integers(20, 140, (objects, 2))])
        written = rng.permutation(boxes + rng.integers(-12, 12, boxes.shape))
        solutions.append(_text(boxes))
        completions.append(f"<think>{_THINKING}</think><answer>{_text(written)}</answer>")
    return completions, solutions


def _text(boxes: Any) -> str:
    return json.dumps(
        [
            {"bbox_2d": [x1, y1, x2, y2], "point_2d": [(x1 + x2) // 2, (y1 + y2) // 2]}
            for x1, y1, x2, y2 in boxes.tolist()
        ]
    )


def _taken(
    rewards: Sequence[RewardFunction], completions: list[str], solutions: list[str]
) -> list[float]:
    taken = []
    for reward in rewards:
        start = time.perf_counter()
        reward(completions, solutions)
        taken.append((time.perf_counter() - start) * 1000)
    return taken


if __name__ == "__main__":
    sys.exit(main())
