"""`python -m segzero_train.demo`: train the demo profile from scratch into checkpoints/demo.

Supervised training makes the segmenter and a reasoner. The reasoner becomes `base`, which seldom
thinks, and GRPO by the recipe `demo` makes of it the `reasoner`. With `--start` the supervised
models are those of a folder. Interrupted, the same command continues where it stopped: rendered
scenes and training states are kept in the run's folder.
"""

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Sam2VideoModel

from segzero.devices import resolve_device
from segzero.errors import SegZeroError
from segzero.files import write_text_whole
from segzero.pipeline import SegZero
from segzero.profiles import Profile, load_profile
from segzero.terminal import escape_unprintable
from segzero_sim.tabletop import NoOpenGL
from segzero_train.datasets import tabletop
from segzero_train.demo.base import load_reasoner, save_base, train_base
from segzero_train.demo.card import write_card
from segzero_train.demo.clips import render_clips
from segzero_train.demo.frames import SIDE, Frames, render_frames
from segzero_train.demo.memory import train_memory
from segzero_train.demo.reasoner import save_reasoner, train_reasoner
from segzero_train.demo.reinforced import reinforce
from segzero_train.demo.segmenter import save_segmenter, train_segmenter
from segzero_train.evaluation.scores import report, table
from segzero_train.evaluation.scoring import evaluate

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        run: Folder for rendered scenes and training states.
        out: Folder for the checkpoints.
        start: Folder with a segmenter and a supervised reasoner to start from; None trains both.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        scenes: Training scenes to render.
        segmenter_steps: Training steps of the segmenter.
        clips: Training clips to render.
        memory_steps: Training steps of the video memory.
        looking_steps: Training steps of the reasoner's vision tower.
        writing_steps: Training steps with next tokens.
        naming_steps: Training steps on questions of category 1.
        matching_steps: Training steps on questions of all categories.
        base_steps: Training steps that make the reasoner seldom think.
        grpo_steps: Training steps of GRPO; 0 for those of the recipe.
        questions: Test questions for the card.
    """

    run: Path
    out: Path
    start: Path | None
    device: str
    scenes: int
    segmenter_steps: int
    clips: int
    memory_steps: int
    looking_steps: int
    writing_steps: int
    naming_steps: int
    matching_steps: int
    base_steps: int
    grpo_steps: int
    questions: int


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 where nothing can be rendered or trained."""
    escape_unprintable()
    options = Options(**vars(_parser().parse_args(arguments)))
    try:
        _train(options)
    except (NoOpenGL, SegZeroError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m segzero_train.demo", description=__doc__)
    add = parser.add_argument
    add("--run", type=Path, default=ROOT / "runs/demo", help="states and scenes")
    add("--out", type=Path, default=ROOT / "checkpoints/demo")
    add("--start", type=Path, metavar="DIR", help="start from its segmenter/ and reasoner/")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    add("--scenes", type=int, default=20_000, help="training scenes to render")
    add("--segmenter-steps", type=int, default=4_500)
    add("--clips", type=int, default=1_000, help="training clips to render")
    add("--memory-steps", type=int, default=9_000)
    add("--looking-steps", type=int, default=1_000)
    add("--writing-steps", type=int, default=1_000)
    add("--naming-steps", type=int, default=400)
    add("--matching-steps", type=int, default=750)
    add("--base-steps", type=int, default=80)
    add("--grpo-steps", type=int, default=0, help="default: those of the recipe grpo/demo")
    add("--questions", type=int, default=300, help="test questions for the card")
    return parser


def _train(options: Options) -> None:
    device = resolve_device(options.device)
    processes = os.cpu_count() or 1
    frames = render_frames(options.run / "frames", options.scenes, processes)
    if options.start is None:
        supervised = _train_supervised(options, frames, processes, device)
    else:
        supervised = options.start / "reasoner"
        _copy(options.start / "segmenter", options.out / "segmenter")
    # Loaded before anything overwrites it: `start` may be `out`.
    model, processor = load_reasoner(supervised)
    model = train_base(model, processor, frames, options.run, options.base_steps, device)
    save_base(model.cpu(), processor, options.out / "base")
    _copy(
        reinforce(options.out / "base", options.run, options.grpo_steps), options.out / "reasoner"
    )
    figures = score(options.out, options.device, options.questions)
    print(table(figures))
    write_text_whole(options.run / "scores.json", json.dumps(figures, indent=2) + "\n")
    write_card(options.out, asdict(options), figures, SIDE)


def _train_supervised(
    options: Options, frames: Frames, processes: int, device: torch.device
) -> Path:
    """Train segmenter and reasoner; returns the reasoner's folder."""
    segmenter = train_segmenter(frames, options.run, options.segmenter_steps, device)
    save_segmenter(segmenter.cpu(), options.out / "segmenter")
    clips = render_clips(options.run / "clips", options.clips, processes)
    video = Sam2VideoModel.from_pretrained(options.out / "segmenter")
    video = train_memory(video, clips, options.run, options.memory_steps, device)
    video.cpu().save_pretrained(options.out / "segmenter")
    steps = (
        options.looking_steps,
        options.writing_steps,
        options.naming_steps,
        options.matching_steps,
    )
    reasoner, processor = train_reasoner(frames, options.run, steps, device)
    save_reasoner(reasoner.cpu(), processor, options.run / "supervised")
    return options.run / "supervised"


def demo_profile(folder: Path) -> Profile:
    """The profile `demo` with the models of a folder.

    Args:
        folder: Holds `reasoner/` and `segmenter/`.

    Returns:
        The profile.
    """
    here = folder.resolve()
    return replace(
        load_profile("demo"), reasoner=str(here / "reasoner"), segmenter=str(here / "segmenter")
    )


def score(folder: Path, device: str, questions: int) -> dict[str, Any]:
    """Evaluate the models of a folder on questions of the test split.

    Args:
        folder: Holds `reasoner/` and `segmenter/`.
        device: `auto`, `cpu`, `cuda`, …
        questions: How many.

    Returns:
        `scores.report` in the convention lisa.
    """
    model = SegZero.load(demo_profile(folder), device)
    return report(evaluate(model, tabletop.samples("test", questions)), "lisa")


def _copy(source: Path, target: Path) -> None:
    if source.resolve() != target.resolve():
        shutil.copytree(source, target, dirs_exist_ok=True)


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count() or 1)
    sys.exit(main())
