"""JSON as language models write it.

Besides JSON this reads Python's `None` and `(1,2)`, trailing and missing commas, full-width and
curly punctuation, full-width digits, unquoted keys, comments, and values that stand side by side or
between words. Missing and wrong brackets are mended. The time is linear in the length of the text.
"""

import json
import re
import unicodedata
from dataclasses import dataclass, field

MAX_DEPTH = 32
"""Reading ends where brackets are nested more deeply."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Stands where the text ends within a value."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """An object. Unlike a dict it keeps all that stands under one key.

    Attributes:
        items: Keys and values; the key is empty where none was written.
    """

    items: tuple[tuple[str, "Value"], ...]


Value = float | str | None | list["Value"] | Pairs | Cut

_CLOSING = {**dict.fromkeys("[(［（【", "]"), **dict.fromkeys("{｛", "}")}
"""What closes an opening bracket. Round and square ones are one kind."""
_KIND = {**dict.fromkeys("])］）】", "]"), **dict.fromkeys("}｝", "}")}
_DOUBLE, _SINGLE = '"“”„‟＂«»', "'‘’‚‛＇`"
# A quote closes a text only where a value may end. So an apostrophe in a label doesn't.
_END = r"[^\S\n]*+(?:[\n,:;=\]})，、：；］｝）】]|//|\Z)"
_OTHER_TOKENS = r"""
    (?P<comment>//[^\n]*+|\#\s[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?)
  | (?P<open>[\[({［（【｛])
  | (?P<close>[\])}］）】｝])
  | (?P<comma>[,，、;；])
  | (?P<colon>[:：=])
  | (?P<number>[-+−－＋]?+(?:\d++(?:[.．]\d*+)?+|[.．]\d++)(?:[eE][-+]?\d++)?+(?![\w%％]))
  | (?P<word>\w++(?:['’%％]\w*+)*+)
"""


def _quoted(opening: str, closing: str) -> str:
    return rf"[{opening}](?:[^\\{closing}]|\\.|[{closing}](?!{_END}))*+[{closing}]"


_TEXT = "|".join(
    (
        # Around a word, such as a key, any two quotes.
        rf"[{_DOUBLE}{_SINGLE}][\w -]{{0,40}}+[{_DOUBLE}{_SINGLE}](?={_END})",
        _quoted('"', '"'),
        _quoted("'", "'"),
        _quoted(_DOUBLE, _DOUBLE),
        _quoted(_SINGLE, _SINGLE),
    )
)
_TOKEN = re.compile(
    rf"(?P<text>{_TEXT})|(?P<unclosed>[{_DOUBLE}{_SINGLE}])|{_OTHER_TOKENS}", re.VERBOSE | re.DOTALL
)
# Behind a quote that nothing closes, quotes are skipped. Otherwise the rest would be one text.
_TOKEN_UNQUOTED = re.compile(_OTHER_TOKENS, re.VERBOSE)
_START = re.compile(r"[\[{［【｛]")


@dataclass(slots=True)
class _Open:
    """A bracket that is not closed yet, and what stands in it so far."""

    closing: str
    items: list[tuple[str, Value]] = field(default_factory=list)
    key: str | None = None  # waits for its value
    text: str | None = None  # the last value, which a colon makes a key

    def add(self, value: Value) -> None:
        self.items.append((self.key or "", value))
        self.key = None
        self.text = value if isinstance(value, str) else None

    def colon(self) -> None:
        if self.text is None:
            return
        if self.items[-1] == ("", self.text):
            self.items.pop()
        self.key, self.text = self.text, None

    def comma(self) -> None:
        self.key = self.text = None

    def cut(self, closed: bool) -> None:
        # Only a closing brace can be missing at the end of a whole text: the last number of a list
        # may have lost digits.
        if self.key is not None or self.closing == "]" or not closed:
            self.add(Cut())

    def value(self) -> Value:
        values = [value for _, value in self.items]
        object_without_keys = self.closing == "}" and (not values or Cut() in values)
        if object_without_keys or any(key for key, _ in self.items):
            return Pairs(tuple(self.items))
        return values


def read_values(text: str, *, closed: bool) -> list[Value]:
    """Read all lists and objects of a text; words between them are skipped.

    Args:
        text: Any text.
        closed: Whether the text came to its end. If so, closing braces may be missing at the end.

    Returns:
        The values in order. Those within which the text ends hold a Cut.
    """
    values: list[Value] = []
    stack: list[_Open] = []
    pattern, position = _TOKEN, 0
    while match := (pattern if stack else _START).search(text, position):
        position = match.end()
        kind = match.lastgroup if stack else "open"
        if kind == "unclosed":
            pattern = _TOKEN_UNQUOTED
        elif kind == "open":
            if len(stack) == MAX_DEPTH:
                break
            stack.append(_Open(_CLOSING[match.group()]))
        elif kind == "close":
            closing = _KIND[match.group()]
            if any(item.closing == closing for item in stack):
                while _close(stack, values) != closing:
                    pass
        elif kind == "comma":
            stack[-1].comma()
        elif kind == "colon":
            stack[-1].colon()
        elif kind is not None and kind != "comment":
            stack[-1].add(_scalar(kind, match.group()))
    while stack:
        stack[-1].cut(closed)
        _close(stack, values)
    return values


def read_number(text: str) -> float | None:
    """Read a number in the digits of any script; None if the text is none."""
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").strip()
    try:
        return None if "_" in plain else float(plain)
    except ValueError:
        return None


def _close(stack: list[_Open], values: list[Value]) -> str:
    """Close the innermost bracket; its kind."""
    closed = stack.pop()
    if stack:
        stack[-1].add(closed.value())
    else:
        values.append(closed.value())
    return closed.closing


def _scalar(kind: str, text: str) -> Value:
    if kind == "number":
        return read_number(text)
    if kind == "text":
        return _unescape(text[1:-1])
    return None if text in ("None", "null", "NULL", "nil") else text


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
