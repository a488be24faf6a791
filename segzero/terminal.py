"""Text from and to a terminal, whatever its encoding."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from segzero.errors import SegZeroError


@dataclass(slots=True)
class Outcome:
    """What a command returns.

    Attributes:
        status: The exit status: 0, 1 after an error, 130 after an interruption.
    """

    status: int = 0


@contextmanager
def one_line_errors(*kinds: type[Exception], interrupted: str = "interrupted") -> Iterator[Outcome]:
    """Turn what ends a command early into one line on stderr and an exit status.

    Args:
        kinds: Errors besides SegZeroError whose text says enough.
        interrupted: The line after ctrl-C.

    Yields:
        The outcome; complete after the block.
    """
    outcome = Outcome()
    told: tuple[type[Exception], ...] = (SegZeroError, *kinds)
    try:
        yield outcome
    except told as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        outcome.status = 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        outcome.status = 130


def escape_unprintable() -> None:
    """Let stdout write what its encoding lacks as escapes, in place of an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def utf8_argument(text: str) -> str:
    """An argument of the command line, which is UTF-8 even where the locale says ASCII.

    Args:
        text: As Python decoded it by the locale.

    Returns:
        The text; what isn't UTF-8 stays as it is.
    """
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return text
