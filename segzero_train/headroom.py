"""`python -m segzero_train.headroom --config RECIPE [--key value …]`: can GRPO gain anything here?

Reward can only strengthen what is sampled. Before a recipe costs days, this answers its held-out
questions greedily and several times at the training temperature. It says how much better the best
sample is than the greedy answer, in how many groups all samples earn the same, and which reward
tells the samples apart. Nothing is trained; it runs in one process.

`--held_out_size` questions are asked (here 100 at most, unless it is on the command line), each
sampled `num_generations` times. `--json FILE` writes the figures, too.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzero.files import write_text_whole
from segzero.metrics import bootstrap
from segzero.terminal import escape_unprintable, one_line_errors
from segzero_train.errors import BadRecipe
from segzero_train.recipe import GrpoOptions, read_recipe

if TYPE_CHECKING:
    from segzero_train.training.eval_scores import Scored

QUESTIONS = 100
_MOST_ALIKE = 0.8
"""With more groups whose samples all earn the same, little is left to learn from."""
_FORMAT = frozenset({"format", "thinking_format", "non_repeat", "overlong", "short_thinking"})
"""Rewards that don't look at what was found."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    escape_unprintable()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    words = list(sys.argv[1:] if arguments is None else arguments)
    with one_line_errors(OSError, interrupted="interrupted; nothing was written") as outcome:
        out = _take_json(words)
        figures = measure(words)
        print(describe(figures))
        if out is not None:
            write_text_whole(out, json.dumps(figures, indent=2) + "\n")
    return outcome.status


def measure(words: Sequence[str]) -> dict[str, Any]:
    """Ask a recipe's held-out questions.

    Args:
        words: The command line: `--config RECIPE` and what it overrides.

    Returns:
        See `headroom`.

    Raises:
        SegZeroError: The recipe or something that it names can't be used.
    """
    from trl import GRPOConfig

    from segzero_train.grpo import build_trainer
    from segzero_train.training.eval_callback import GreedyEvaluation

    with tempfile.TemporaryDirectory() as folder:
        unlogged = ["--output_dir", folder, "--report_to", "none"]
        options, config = read_recipe((GrpoOptions, GRPOConfig), [*words, *unlogged])
        if not options.held_out_size:
            raise BadRecipe("held_out_size is 0: name questions to ask, such as 100")
        asked = any(word.partition("=")[0].replace("-", "_") == "__held_out_size" for word in words)
        size = options.held_out_size if asked else min(options.held_out_size, QUESTIONS)
        trainer = build_trainer(replace(options, held_out_size=size, samples_every=0), config)
        evaluation = next(
            callback
            for callback in trainer.callback_handler.callbacks
            if isinstance(callback, GreedyEvaluation)
        )
        return headroom(*evaluation.compare(config.num_generations))


def headroom(greedy: Sequence["Scored"], sampled: Sequence["Scored"]) -> dict[str, Any]:
    """What GRPO could gain.

    Args:
        greedy: An answer to each question.
        sampled: Several samples of each.

    Returns:
        `questions`, `samples` of each, `giou` and `reward` (of `greedy` answers, the `sample_mean`
        and each question's `best`, and what the best is `above_greedy`, with its 95 % interval),
        `zero_variance` (the share of groups whose samples all earn the same), `variance_by_reward`,
        `by_category` (the same figures without intervals) and `verdict`.
    """
    from segzero_train.training.eval_scores import variance_shares

    categories = sorted({item.category for item in greedy})
    figures: dict[str, Any] = {
        "questions": len(greedy),
        "samples": len(sampled) // len(greedy),
        **_levels(greedy, sampled),
        "variance_by_reward": _rounded(variance_shares(sampled)),
        "by_category": {
            category: _levels(
                [item for item in greedy if item.category == category],
                [item for item in sampled if item.category == category],
            )
            for category in categories
        },
    }
    return figures | {"verdict": verdict(figures)}


