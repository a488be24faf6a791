"""Notice from its answers that a checkpoint was trained with another prompt than its profile's.

Models answer in some way to every prompt, so a wrong one costs accuracy without any error.
"""

import logging

from segzero.profiles import load_profile, profile_names
from segzero.reasoning.answers import LAYOUTS, AnswerFormat, written_format

_LOG = logging.getLogger(__name__)
MALFORMED_IN_A_ROW = 3
"""After so many answers without a usable object the profile is in doubt."""
_warned: set[str] = set()
"""Profiles that this process has warned about."""


class FormatCheck:
    """Watches the answers of a profile; warns about it once in a process."""

    def __init__(self, answer_format: AnswerFormat, profile: str) -> None:
        """Start before the first answer.

        Args:
            answer_format: The layout that the profile states.
            profile: The profile's name; empty if the models were loaded without one.
        """
        self._expected = answer_format
        self._profile = profile
        self._malformed = 0

    def see(self, text: str, *, malformed: bool) -> None:
        """Take note of an answer.

        Args:
            text: The completion.
            malformed: Whether it held no usable object.
        """
        self._malformed = self._malformed + 1 if malformed else 0
        written = written_format(text)
        if written is not None and written != LAYOUTS[self._expected].keys:
            self._warn(f"the model answers in the keys of the format {written}")
        elif self._malformed >= MALFORMED_IN_A_ROW:
            self._warn(f"{self._malformed} answers in a row held no usable object")

    def _warn(self, seen: str) -> None:
        if self._profile in _warned:
            return
        _warned.add(self._profile)
        fitting = ", ".join(
            name
            for name in profile_names()
            if LAYOUTS[load_profile(name).answer_format].keys != LAYOUTS[self._expected].keys
        )
        _LOG.warning(
            "%s, but %s asks for %s. A checkpoint that was trained with another prompt finds less. "
            "`segzero profiles --check FOLDER` says which one it needs; profiles of another "
            "format: %s",
            seen,
            f"the profile {self._profile}" if self._profile else "the profile",
            self._expected,
            fitting,
        )
