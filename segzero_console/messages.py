"""What the server tells a page: frozen dataclasses, and their bytes or text."""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero_console.text import plain

State = Literal["answered", "partial", "tracked", "lost", "nothing", "failed"]
Level = Literal["ok", "warn", "error", "stale"]
Kind = Literal["node", "tabletop", "webcam", "video", "folder"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Where the pictures come from.

    Attributes:
        kind: Of the source.
        name: For people.
        live: Whether time goes on in it, whoever looks.
        length: Frames of a video or folder; 0 for a live one.
    """

    kind: Kind
    name: str
    live: bool
    length: int = 0


@dataclass(frozen=True, slots=True)
class ShownObject:
    """An object of a result.

    Attributes:
        id: Its value in the mask.
        track_id: Given once while the server runs.
        goal: That it belongs to.
        label: A short name.
        box: Left, top, right, bottom in pixels; empty while it isn't seen.
        score: 0 to 1.
        lost: Whether it is followed, but not seen.
        distance: In metres; None without depth.
        size: (width, height, depth) in metres; None without depth.
        centroid: Mean of its points in metres, in the result's frame of points; None without depth.
    """

    id: int
    track_id: int
    goal: str
    label: str
    box: tuple[float, ...]
    score: float
    lost: bool = False
    distance: float | None = None
    size: tuple[float, ...] | None = None
    centroid: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Objects in one frame.

    Attributes:
        stamp: Of the frame, in nanoseconds.
        state: As the node names it.
        request: Of the question; empty for followed frames.
        goal: Of the question.
        objects: Those that are seen, and the lost ones.
        mask: (H, W) uint8 or uint16 ids, 0 is background; None without objects.
        latency: Age of the frame in seconds when the result was made.
        error_code: A short word, empty without an error.
        error: What happened, for people.
        seconds: By stage, for an answer.
        points_frame: Name of the frame of the objects' centroids; empty without depth.
    """

    stamp: int
    state: State
    request: str = ""
    goal: str = ""
    objects: tuple[ShownObject, ...] = ()
    mask: NDArray[Any] | None = None
    latency: float = 0.0
    error_code: str = ""
    error: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    points_frame: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a question."""

    request: str
    goal: str
    state: State
    text: str
    error_code: str = ""
    error: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    objects: int = 0
    question: str = ""


@dataclass(frozen=True, slots=True)
class Light:
    """One line of the diagnostics."""

    name: str
    level: Level
    text: str


def pack(header: dict[str, Any], parts: Sequence[bytes]) -> bytes:
    """Make a binary message: the header's length, the header, the parts."""
    text = to_json({**header, "parts": [len(part) for part in parts]}).encode()
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def unpack(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Read what `pack` wrote."""
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    parts, at = [], 4 + length
    for size in header["parts"]:
        parts.append(message[at : at + size])
        at += size
    return header, parts


def to_json(message: dict[str, Any]) -> str:
    """Write a message as JSON that every browser reads: no NaN, no lone surrogate."""
    return json.dumps(_safe(message), allow_nan=False, separators=(",", ":"))


def result_header(result: Result, kind: str = "result") -> dict[str, Any]:
    """The header of a result's binary message."""
    return {
        "type": kind,
        "stamp": str(result.stamp),
        "state": result.state,
        "request": result.request,
        "goal": result.goal,
        "objects": [_object(item) for item in result.objects],
        "latency": round(result.latency, 4),
        "error_code": result.error_code,
        "error": result.error,
        "seconds": {name: round(value, 4) for name, value in result.seconds.items()},
    }


def pack_result(result: Result, kind: str = "result") -> bytes:
    """A result's binary message, with its mask as PNG."""
    parts = [] if result.mask is None else [encode_ids(result.mask)]
    return pack(result_header(result, kind), parts)


def encode_ids(mask: NDArray[Any]) -> bytes:
    """(H, W) uint8 or uint16 ids as a grey PNG of 8 or 16 bits."""
    return _encode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def encode_jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return _encode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode(suffix: str, pixels: NDArray[Any], options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, pixels, options)
    assert done, f"OpenCV writes {suffix}"
    return data.tobytes()


def _object(item: ShownObject) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": item.id,
        "track_id": item.track_id,
        "goal": item.goal,
        "label": item.label,
        "box": [round(value, 1) for value in item.box],
        "score": round(item.score, 3) if math.isfinite(item.score) else 0.0,
        "lost": item.lost,
    }
    if item.distance is not None and math.isfinite(item.distance):
        found["distance"] = round(item.distance, 3)
    if item.size is not None:
        found["size"] = [round(value, 3) for value in item.size]
    return found


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value, 100_000)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_safe(item) for item in value]
    return value
