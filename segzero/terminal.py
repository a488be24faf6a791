"""Text from and to a terminal, whatever its encoding."""

import io
import os
import sys


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
