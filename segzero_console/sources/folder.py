"""A folder of pictures."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segzero.pictures import WRITTEN, read_picture
from segzero_console.messages import SourceInfo
from segzero_console.sources.source import EndOfSource, SourceError

_SUFFIXES = (*WRITTEN, ".gif")


class FolderSource:
    """The pictures that lie in a folder, by name: 2.png before 10.png.

    Args:
        path: The folder.

    Raises:
        SourceError: It has none.
    """

    def __init__(self, path: Path) -> None:
        self.files = sorted(
            (
                file
                for file in path.iterdir()
                if file.suffix.lower() in _SUFFIXES and file.is_file()
            ),
            key=_natural,
        )
        if not self.files:
            raise SourceError(f"{path} holds no pictures ({', '.join(_SUFFIXES)})")
        self.info = SourceInfo("folder", path.resolve().name, live=False, length=len(self.files))
        self.rate = 2.0

    def read(self, index: int) -> NDArray[np.uint8]:
        """Read a picture.

        Raises:
            BadImage: It can't be used.
            EndOfSource: There is none.
        """
        if not 0 <= index < len(self.files):
            raise EndOfSource
        return read_picture(self.files[index])

    def close(self) -> None:
        """Do nothing: no file is open."""


def _natural(file: Path) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by value."""
    parts = re.findall(r"\d+|\D+", file.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
