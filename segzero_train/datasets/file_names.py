"""Finds a file by the name that an annotation gives, which may come from another system."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from segzero_train.datasets.skipped import Unusable


def name_parts(name: str) -> tuple[str, ...]:
    r"""The folders and the file in a name, such as `a\b.png`, written on any system."""
    return PurePosixPath(name.strip().replace("\\", "/")).parts


def find_file(name: str, folders: Sequence[Path], *, any_folder: bool = False) -> Path:
    """Find a file by its name, as written, without URL escapes, or in another Unicode form.

    Args:
        name: Of the file, perhaps with folders.
        folders: Where to search, in this order.
        any_folder: Whether leading folders of the name may be missing.

    Returns:
        The file; where it should be if there is none.

    Raises:
        Unusable: No file can have that name.
    """
    spellings = list(dict.fromkeys(name_parts(spelling) for spelling in _spellings(name)))
    try:
        for parts in filter(None, spellings):
            for start in range(len(parts) if any_folder else 1):
                for folder in folders:
                    if (file := folder.joinpath(*parts[start:])).is_file():
                        return file
    except (OSError, ValueError) as error:  # too long; no text of any file system
        shown = name if len(name) <= 100 else f"{name[:100]}…"
        raise Unusable("malformed annotation", f"{shown!r} can't be a file's name") from error
    return folders[0].joinpath(*spellings[0])


def _spellings(name: str) -> Iterator[str]:
    yield name
    address = name.partition("://")[2]
    for plain in (name, *([unquote(address.partition("?")[0])] if address else []), unquote(name)):
        yield plain
        yield unicodedata.normalize("NFC", plain)
        yield unicodedata.normalize("NFD", plain)
