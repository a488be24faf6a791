"""Text that people typed or models wrote, made safe to show, to log and to store."""

import re

MAX_TEXT = 4000
"""Characters of one text; a question may have fewer (`segzero.reasoning.prompts`)."""

# Escape sequences of terminals: CSI, OSC and the two-character ones.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_REORDERING = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""They let a text look like another one."""
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """Remove what isn't text: escape sequences, control and reordering characters.

    Args:
        text: Any string; a lone surrogate becomes U+FFFD. Line breaks and tabs stay.
        limit: Characters after which it is cut, with "…".

    Returns:
        Text that can be encoded as UTF-8 and printed.
    """
    text = _CONTROLS.sub(" ", _ESCAPES.sub("", text[: 4 * limit]))
    text = _SURROGATES.sub("\ufffd", _REORDERING.sub("", text))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """`plain`, with every run of blanks as one blank, and none at the ends."""
    return " ".join(plain(text, limit).split())
