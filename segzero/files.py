"""Files and folders that are written whole or not at all, and YAML files that are read."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from segzero.errors import SegZeroError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Hand out a path to write to, which becomes `path` at the end of the block.

    After an error or an interruption inside the block, `path` is as it was before.

    Args:
        path: The file or folder to make; an existing file is replaced, an existing folder only if
            it is empty. Its parent must exist.

    Yields:
        A path in the same folder with the same suffix, at which nothing exists yet.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    _remove(partial)  # of a process that was killed
    try:
        yield partial
        partial.replace(path)
    finally:
        _remove(partial)


def write_text_whole(path: Path, text: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_mapping(
    path: Path, kind: str, error: type[SegZeroError], *, unique: bool = False
) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Args:
        path: The file.
        kind: What messages call it, such as `profile`.
        error: What is raised if it can't be read; the message is one line.
        unique: Whether a key that stands twice is an error. Else the last one counts.

    Returns:
        Its content.
    """
    try:
        content = yaml.load(
            path.read_text(encoding="utf-8"), _UniqueKeys if unique else yaml.SafeLoader
        )
    except OSError as cause:
        raise error(f"can't read the {kind} {path}: {cause.strerror}") from cause
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        reason = " ".join(str(cause).split())
        raise error(f"the {kind} {path} isn't valid YAML: {reason}") from cause
    if not isinstance(content, dict):
        raise error(f"the {kind} {path} isn't a YAML mapping")
    return content


class _UniqueKeys(yaml.SafeLoader):
    """Plain data, in which no key stands twice: of two, YAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := sorted({str(name) for name in names if names.count(name) > 1}):
            raise yaml.YAMLError(f"{', '.join(repeated)} stands there twice")
        return super().construct_mapping(node, deep)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
