"""What every source of pictures can do."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segzero.errors import SegZeroError
from segzero_console.messages import SourceInfo


class SourceError(SegZeroError):
    """A source can't be used; the text says why and what to do."""


class EndOfSource(Exception):
    """A video or folder has no picture there."""


class LiveSource(Protocol):
    """A camera. All calls come from one thread, which also opens it."""

    info: SourceInfo
    rate: float
    """Pictures per second, as far as it is known."""

    def open(self) -> None:
        """Get ready; raises SourceError."""
        ...

    def read(self) -> tuple[int, NDArray[np.uint8], int] | None:
        """Wait for the next picture, at most about a second.

        Returns:
            Its stamp in nanoseconds, (H, W, 3) uint8 RGB and its index; None if none came.

        Raises:
            SourceError: There is none any more.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class RecordedSource(Protocol):
    """A video or folder, open from the beginning. All calls come from one thread."""

    info: SourceInfo
    rate: float
    """Pictures per second when it plays."""

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB of a picture.

        Raises:
            BadImage: That one can't be used.
            EndOfSource: There is none.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...
