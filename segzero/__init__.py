"""Seg-Zero: ask an image a question; get reasoning, boxes, points and masks (arXiv 2503.06520)."""

from typing import TYPE_CHECKING, Any

from segzero.errors import (
    BadImage,
    BadQuestion,
    Cancelled,
    CheckpointError,
    DeviceOutOfMemory,
    MalformedAnswer,
    SegZeroError,
    ServerError,
)

if TYPE_CHECKING:
    from segzero.pipeline import SegZero
    from segzero.profiles import Profile, load_profile, profile_names
    from segzero.types import (
        Answer,
        Box,
        GroundedObject,
        Point,
        Segmentation,
        SegmentedObject,
        TrackedObject,
    )

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BadImage",
    "BadQuestion",
    "Box",
    "Cancelled",
    "CheckpointError",
    "DeviceOutOfMemory",
    "GroundedObject",
    "MalformedAnswer",
    "Point",
    "Profile",
    "SegZero",
    "SegZeroError",
    "Segmentation",
    "SegmentedObject",
    "ServerError",
    "TrackedObject",
    "load_profile",
    "profile_names",
]

_MODULES = {
    "SegZero": "pipeline",
    "Profile": "profiles",
    "load_profile": "profiles",
    "profile_names": "profiles",
}
"""Where a name is defined, if not in `types`."""


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import segzero` takes milliseconds.
    if name not in __all__:
        raise AttributeError(f"module 'segzero' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"segzero.{_MODULES.get(name, 'types')}"), name)
