"""Every way in which a question ends without an answer has its own code."""

import pytest

from segzero import errors
from segzero_ros import query
from segzero_ros.images.conversions import ConversionError
from segzero_ros.msg import Segmentation
from segzero_ros.results.error_codes import error_code


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (query.NoFrame(), "NO_IMAGE"),
        (query.StaleFrame(), "STALE_IMAGE"),
        (ConversionError(), "BAD_IMAGE"),
        (errors.BadImage(), "BAD_IMAGE"),
        (errors.BadQuestion(), "BAD_QUESTION"),
        (query.Stopped(), "STOPPED"),
        (errors.Cancelled(), "STOPPED"),
        (query.Replaced(), "REPLACED"),
        (query.GoalCancelled(), "CANCELLED"),
        (query.TooManyGoals(), "TOO_MANY_GOALS"),
        (errors.MalformedAnswer("no list", "text"), "MALFORMED_ANSWER"),
        (errors.CheckpointError(), "MODEL"),
        (RuntimeError(), "MODEL"),
        (errors.DeviceOutOfMemory(), "OUT_OF_MEMORY"),
        (errors.ServerError(), "SERVER"),
        (query.FollowingEnded(), "FOLLOWING_ENDED"),
    ],
)
def test_an_error_has_its_code(error: Exception, name: str) -> None:
    assert error_code(error) == getattr(Segmentation, f"ERROR_{name}")


def test_no_two_codes_are_equal() -> None:
    codes = [getattr(Segmentation, name) for name in vars(type(Segmentation)) if "ERROR_" in name]
    assert len(codes) == len(set(codes))
