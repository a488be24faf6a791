"""Prompt lengths of datasets whose rows were checked before, kept beside the cache of `datasets`.

Checking decodes every picture: minutes of a processor for ten thousands of rows, at each start of a
run. What was checked is found again by its content, all bytes of it.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow as pa
from pyarrow import compute, ipc

import segzero
from segzero.files import write_text_whole

if TYPE_CHECKING:
    from datasets import Dataset

WORTH = 1000
"""Rows from which on a result is kept; fewer are checked in seconds."""
_BATCH = 100


def checked_once(
    check: Callable[[], list[int]], rows: "Dataset", processor: Any, *space: Any
) -> list[int]:
    """The result of a check, computed unless it is known.

    Args:
        check: Returns the length of each row's prompt in tokens; raises if a row can't be used.
        rows: What it reads, pictures undecoded.
        processor: The model's, of transformers.
        space: What else the result depends on; told apart by `repr`.

    Returns:
        The same as `check()`.
    """
    if len(rows) < WORTH or (content := _digest(rows)) is None:
        return check()
    image = processor.image_processor
    parts = (content, space, image.patch_size, image.merge_size, processor.chat_template)
    tokenizer = processor.tokenizer.backend_tokenizer.to_str()
    key = hashlib.sha256(repr((*parts, tokenizer, _code())).encode()).hexdigest()
    file = Path(datasets.config.HF_DATASETS_CACHE) / "segzero_checked_rows" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        known = list(map(int, json.loads(file.read_text())))
        if len(known) == len(rows):
            return known
    lengths = check()
    with contextlib.suppress(OSError):  # it only saves time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text_whole(file, json.dumps(lengths))
    return lengths


def _digest(rows: "Dataset") -> str | None:
    """Of all that the rows hold; None if pictures lie in files of their own, which may change."""
    digest = _Digest()
    for table in rows.with_format("arrow").iter(_BATCH):
        for column in table.columns:
            if pa.types.is_struct(column.type) and "bytes" in column.type.names:
                held = compute.struct_field(column, "bytes")
                if held.null_count:
                    return None
        with ipc.new_stream(pa.PythonFile(digest, "w"), table.schema) as stream:
            stream.write_table(table)
    return digest.sha.hexdigest()


class _Digest:
    """A file that keeps the digest of what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.sha = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.sha.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def _code() -> str:
    """Of the sources that check: another version may find other faults."""
    digest = hashlib.sha256()
    for package in (Path(segzero.__file__).parent, Path(__file__).parents[1]):
        for file in sorted(package.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
