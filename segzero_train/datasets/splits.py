"""Splitting items so that no picture lies in two splits."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from segzero_train.datasets.items import Item
from segzero_train.errors import BadData


def read_shares(text: str) -> dict[str, float]:
    """Read what `--split` says.

    Args:
        text: A split's name, or names with shares that add up to 1: `train=0.9,val=0.1`.

    Returns:
        Shares by name.

    Raises:
        BadData: It is neither.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = part.strip().partition("=")
        if not re.fullmatch(r"\w+", name):
            raise BadData(f"a split's name has letters, digits and _ only, not {name!r}")
        if name in shares:
            raise BadData(f"--split names {name} twice")
        try:
            shares[name] = float(share) if equals else 1.0
        except ValueError as error:
            raise BadData(f"the share in {part!r} must be a number, as in train=0.9") from error
    if not all(share > 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise BadData(
            f"the shares of --split {text} must be above 0 and add up to 1, as in train=0.9,val=0.1"
        )
    return shares


def split_by_picture(items: Sequence[Item], shares: Mapping[str, float]) -> dict[str, list[Item]]:
    """Share items out by their pictures.

    All questions about a picture, and about its copies under other names, go to one split. The
    same pictures are always shared out alike.

    Args:
        items: In any order, which each split keeps.
        shares: Of the pictures, by split.

    Returns:
        Items by split.

    Raises:
        BadData: There are fewer pictures than splits.
    """
    if len(shares) == 1:
        return {name: list(items) for name in shares}
    digests = {item.image: _digest(item.image) for item in items}
    pictures = sorted(set(digests.values()))
    if len(pictures) < len(shares):
        raise BadData(f"{len(pictures)} pictures can't be shared out to {len(shares)} splits")
    owner: dict[str, str] = {}
    begin, total = 0, 0.0
    for number, (name, share) in enumerate(shares.items(), start=1):
        total += share
        last = len(pictures) - (len(shares) - number)  # leaves one for each later split
        end = min(max(round(total * len(pictures)), begin + 1), last)
        owner |= dict.fromkeys(pictures[begin:end], name)
        begin = end
    parts: dict[str, list[Item]] = {name: [] for name in shares}
    for item in items:
        parts[owner[digests[item.image]]].append(item)
    return parts


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:  # the row is skipped later, with its reason
        return hashlib.sha256(str(file).encode()).hexdigest()