def verdict(figures: dict[str, Any]) -> str:
    """One sentence on what the figures of `headroom` mean."""
    alike, shares = figures["zero_variance"], figures["variance_by_reward"]
    if alike > _MOST_ALIKE or not shares:
        return (
            f"In {alike:.0%} of the groups all samples earn the same, and GRPO learns nothing from "
            f"those: raise the temperature or num_generations, take graded rewards or other "
            f"questions."
        )
    reward, above = max(shares, key=shares.__getitem__), figures["giou"]["above_greedy"]
    follow = f"{reward} makes {shares[reward]:.0%} of the difference between samples"
    if above["low"] <= 0.01:
        return (
            f"The best of {figures['samples']} samples finds no more than the greedy answer: "
            f"reward has nothing to strengthen, so train with supervision first ({follow})."
        )
    gain = f"The best of {figures['samples']} samples is {above['value']:.2f} gIoU above the greedy"
    if reward in _FORMAT:
        return f"{gain} answer, but {follow}: GRPO will first learn the form of an answer."
    return f"{gain} answer, and {follow}: GRPO can gain, and will follow that reward."


def describe(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table, a line on the rewards, and the verdict."""
    best = f"best of {figures['samples']}"
    lines = [
        f"| questions | n | gIoU: greedy | sample mean | {best} | reward: greedy | sample mean | "
        f"{best} | groups that teach nothing |",
        f"|{' --- |' * 9}",
    ]
    rows = {f"category {name}": row for name, row in figures["by_category"].items()}
    for name, row in (rows | {"all": figures}).items():
        cells = [
            f"{row[metric][level]:.3g}"
            for metric in ("giou", "reward")
            for level in ("greedy", "sample_mean", "best")
        ]
        lines.append(
            f"| {name} | {row['questions']} | {' | '.join(cells)} | {row['zero_variance']:.0%} |"
        )
    shares = sorted(figures["variance_by_reward"].items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name} {share:.0%}" for name, share in shares) or "none"
    return "\n".join(
        [*lines, "", f"Difference between samples, by reward: {listed}.", figures["verdict"]]
    )


def _levels(greedy: Sequence["Scored"], sampled: Sequence["Scored"]) -> dict[str, Any]:
    from segzero_train.training.eval_scores import by_question, same_reward

    groups = by_question(sampled)
    return {
        "questions": len(greedy),
        "giou": _level(
            [item.overlap.iou for item in greedy],
            [[item.overlap.iou for item in groups[asked.id]] for asked in greedy],
        ),
        "reward": _level(
            [item.reward for item in greedy],
            [[item.reward for item in groups[asked.id]] for asked in greedy],
        ),
        "zero_variance": round(float(np.mean([*map(same_reward, groups.values())])), 4),
    }


def _level(greedy: Sequence[float], samples: Sequence[Sequence[float]]) -> dict[str, Any]:
    once, several = np.array(greedy), np.array(samples)  # (N,), (N, k)
    above = several.max(1) - once
    interval = bootstrap(lambda pick: float(above[pick].mean()), len(above))
    return {
        **_rounded(
            {
                "greedy": once.mean(),
                "sample_mean": several.mean(),
                "best": several.max(1).mean(),
            }
        ),
        "above_greedy": _rounded(
            {"value": interval.value, "low": interval.low, "high": interval.high}
        ),
    }


def _rounded(values: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in values.items()}


def _take_json(words: list[str]) -> Path | None:
    """Remove `--json FILE` from the command line; returns the file."""
    if "--json" not in words:
        return None
    place = words.index("--json")
    if place + 1 == len(words):
        raise BadRecipe("--json needs a file")
    out = Path(words[place + 1])
    if not out.absolute().parent.is_dir():
        raise BadRecipe(f"there is no folder {out.parent} to write {out.name} to: make it first")
    del words[place : place + 2]
    return out


if __name__ == "__main__":
    sys.exit(main())
