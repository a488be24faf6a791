"""`python benchmarks/train.py`: completions per second of GRPO by stage, against TRL's own trainer.

Both train the demo's base by its recipe: same weights, data, batches, rewards and seeds, in turn.
The plain one is TRL's GRPOTrainer as one would set it up by hand. Each starts again from the first
weights in every repetition, so that both should write the same completions. All goes into
`benchmarks/results/train.json`.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import Any

import records
import torch

RECIPE = "demo"
ROWS = 64
"""Of the dataset: eight steps until they come again."""
STAGES = ("prepare images", "generate", "reward", "update")
"""Rows and processor; generation; rewards; log-probabilities, loss, backward pass, optimizer."""

Moment = tuple[float, float]
"""Seconds and processor seconds, counted from anywhere."""

Times = dict[str, tuple[float, float]]
"""Stage → seconds, processor seconds."""


@dataclass(slots=True)
class Run:
    """The steps of a repetition by stage, and what was written in the last of them."""

    steps: list[Times] = field(default_factory=list)
    completions: list[str] = field(default_factory=list)


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1, help="in a repetition; default: 1")
    parser.add_argument("--repeats", type=int, default=4, help="default: %(default)s")
    options = parser.parse_args()
    if min(options.steps, options.repeats) < 1:
        parser.error("it takes at least one step and one repetition")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with tempfile.TemporaryDirectory() as folder:
        figures = summary(*measure(options.steps, options.repeats, Path(folder)))
    of = {
        "recipe": RECIPE,
        "steps": options.steps,
        "repetitions": options.repeats,
        "threads": torch.get_num_threads(),
    }
    libraries = ("torch", "transformers", "trl")
    records.record(of | figures, libraries, records.RESULTS / "train.json")
    print(table(figures))
    return 0


def measure(
    steps: int, repeats: int, folder: Path, **changes: object
) -> tuple[int, list[Run], list[Run]]:
    """Completions of a step, and the repetitions of the plain trainer and of this project's.

    `changes` are settings that take the place of the recipe's.
    """
    from segzero_train.grpo import build_trainer

    ways = [
        _ready(plain_trainer, folder / "plain", changes),
        _ready(build_trainer, folder / "fast", changes),
    ]
    for way in ways:
        way(seed=0, steps=1)  # the warm-up
    runs: tuple[list[Run], list[Run]] = ([], [])
    for seed in range(1, repeats + 1):
        for number in (0, 1) if seed % 2 else (1, 0):
            runs[number].append(ways[number](seed=seed, steps=steps))
    return len(runs[0][0].completions), *runs


def plain_trainer(options: Any, config: Any) -> Any:
    """TRL's own trainer of the same model on the same rows for the same rewards."""
    from transformers import AutoProcessor
    from trl import GRPOTrainer

    from segzero.loading import load_segmenter
    from segzero.profiles import load_profile
    from segzero.weights import resolve_weights
    from segzero_train.datasets.loading import load_rows
    from segzero_train.rewards import RewardContext, build_rewards
    from segzero_train.training.model import freeze
    from segzero_train.training.preprocessing import model_space, training_row

    profile = load_profile(options.profile)
    weights = str(resolve_weights(profile.reasoner, profile.name))
    processor = AutoProcessor.from_pretrained(weights, padding_side="left")
    space = model_space(profile, processor)

    def rewritten(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        rows = [
            training_row(dict(zip(batch, values, strict=True)), space)
            for values in zip(*batch.values(), strict=True)
        ]
        return {key: [row[key] for row in rows] for key in rows[0]}

    segmenter = load_segmenter(profile, config.device)
    context = RewardContext(space.size, space.completion_format, segmenter)
    functions: Any
    functions, config.reward_weights = build_rewards(options.rewards, context)
    rows = load_rows(options.dataset, options.dataset_split, options.dataset_size)
    trainer = GRPOTrainer(
        model=weights,
        reward_funcs=functions,
        args=config,
        train_dataset=rows.with_transform(rewritten),
        processing_class=processor,
    )
    freeze(trainer.model, vision=options.freeze_vision)
    return trainer


def _ready(
    build: Callable[[Any, Any], Any], folder: Path, changes: Mapping[str, object]
) -> Callable[..., Run]:
    """Build a trainer by the recipe, without all that is watched or saved; return what runs it."""
    from transformers import PrinterCallback
    from trl import GRPOConfig

    from segzero_train.recipe import GrpoOptions, read_recipe

    settings = {
        "dataset_size": ROWS,
        "output_dir": folder,
        "held_out_size": 0,
        "samples_every": 0,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        **changes,
    }
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    recipe = ["--config", RECIPE, *words]
    trainer = build(*read_recipe((GrpoOptions, GRPOConfig), recipe))
    trainer.remove_callback(PrinterCallback)
    return partial(_run, trainer, deepcopy(trainer.model.state_dict()), Clock(trainer))


def _run(trainer: Any, weights: dict[str, Any], clock: "Clock", *, seed: int, steps: int) -> Run:
    from transformers import set_seed

    trainer.model.load_state_dict(weights)
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.args.max_steps = steps
    set_seed(seed)
    trainer.train()
    written = [completion[-1]["content"] for completion in trainer._logs["completion"]]
    return Run(clock.take(), written)


def now() -> Moment:
    """Of this process."""
    return time.perf_counter(), time.process_time()


class Clock:
    """Tells how a trainer's steps are spent; time inside of two stages counts for the inner one."""

    def __init__(self, trainer: Any, now: Callable[[], Moment] = now) -> None:
        from transformers import TrainerCallback

        self._now = now
        self._steps: list[Times] = []
        self._stage = "update"
        self._spent: dict[str, Any] = {}
        self._last = (0.0, 0.0)
        self._reset()
        self._watch(trainer, "get_batch_samples", "prepare images")
        self._watch(trainer, "_generate_and_score_completions", "prepare images")
        self._watch(trainer, "_calculate_rewards", "reward")
        self._watch(trainer, "_generate_single_turn", "generate")
        callback = TrainerCallback()
        callback.on_train_begin = lambda *_, **__: self._reset()  # type: ignore[method-assign]
        callback.on_step_end = lambda *_, **__: self._end()  # type: ignore[method-assign]
        trainer.add_callback(callback)

    def take(self) -> list[Times]:
        """The steps since the last call."""
        steps, self._steps = self._steps, []
        return steps

    @contextmanager
    def stage(self, name: str) -> Any:
        """What happens meanwhile belongs to this stage."""
        self._lap()
        before, self._stage = self._stage, name
        try:
            yield
        finally:
            self._lap()
            self._stage = before

    def _watch(self, owner: Any, name: str, stage: str) -> None:
        method = getattr(owner, name)

        @wraps(method)
        def watched(*arguments: Any, **named: Any) -> Any:
            with self.stage(stage):
                return method(*arguments, **named)

        setattr(owner, name, watched)

    def _lap(self) -> None:
        now = self._now()
        spent = self._spent[self._stage]
        self._spent[self._stage] = tuple(
            done + end - start for done, end, start in zip(spent, now, self._last, strict=True)
        )
        self._last = now

    def _end(self) -> None:
        self._lap()
        self._steps.append(dict(self._spent))
        self._reset()

    def _reset(self) -> None:
        self._spent = defaultdict(lambda: (0.0, 0.0))
        self._last = self._now()


def summary(completions: int, plain: list[Run], fast: list[Run]) -> dict[str, Any]:
    """By stage and in all: completions per second, processor seconds, and the ratios of steps."""
    pairs = [
        (_whole(before), _whole(after))
        for one, other in zip(plain, fast, strict=True)
        for before, after in zip(one.steps, other.steps, strict=True)
    ]
    alike = [
        text == again
        for one, other in zip(plain, fast, strict=True)
        for text, again in zip(one.completions, other.completions, strict=True)
    ]
    sides = {"plain": [pair[0] for pair in pairs], "fast": [pair[1] for pair in pairs]}
    names = (*STAGES, "step")
    return {
        "completions of a step": completions,
        "steps measured": len(pairs),
        "completions per second": {
            side: {
                name: records.spread([completions / step[name][0] for step in steps], 2)
                for name in names
            }
            for side, steps in sides.items()
        },
        "processor seconds of a step": {
            side: {name: records.spread([step[name][1] for step in steps], 2) for name in names}
            for side, steps in sides.items()
        },
        "times as fast": _ratios(pairs, names, 0),
        "times less of the processor": _ratios(pairs, names, 1),
        "same completions": f"{sum(alike)} of {len(alike)}",
    }


def _whole(step: Times) -> Times:
    return step | {"step": (sum(t[0] for t in step.values()), sum(t[1] for t in step.values()))}


def _ratios(pairs: list[tuple[Times, Times]], names: tuple[str, ...], which: int) -> dict[str, Any]:
    return {
        name: records.spread([one[name][which] / other[name][which] for one, other in pairs], 2)
        for name in names
    }


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    rate, ratio = figures["completions per second"], figures["times as fast"]
    less = figures["times less of the processor"]
    rows: list[tuple[str, ...]] = [
        ("completions per second", "plain", "fast", "times as fast", "less of the processor")
    ]
    for name in (*STAGES, "step"):
        cells = (rate["plain"][name], rate["fast"][name], ratio[name], less[name])
        shown = (f"{cell['median']} ({cell['25 %']}–{cell['75 %']})" for cell in cells)
        rows.append((name, *shown))
    return (
        f"{records.table(rows)}\n{figures['steps measured']} steps of "
        f"{figures['completions of a step']}; same completions: {figures['same completions']}"
    )


if __name__ == "__main__":
    sys.exit(main())
