"""A folder of annotated frames, in the layout that `python -m segzero_train.prepare folder` reads.

- `images/<stamp>.png` and `masks/<stamp>.png`: a frame, and its mask of ids (0 is background, k is
  the object k of the whole recording); 16 bits once there are more than 255 ids;
- `annotations.json`: COCO's format, with run lengths and `track_id`; the category is the question;
- `overlay.mp4`: the frames with the objects drawn in, for people.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero import overlay
from segzero.errors import SegZeroError
from segzero.types import Segmentation, SegmentedObject
from segzero_ros.bags.object_tracks import AnnotatedFrame
from segzero_ros.bags.run_lengths import run_lengths


class DatasetWriter:
    """Writes frames one after the other; `writing_dataset` makes one."""

    def __init__(self, folder: Path, question: str, rate: float) -> None:
        self._folder = folder
        self._question = question
        self._rate = rate
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._names: Counter[int] = Counter()
        self._video: cv2.VideoWriter | None = None
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)

    @property
    def frames(self) -> int:
        """How many were written."""
        return len(self._images)

    @property
    def annotated(self) -> int:
        """How many of them show an object."""
        return len({item["image_id"] for item in self._annotations})

    def add(self, frame: AnnotatedFrame) -> None:
        """Write a frame.

        Args:
            frame: Of the size of the first one.

        Raises:
            OSError: It can't be written.
        """
        height, width = frame.pixels.shape[:2]
        result = Segmentation(self._question, "", "", (width, height), frame.objects)
        name = self._name(frame.image.stamp)
        wide = any(item.id > 255 for item in frame.objects)
        ids = result.mask(np.uint16 if wide else np.uint8)  # (H, W)
        self._write(self._folder / "images" / name, frame.pixels[..., ::-1])
        self._write(self._folder / "masks" / name, ids)
        self._add_to_video(overlay.draw(frame.pixels, result))
        image_id = len(self._images) + 1
        self._images.append(
            {
                "id": image_id,
                "file_name": name,
                "width": width,
                "height": height,
                "stamp": frame.image.stamp,
            }
        )
        for item in frame.objects:
            number = len(self._annotations) + 1
            self._annotations.append(_annotation(item, number, image_id))

    def finish(self, info: dict[str, Any]) -> None:
        """Write `annotations.json` and close the video.

        Args:
            info: Where the frames come from.
        """
        content = {
            "info": info,
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": 1, "name": self._question}],
        }
        text = json.dumps(content, ensure_ascii=False)
        (self._folder / "annotations.json").write_text(text, encoding="utf-8")
        self.close()

    def close(self) -> None:
        """Close the video."""
        if self._video:
            self._video.release()
            self._video = None

    def _name(self, stamp: int) -> str:
        """A file name that sorts by time; frames of equal stamps are numbered."""
        self._names[stamp] += 1
        again = self._names[stamp]
        return f"{stamp:019d}{f'_{again}' if again > 1 else ''}.png"

    def _write(self, file: Path, pixels: NDArray) -> None:
        if not cv2.imwrite(str(file), pixels):
            raise OSError(f"can't write {file}: is the disk full?")

    def _add_to_video(self, picture: NDArray[np.uint8]) -> None:
        if self._video is None:
            file = self._folder / "overlay.mp4"
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            height, width = picture.shape[:2]
            self._video = cv2.VideoWriter(str(file), codec, self._rate, (width, height))
            if not self._video.isOpened():
                raise SegZeroError(f"this OpenCV can't write {file.name}: install its PyPI wheel")
        self._video.write(picture[..., ::-1])


@contextmanager
def writing_dataset(folder: Path, question: str, rate: float) -> Iterator[DatasetWriter]:
    """Write a dataset; call its `finish` at the end of the block.

    Args:
        folder: Where; it doesn't exist yet.
        question: What was asked: the category of all annotations.
        rate: Of the video, in frames per second.

    Yields:
        The writer.
    """
    writer = DatasetWriter(folder, question, rate)
    try:
        yield writer
    finally:
        writer.close()


def _annotation(item: SegmentedObject, number: int, image_id: int) -> dict[str, Any]:
    x, y, width, height = cv2.boundingRect(item.mask.astype(np.uint8))
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "track_id": item.id,
        "segmentation": run_lengths(item.mask),
        "area": int(item.mask.sum()),
        "bbox": [x, y, width, height],
        "iscrowd": 0,
        "score": round(item.score, 4),
    }
