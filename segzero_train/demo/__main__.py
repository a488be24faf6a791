"""`python -m segzero_train.demo`: train the demo profile from nothing into checkpoints/demo.

Interrupted, the same command goes on where it stopped: rendered scenes and training states are kept
in the run's folder.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
from transformers import Sam2VideoModel

from segzero.devices import resolve_device
from segzero.pipeline import SegZero
from segzero_sim.tabletop import NoOpenGL
from segzero_train.datasets import tabletop
from segzero_train.demo.card import write_card
from segzero_train.demo.clips import render_clips
from segzero_train.demo.frames import SIDE, render_frames
from segzero_train.demo.memory import train_memory
from segzero_train.demo.reasoner import save_reasoner, train_reasoner
from segzero_train.demo.segmenter import save_segmenter, train_segmenter
from segzero_train.evaluate import evaluate, report, table

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m segzero_train.demo", description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs/demo", help="states and scenes")
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints/demo")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
    parser.add_argument("--scenes", type=int, default=20_000, help="training scenes to render")
    parser.add_argument("--segmenter-steps", type=int, default=4_500)
    parser.add_argument("--clips", type=int, default=1_000, help="training clips to render")
    parser.add_argument("--memory-steps", type=int, default=9_000)
    parser.add_argument("--looking-steps", type=int, default=1_000)
    parser.add_argument("--writing-steps", type=int, default=1_000)
    parser.add_argument("--naming-steps", type=int, default=400)
    parser.add_argument("--matching-steps", type=int, default=750)
    parser.add_argument("--questions", type=int, default=300, help="test questions for the card")
    options = parser.parse_args(arguments)
    device = resolve_device(options.device)
    try:
        frames = render_frames(options.run / "frames", options.scenes, os.cpu_count() or 1)
    except NoOpenGL as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    segmenter = train_segmenter(frames, options.run, options.segmenter_steps, device)
    save_segmenter(segmenter.cpu(), options.out / "segmenter")
    clips = render_clips(options.run / "clips", options.clips, os.cpu_count() or 1)
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
    save_reasoner(reasoner.cpu(), processor, options.out / "reasoner")
    figures = report(
        evaluate(SegZero.load("demo", options.device), tabletop.samples("test", options.questions)),
        "lisa",
    )
    print(table(figures))
    (options.run / "scores.json").write_text(json.dumps(figures, indent=2) + "\n")
    write_card(options.out, vars(options), figures, SIDE)
    return 0


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count() or 1)
    sys.exit(main())
