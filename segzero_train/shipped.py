"""`python -m segzero_train.shipped [KIND/NAME]`: the shipped recipes and launch configurations.

Without a name it lists them all. With one, such as `accelerate/8gpu_zero3`, it prints the path of
the file:

    launch=$(python -m segzero_train.shipped accelerate/8gpu_zero3)
    accelerate launch --config_file $launch -m segzero_train.grpo --config seg_zero_7b
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from segzero.errors import SegZeroError
from segzero.terminal import escape_unprintable
from segzero_train.errors import BadRecipe

Kind = Literal["grpo", "sft", "accelerate", "deepspeed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_DEEPSPEED_FILE = "ACCELERATE_DEEPSPEED_CONFIG_FILE"
"""Where `accelerate launch` puts `deepspeed_config_file` of its configuration."""


def config_root() -> Path:
    """The folder of `grpo`, `sft`, `accelerate` and `deepspeed`.

    Returns:
        The installed package's own folder, or that of the source tree.

    Raises:
        BadRecipe: There is neither.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "config", package.parent / "config"):
        if (folder / "grpo").is_dir():
            return folder
    raise BadRecipe(f"no config/grpo in or beside {package}: install segzero again")


def shipped(kind: Kind) -> dict[str, Path]:
    """The shipped files of a kind by their names, sorted."""
    suffix = ".json" if kind == "deepspeed" else ".yaml"
    return {path.stem: path for path in sorted((config_root() / kind).glob(f"*{suffix}"))}


def find(kind: Kind, name_or_path: str) -> Path:
    """A shipped file by its name, or any by its path.

    Args:
        kind: The folder of the shipped file.
        name_or_path: A name without suffix, or a path.

    Returns:
        The file. A path that ends in a suffix or names a file is not looked up.

    Raises:
        BadRecipe: There is no shipped file of that name; the message lists all.
    """
    path = Path(name_or_path)
    if path.suffix or path.is_file():
        return path
    known = shipped(kind)
    if name_or_path not in known:
        raise BadRecipe(
            f"there is no {kind}/{name_or_path}: name one of {', '.join(known)}, or the path of a "
            f"file"
        )
    return known[name_or_path]


def listing(kind: Kind) -> str:
    """A line for each shipped file of a kind: its name and what its first line says of it."""
    files = shipped(kind)
    width = max(map(len, files))
    return "\n".join(f"{name:{width}}  {_summary(path)}".rstrip() for name, path in files.items())


def find_deepspeed_file() -> None:
    """Let the shipped accelerate configurations name their DeepSpeed file from any folder.

    They name it relative to the source tree. Where the current folder holds no such file, the
    shipped one is taken. Call it before a trainer's configuration is made.
    """
    file = Path(os.environ.get(_DEEPSPEED_FILE, ""))
    known = config_root() / "deepspeed" / file.name
    if file.parent == Path("config/deepspeed") and not file.is_file() and known.is_file():
        os.environ[_DEEPSPEED_FILE] = str(known)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    escape_unprintable()
    parser = argparse.ArgumentParser(
        prog="python -m segzero_train.shipped", description="Shipped recipes and configurations."
    )
    parser.add_argument("name", nargs="?", metavar="KIND/NAME", help="print this file's path")
    name = parser.parse_args(arguments).name
    try:
        if name is None:
            print("\n\n".join(f"{kind}:\n{listing(kind)}" for kind in KINDS))
        else:
            folder, _, stem = name.partition("/")
            kind = next((kind for kind in KINDS if kind == folder), None)
            if kind is None:
                raise BadRecipe(f"{name!r} isn't KIND/NAME; kinds are {', '.join(KINDS)}")
            print(find(kind, stem))
    except SegZeroError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _summary(path: Path) -> str:
    """The comment in the first line; empty without one."""
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    return first.removeprefix("#").strip() if first.startswith("#") else ""


if __name__ == "__main__":
    sys.exit(main())
