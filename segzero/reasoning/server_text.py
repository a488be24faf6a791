"""What a server says, as one line that no terminal obeys."""

import json

MESSAGE_KEYS = ("message", "detail", "msg")
"""Under which servers say what went wrong."""


def error_message(body: str) -> str:
    """What the server says went wrong."""
    try:
        content = json.loads(body)
        error = content.get("error") or content
        said = (
            error
            if isinstance(error, str)
            else next(filter(None, map(error.get, MESSAGE_KEYS)), None)
        )
    except (ValueError, AttributeError, RecursionError):
        said = None
    return printable(str(said or body)) or "no reason given"


def printable(text: str, limit: int = 300) -> str:
    """Text from a server as one line that no terminal obeys."""
    text = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * limit])
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]}…"
