"""Training rows, in the layout that `python -m segzero_train.prepare folder` reads.

`questions.jsonl` has a line for each row; it is written last, so that every line has its files.
"""

import contextlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segzero.errors import BadPrompt, SegZeroError
from segzero.files import written_whole
from segzero.pictures import write_picture
from segzero.reasoning.prompts import clean_question

MAX_OBJECTS = 254
"""255 means "not counted" in a mask."""
_OTHER_LAYOUTS = ("questions.csv", "annotations.json")
_KNOWN_PICTURES = 64


class RowWriter:
    """Adds rows to a folder, which may have some already; for any thread.

    Args:
        folder: It is made with the first row.

    Raises:
        SegZeroError: The folder has another layout.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._pictures: dict[int, str] = {}  # names by stamp
        if there := [name for name in _OTHER_LAYOUTS if (folder / name).exists()]:
            raise SegZeroError(f"{folder} has {there[0]} already: name another folder for rows")
        if folder.exists() and not folder.is_dir():
            raise SegZeroError(f"{folder} is no folder: name another one for rows")
        self._count = self._read_count()

    @property
    def count(self) -> int:
        """How many rows the folder has."""
        return self._count

    def save(
        self,
        stamp: int,
        rgb: NDArray[np.uint8],
        question: str,
        masks: Sequence[NDArray[np.bool_]],
    ) -> int:
        """Add a row.

        Args:
            stamp: Of the picture; rows about one picture share its file.
            rgb: (H, W, 3) uint8 RGB.
            question: What means the objects.
            masks: (H, W) bool each; none says that nothing matches.

        Returns:
            How many rows the folder has now.

        Raises:
            BadQuestion: The question can't be used.
            BadPrompt: A mask is empty, or hidden by another one.
            OSError: The folder can't be written to.
        """
        clean_question(question)
        ids = _draw(masks, rgb.shape[:2])
        with self._lock:
            made: list[Path] = []
            try:
                row = self._write(stamp, rgb, question, ids if masks else None, made)
                row["ids"] = list(range(1, len(masks) + 1))
                self._append(json.dumps(row, ensure_ascii=False) + "\n")
            except BaseException:
                self._forget(stamp, made)
                raise
            self._count += 1
            return self._count

    def _write(
        self,
        stamp: int,
        rgb: NDArray[np.uint8],
        question: str,
        ids: NDArray[np.uint8] | None,
        made: list[Path],
    ) -> dict[str, Any]:
        """Write picture and mask, and note them in `made`; returns the row."""
        images, number = self.folder / "images", self._next_number()
        images.mkdir(parents=True, exist_ok=True)
        name = self._pictures.get(stamp)
        if name is None:
            name = f"{number:06}.png"
            made.append(images / name)
            write_picture(images / name, rgb)
            self._pictures[stamp] = name
            while len(self._pictures) > _KNOWN_PICTURES:
                del self._pictures[next(iter(self._pictures))]
        row = {"id": f"row-{number:06}", "image": f"images/{name}", "text": question.strip()}
        if ids is not None:
            row["mask"] = f"masks/{number:06}.png"
            made.append(self.folder / row["mask"])
            made[-1].parent.mkdir(exist_ok=True)
            with written_whole(made[-1]) as partial:
                Image.fromarray(ids).save(partial)
        return row

    def _forget(self, stamp: int, made: Sequence[Path]) -> None:
        """Remove the files of a row that could not be saved: on a full disk, they take room."""
        for file in made:
            with contextlib.suppress(OSError):
                file.unlink()
            if self._pictures.get(stamp) == file.name and file.parent.name == "images":
                del self._pictures[stamp]

    def _append(self, line: str) -> None:
        """Add a line, or leave the file as it is."""
        file = self.folder / "questions.jsonl"
        before = file.stat().st_size if file.exists() else 0
        try:
            with file.open("ab+") as lines:
                if before and _last_byte(lines) != b"\n":
                    lines.write(b"\n")  # an editor left it out
                lines.write(line.encode())
                lines.flush()
                os.fsync(lines.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                os.truncate(file, before)
            raise

    def _read_count(self) -> int:
        try:
            text = (self.folder / "questions.jsonl").read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0
        return sum(1 for line in text.splitlines() if line.strip())

    def _next_number(self) -> int:
        """A number that no file and no row has."""
        folders = (self.folder / "images", self.folder / "masks")
        used = [int(f.stem) for d in folders for f in d.glob("[0-9]*.png") if f.stem.isdecimal()]
        return max([self._count, *used]) + 1


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _draw(masks: Sequence[NDArray[np.bool_]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Draw masks into one (H, W) array of ids 1, 2, …; later ones lie above."""
    if len(masks) > MAX_OBJECTS:
        raise BadPrompt(f"a row may have {MAX_OBJECTS} objects, not {len(masks)}")
    ids = np.zeros(shape[:2], np.uint8)
    for number, mask in enumerate(masks, start=1):
        ids[mask] = number
    there = set(np.unique(ids).tolist())
    if lacking := [number for number in range(1, len(masks) + 1) if number not in there]:
        raise BadPrompt(
            f"object {lacking[0]} has no pixel of its own: delete it or show it in another way"
        )
    return ids
