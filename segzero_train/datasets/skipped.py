"""What can't become a row, and why."""

from dataclasses import dataclass


class Unusable(Exception):
    """An item that can't become a row.

    Args:
        reason: One of a few kinds, by which the report groups.
        detail: What is wrong exactly.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry of the report: what was left out, and why.

    Attributes:
        name: Of the item.
        reason: One of a few kinds.
        detail: What is wrong exactly.
    """

    name: str
    reason: str
    detail: str
