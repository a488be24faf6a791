"""The errors that segzero raises; each message says the cause and what to do."""


class SegZeroError(Exception):
    """Base of all errors that segzero raises on purpose; `str(error)` is fit for a user."""


class BadQuestion(SegZeroError):
    """The question is empty, blank, too long or not text."""


class BadImage(SegZeroError):
    """The image isn't a finite (H, W, 3) uint8 RGB array of a usable size."""


class BadPrompt(SegZeroError):
    """A box or a point that shows an object is unusable."""


class MalformedAnswer(SegZeroError):
    """The model's completion holds no usable answer.

    Attributes:
        reason: What is wrong with it.
        text: The whole completion.
    """

    def __init__(self, reason: str, text: str) -> None:
        """Make an error whose message holds the reason and the start of the completion.

        Args:
            reason: What is wrong with the completion.
            text: The whole completion.
        """
        super().__init__(f"{reason}; the completion was: {_shorten(text)!r}")
        self.reason = reason
        self.text = text


class CheckpointError(SegZeroError):
    """A profile or its weights are missing, half-written or unusable."""


class DeviceOutOfMemory(SegZeroError):
    """The device ran out of memory; the models are still loaded and the next call may succeed."""


class ServerError(SegZeroError):
    """The language model's server is unreachable, refused or broke off; a new call may succeed."""


class Cancelled(SegZeroError):
    """The caller asked to stop before the answer was complete."""


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
