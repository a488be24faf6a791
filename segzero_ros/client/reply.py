"""How a query ended."""

from dataclasses import dataclass
from enum import Enum

from action_msgs.msg import GoalStatus

from segzero_ros.msg import Segmentation

_STATES = {
    Segmentation.ANSWERED: "answered",
    Segmentation.TRACKED: "tracked",
    Segmentation.LOST: "lost",
    Segmentation.NOTHING: "nothing",
    Segmentation.FAILED: "failed",
    Segmentation.PARTIAL: "partial",
}


class Outcome(Enum):
    """How a query ended."""

    ANSWERED = "answered"
    NOTHING = "nothing"  # answered: nothing in the image matches
    FAILED = "failed"  # `segmentation.error_code` and `error` say why
    CANCELED = "canceled"  # by `QueryHandle.cancel`
    REPLACED = "replaced"  # a newer question replaced it


_FAILURES = {
    Segmentation.ERROR_REPLACED: Outcome.REPLACED,
    Segmentation.ERROR_CANCELLED: Outcome.CANCELED,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of a query.

    Attributes:
        outcome: How it ended.
        segmentation: The node's result.
    """

    outcome: Outcome
    segmentation: Segmentation


def state_name(segmentation: Segmentation) -> str:
    """Return the state as a word: answered, tracked, lost, nothing, failed or partial."""
    return _STATES[segmentation.state]


def outcome_of(status: int, segmentation: Segmentation) -> Outcome:
    """Return how a query ended, from the status of its action goal and the result."""
    if status == GoalStatus.STATUS_CANCELED:
        return Outcome.CANCELED
    if segmentation.state != Segmentation.FAILED:
        nothing = segmentation.state == Segmentation.NOTHING
        return Outcome.NOTHING if nothing else Outcome.ANSWERED
    return _FAILURES.get(segmentation.error_code, Outcome.FAILED)
