"""The code of each error in `Segmentation.error_code`, for programs."""

from segzero.errors import (
    BadImage,
    BadPrompt,
    BadQuestion,
    Cancelled,
    DeviceOutOfMemory,
    MalformedAnswer,
    ServerError,
)
from segzero_ros.images.conversions import ConversionError
from segzero_ros.msg import Segmentation
from segzero_ros.query import (
    FollowingEnded,
    GoalCancelled,
    NoFrame,
    Replaced,
    StaleFrame,
    Stopped,
    TooManyGoals,
)

# The first that fits: subclasses stand before their bases.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (StaleFrame, Segmentation.ERROR_STALE_IMAGE),
    (NoFrame, Segmentation.ERROR_NO_IMAGE),
    (ConversionError, Segmentation.ERROR_BAD_IMAGE),
    (BadImage, Segmentation.ERROR_BAD_IMAGE),
    (BadQuestion, Segmentation.ERROR_BAD_QUESTION),
    (BadPrompt, Segmentation.ERROR_BAD_QUESTION),
    (Replaced, Segmentation.ERROR_REPLACED),
    (GoalCancelled, Segmentation.ERROR_CANCELLED),
    (Stopped, Segmentation.ERROR_STOPPED),
    (Cancelled, Segmentation.ERROR_STOPPED),
    (TooManyGoals, Segmentation.ERROR_TOO_MANY_GOALS),
    (MalformedAnswer, Segmentation.ERROR_MALFORMED_ANSWER),
    (DeviceOutOfMemory, Segmentation.ERROR_OUT_OF_MEMORY),
    (ServerError, Segmentation.ERROR_SERVER),
    (FollowingEnded, Segmentation.ERROR_FOLLOWING_ENDED),
)


def error_code(error: Exception) -> int:
    """Return the code of an error; ERROR_MODEL for those that nothing else names."""
    return next(
        (code for kind, code in _CODES if isinstance(error, kind)), Segmentation.ERROR_MODEL
    )
