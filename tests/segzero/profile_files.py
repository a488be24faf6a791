"""Profiles of tiny checkpoints."""

from pathlib import Path

import yaml

_KEYS: dict[str, object] = {
    "summary": "a tiny checkpoint for tests",
    "prompt": "vision_reasoner",
    "answer_format": "vision_reasoner",
    "coordinates": "relative_1000",
    "rounding": "half_up",
    "reasoner_dtype": "float32",
    "segmenter_dtype": "float32",
}


def write_profile(path: Path, reasoner: Path, segmenter: Path, **changes: object) -> Path:
    """Write the profile of two checkpoints to a file; `changes` add or replace keys."""
    keys = _KEYS | {"reasoner": str(reasoner), "segmenter": str(segmenter)} | changes
    path.write_text(yaml.safe_dump(keys))
    return path
