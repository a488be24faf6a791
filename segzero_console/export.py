"""Results as files to download: a picture, COCO's json, a video of the last minute."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero import overlay
from segzero.errors import SegZeroError
from segzero.types import Box, Segmentation, SegmentedObject
from segzero_console.recording import RecordedFrame
from segzero_console.results import StoredResult, decode_ids

VIDEO_RATE = 10.0
"""Frames per second of a video."""
_NEAR = 0.5
"""Seconds beside a followed frame in which frames without masks are left out of a video."""


def to_png(rgb: NDArray[np.uint8], stored: StoredResult | None) -> bytes:
    """A picture with its masks drawn, as PNG."""
    drawn = rgb if stored is None else draw(rgb, stored)
    done, data = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
    assert done, "OpenCV writes PNG"
    return data.tobytes()


def to_coco(name: str, size: tuple[int, int], stored: StoredResult | None) -> bytes:
    """A result in COCO's format; masks are uncompressed RLE.

    Args:
        name: File name of the picture.
        size: (width, height) in pixels.
        stored: What was found in it.
    """
    width, height = size
    objects = [item for item in stored.result.objects if not item.lost] if stored else []
    labels = list(dict.fromkeys(item.label for item in objects))
    masks = stored.masks(item.id for item in objects) if stored else []
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": labels.index(item.label) + 1,
            "segmentation": {"size": [height, width], "counts": rle(mask)},
            "area": int(mask.sum()),
            "bbox": _bbox(mask),
            "iscrowd": 0,
            "score": round(item.score, 4),
            "track_id": item.track_id,
            "caption": item.label,
        }
        for number, (item, mask) in enumerate(zip(objects, masks, strict=True), start=1)
    ]
    content: dict[str, Any] = {
        "info": {"description": "segzero console"},
        "images": [{"id": 1, "file_name": name, "width": width, "height": height}],
        "annotations": annotations,
        "categories": [{"id": k, "name": label} for k, label in enumerate(labels, start=1)],
    }
    return json.dumps(content, ensure_ascii=False).encode()


def rle(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of an (H, W) mask, down the columns, beginning with background."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    lengths: list[int] = np.diff(edges).tolist()
    return [0, *lengths] if flat[0] else lengths


def to_mp4(frames: Sequence[RecordedFrame]) -> bytes:
    """The last minute with the masks drawn on the frames that they belong to.

    Args:
        frames: In the order in which they came.

    Raises:
        SegZeroError: There are none, or OpenCV can't write the video.
    """
    chosen = choose(frames)
    if not chosen:
        raise SegZeroError("nothing was shown in the last minute: there is no video to download")
    with tempfile.TemporaryDirectory(prefix="segzero_console_") as folder:
        path = Path(folder, "video.mp4")
        _write(path, chosen)
        return path.read_bytes()


def choose(frames: Sequence[RecordedFrame]) -> list[RecordedFrame]:
    """The frame to show at each tick of the video.

    Where objects were followed, these are the frames with masks alone.
    """
    followed = np.array([frame.received for frame in frames if frame.result])
    usable = [
        frame
        for frame in frames
        if frame.result or not len(followed) or np.abs(followed - frame.received).min() > _NEAR
    ]
    if not usable:
        return []
    times = np.array([frame.received for frame in usable])
    ticks = np.arange(times[0], times[-1] + 1 / VIDEO_RATE, 1 / VIDEO_RATE)
    places = np.searchsorted(times, ticks + 1e-6, side="right") - 1
    return [usable[max(0, place)] for place in places]


def draw(rgb: NDArray[np.uint8], stored: StoredResult) -> NDArray[np.uint8]:
    """Draw a result on its frame, (H, W, 3) uint8 RGB."""
    objects = [item for item in stored.result.objects if item.box]
    masks = stored.masks(item.id for item in objects)
    segmentation = Segmentation(
        question="",
        reasoning="",
        text="",
        size=(rgb.shape[1], rgb.shape[0]),
        objects=tuple(
            SegmentedObject(item.id, Box(*item.box), (), mask, item.score, item.label)
            for item, mask in zip(objects, masks, strict=True)
        ),
    )
    return overlay.draw(rgb, segmentation)[: rgb.shape[0]]


def _write(path: Path, chosen: Sequence[RecordedFrame]) -> None:
    first = _decode(chosen[0].jpeg)
    height, width = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, VIDEO_RATE, (width, height))
    if not writer.isOpened():
        raise SegZeroError("OpenCV can't write MP4 here: install opencv-python-headless from PyPI")
    last: tuple[RecordedFrame, NDArray[np.uint8]] | None = None
    for frame in chosen:
        if last is None or last[0] is not frame:
            last = frame, _picture(frame, (width, height))
        writer.write(last[1])
    writer.release()


def _picture(frame: RecordedFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The frame as BGR with its masks, at the video's size."""
    bgr = _decode(frame.jpeg)
    if frame.result and frame.result.png and decode_ids(frame.result.png).shape == bgr.shape[:2]:
        bgr = draw(bgr[..., ::-1], frame.result)[..., ::-1]
    height, width = bgr.shape[:2]
    if (width // 2 * 2, height // 2 * 2) == size:
        return np.ascontiguousarray(bgr[: size[1], : size[0]])
    return np.asarray(cv2.resize(bgr, size), np.uint8)


def _decode(jpeg: bytes) -> NDArray[np.uint8]:
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None, "this project wrote it"
    return np.asarray(bgr, np.uint8)


def _bbox(mask: NDArray[np.bool_]) -> list[int]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return [x, y, width, height]
