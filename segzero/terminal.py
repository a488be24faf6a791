"""Output that no terminal can break."""

import io
import sys


def escape_unprintable() -> None:
    """Let stdout write what its encoding lacks as escapes, in place of an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
