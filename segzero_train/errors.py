"""Errors of the training commands; every message says what to do next."""

from segzero.errors import SegZeroError


class BadData(SegZeroError):
    """A dataset, or a row or file of it, can't be used; the message names it."""


class BadRecipe(SegZeroError):
    """A recipe holds an unknown key or a value that can't be."""
