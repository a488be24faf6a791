"""The `segzero` command: ask a question about a picture, fetch weights, list profiles."""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from segzero import __version__
from segzero.checkpoint_check import CheckpointReport, check_checkpoint
from segzero.errors import BadImage, BadQuestion, CheckpointError, SegZeroError
from segzero.hub_names import is_hub_name
from segzero.pictures import check_writable, read_picture, write_picture
from segzero.profiles import load_profile, profile_names, resource_root
from segzero.reasoning.server_url import split_credentials
from segzero.terminal import escape_unprintable, utf8_argument
from segzero.types import Segmentation

_FURTHER = "segzero.commands"
"""Group of entry points in which other packages offer commands, called with the arguments."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments; those of the process by default.

    Returns:
        The exit status: 0, 1 if the command failed, 2 if image or question is unusable.
    """
    escape_unprintable()
    given = list(sys.argv[1:] if argv is None else argv)
    if given and (further := entry_points(group=_FURTHER, name=given[0])):
        status: int = next(iter(further)).load()(given[1:])
        return status
    arguments = _parser().parse_args(given)
    try:
        arguments.run(arguments)
    except (BadImage, BadQuestion) as error:
        return _fail(error, 2)
    except (SegZeroError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    further = ", ".join(sorted(entry_points(group=_FURTHER).names))
    more = f"Further commands: {further}." if further else None
    parser = argparse.ArgumentParser(prog="segzero", description=__doc__, epilog=more)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ask = commands.add_parser("ask", help="answer a question about a picture")
    ask.add_argument("image", type=Path, help="a picture file (PNG, JPEG, …)")
    ask.add_argument(
        "question", type=utf8_argument, help="what to look for, such as 'the red ball'"
    )
    ask.add_argument("--profile", default="demo", help="name or YAML file (default: %(default)s)")
    ask.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)")
    ask.add_argument("--out", type=Path, metavar="FILE", help="write the picture with the masks")
    ask.add_argument("--json", action="store_true", help="print the result as JSON")
    ask.set_defaults(run=_ask)

    fetch = commands.add_parser("fetch", help="download the weights of a profile")
    fetch.add_argument(
        "what",
        metavar="PROFILE",
        help="name or YAML file; or weights on the Hub, as owner/name or owner/name@revision",
    )
    fetch.set_defaults(run=_fetch)

    profiles = commands.add_parser("profiles", help="list the profiles, or find a checkpoint's")
    profiles.add_argument(
        "--check",
        type=Path,
        metavar="FOLDER",
        help="say for which prompt, coordinates and segmenter a checkpoint was made",
    )
    profiles.add_argument("--json", action="store_true", help="print what --check says as JSON")
    profiles.set_defaults(run=_profiles)
    return parser


def _ask(arguments: argparse.Namespace) -> None:
    from segzero.checks import check_image
    from segzero.pipeline import SegZero  # here: `segzero profiles` needs no models
    from segzero.reasoning.prompts import clean_question

    image = read_picture(arguments.image)
    check_image(image)
    if arguments.out:
        check_writable(arguments.out, (image.shape[1], image.shape[0]))
    clean_question(arguments.question)
    if not sys.stderr.isatty():
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]
    segzero = SegZero.load(arguments.profile, arguments.device)
    try:
        result = segzero.ask(image, arguments.question)
    except SegZeroError:
        raise
    except Exception:
        segzero.warm_up()  # raises CheckpointError if a file beside the weights is wrong
        raise
    if arguments.out:
        from segzero import overlay

        write_picture(arguments.out, overlay.draw(image, result))
    print(json.dumps(_summary(result)) if arguments.json else _text(result))


def _fetch(arguments: argparse.Namespace) -> None:
    from segzero.hub import fetch
    from segzero.licences import licence_line

    for weights in _weights(arguments.what):
        print(f"{weights}: {fetch(weights)}", flush=True)
        if not Path(weights).is_absolute():
            print(licence_line(weights), flush=True)


def _weights(what: str) -> tuple[str, ...]:
    """What runs here of a profile, or the Hub name itself."""
    if is_hub_name(what.partition("@")[0]):
        return (what,)
    try:
        profile = load_profile(what)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; what a recipe needs is fetched by "
            f"`python -m segzero_train.fetch {shlex.quote(what)}`"
        ) from error
    return (profile.segmenter,) if profile.server else (profile.reasoner, profile.segmenter)


def _profiles(arguments: argparse.Namespace) -> None:
    if arguments.check is not None:
        report = check_checkpoint(arguments.check)
        print(json.dumps(asdict(report), default=str) if arguments.json else _report(report))
        return
    names = profile_names()
    for name in names:
        profile = load_profile(name)
        server = f" ({split_credentials(profile.server)[0]})" if profile.server else ""
        print(f"{name:{max(map(len, names))}}  {profile.summary}{server}")
    print(f"\nTo change one, copy its file from {resource_root() / 'config' / 'profiles'}")


def _summary(result: Segmentation) -> dict[str, Any]:
    return {
        "question": result.question,
        "reasoning": result.reasoning,
        "text": result.text,
        "size": list(result.size),
        "objects": [
            {
                "id": item.id,
                "box": [item.box.x1, item.box.y1, item.box.x2, item.box.y2],
                "points": [[point.x, point.y] for point in item.points],
                "score": item.score,
                "area": int(item.mask.sum()),
                "label": item.label,
            }
            for item in result.objects
        ],
        "dropped": list(result.dropped),
    }


def _text(result: Segmentation) -> str:
    lines = [result.reasoning] if result.reasoning else []
    if not result.objects:
        lines.append("nothing matches")
    for item in result.objects:
        x1, y1, x2, y2 = (round(v) for v in (item.box.x1, item.box.y1, item.box.x2, item.box.y2))
        lines.append(
            f"{item.id}: box {x1},{y1} to {x2},{y2}, {int(item.mask.sum())} pixels, "
            f"score {item.score:.2f}{item.label and f', {item.label}'}"
        )
    lines += [f"left out: {line}" for line in result.dropped]
    return "\n".join(lines)


def _report(report: CheckpointReport) -> str:
    lines = [f"{report.folder}: {report.kind}, {report.model}"]
    for key, finding in report.settings.items():
        value = "unknown" if finding.value is None else finding.value
        lines.append(f"  {key}: {value} ({finding.evidence})")
    lines += [f"  note: {note}" for note in report.notes]
    if report.kind in ("reasoner", "adapter"):
        fitting = ", ".join(report.profiles) or "none of the shipped ones can be told to fit"
        lines.append(f"  profiles that fit: {fitting}")
    # What files of strangers say must not move the terminal's cursor.
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)


def _fail(reason: object, code: int) -> int:
    shown = "".join(c if c.isprintable() else " " for c in str(reason))
    print(f"segzero: {' '.join(shown.split())}", file=sys.stderr)
    return code
