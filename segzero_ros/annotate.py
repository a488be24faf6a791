"""Annotate a recorded bag: ask once, follow the objects through every frame, write what is seen.

It needs no running node and no ROS. It writes a folder that `python -m segzero_train.prepare
folder` reads, or a bag of masks. Either is written whole or not at all.
"""

import argparse
import math
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tqdm import tqdm
from transformers.utils.logging import disable_progress_bar

from segzero.errors import BadQuestion, SegZeroError
from segzero.files import written_whole
from segzero.pipeline import SegZero
from segzero.reasoning.prompts import clean_question
from segzero.terminal import escape_unprintable, utf8_argument
from segzero_ros.bags.dataset import DatasetWriter, writing_dataset
from segzero_ros.bags.mask_bag import MaskBagWriter, writing_mask_bag
from segzero_ros.bags.object_tracks import ObjectTracks
from segzero_ros.bags.recording import BadBag, ImageTopic, open_images

_MCAP = ".mcap"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments; None takes those of the process.

    Returns:
        0, 1 if the models failed or nothing was found, 2 if bag, topic, question or --out can't be
        used, 130 after an interruption.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # both end it with nothing left behind
        signal.signal(number, signal.default_int_handler)
    escape_unprintable()
    arguments = _parser().parse_args(argv)
    try:
        clean_question(arguments.question)
        if reason := _out_rejection(arguments):
            return _fail(reason, 2)
        with open_images(arguments.bag, arguments.topic) as topic:
            print(_annotate(topic, arguments))
    except (BadBag, BadQuestion) as error:
        return _fail(error, 2)
    except (SegZeroError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted, nothing was written", 130)
    return 0


def _annotate(topic: ImageTopic, arguments: argparse.Namespace) -> str:
    """Write what is seen; return what was done, in words."""
    question = arguments.question.strip()
    if not sys.stderr.isatty():
        disable_progress_bar()  # of the weights
    segzero = SegZero.load(arguments.profile, arguments.device)
    tracks = ObjectTracks(segzero, question, arguments.reask)
    images = tqdm(topic, total=topic.count, unit="frame", disable=None)
    with (
        written_whole(arguments.out) as partial,
        _writing(partial, arguments, topic) as writer,
    ):
        for frame in tracks.annotate(images):
            writer.add(frame)
        info = {
            "description": f"{arguments.bag.resolve().name}, {topic.name}",
            "question": question,
            "profile": str(arguments.profile),
            "left_out": tracks.left_out.count,
        }
        writer.finish(info)
    segzero.close()
    lines = [
        f"{arguments.out}: {writer.frames} frames of {topic.name}, {writer.annotated} of them "
        f"with objects, {tracks.count} objects, asked {tracks.asked} times"
    ]
    if left_out := tracks.left_out.count:
        lines.append(f"left out {left_out} frames, the first because {tracks.left_out.reason}")
    return "\n".join(lines)


def _writing(
    path: Path, arguments: argparse.Namespace, topic: ImageTopic
) -> AbstractContextManager[DatasetWriter | MaskBagWriter]:
    question, out = arguments.question.strip(), arguments.out
    if _writes_bag(arguments):
        return writing_mask_bag(path, out.stem if out.suffix == _MCAP else out.name, question)
    return writing_dataset(path, question, topic.rate)


def _writes_bag(arguments: argparse.Namespace) -> bool:
    return arguments.format == "bag" or (not arguments.format and arguments.out.suffix == _MCAP)


def _out_rejection(arguments: argparse.Namespace) -> str:
    """Why nothing can be written there; empty if it can."""
    out = arguments.out
    if out.exists() or out.is_symlink():
        return f"{out} exists: name a new folder or bag as --out"
    if out.suffix in (".db3", ".bag") and arguments.format != "dataset":
        return f"bags are written as mcap: name {out.with_suffix(_MCAP)} as --out"
    if not out.absolute().parent.is_dir():
        return f"can't write {out}: there is no folder {out.parent}"
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="annotate", description=__doc__)
    parser.add_argument("bag", type=Path, help="a bag's folder, or its mcap or db3 file")
    parser.add_argument(
        "question", type=utf8_argument, help="what to look for, such as 'the red ball'"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR|BAG",
        help="a new folder, or an mcap file for masks and overlays with the pictures' stamps",
    )
    parser.add_argument(
        "--format",
        choices=("dataset", "bag"),
        help="of --out (default: bag for a name that ends in .mcap, else dataset)",
    )
    parser.add_argument("--topic", help="with the images (default: the only image topic)")
    parser.add_argument(
        "--reask",
        type=_seconds,
        metavar="S",
        help="while nothing is found or an object is lost, ask again every S seconds of the "
        "recording (default: ask once)",
    )
    parser.add_argument(
        "--profile", default="demo", help="name or YAML file (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)"
    )
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number of seconds above 0")
    return seconds


def _fail(reason: object, code: int) -> int:
    print(f"annotate: {' '.join(str(reason).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
