"""Small datasets in their original file formats, and a way to run the preparation on them."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pyarrow import parquet

from segzero_train import prepare

SIZE = (60, 40)
"""Width and height of the pictures."""


def noise(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    """A picture of which every pixel tells where it is from."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def save(picture: Image.Image, file: Path, **options: Any) -> bytes:
    """Write the picture; returns the file's bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file, **options)
    return file.read_bytes()


def rectangle(x: int, y: int, width: int, height: int) -> list[int]:
    """A COCO polygon that covers the pixels x … x+width-1, y … y+height-1."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def filled(x: int, y: int, width: int, height: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """The same as a mask, (H, W) bool."""
    mask = np.zeros((size[1], size[0]), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def ref(number: int, image_id: int, split: str = "train", *sentences: str) -> dict[str, Any]:
    """A ref of RefCOCO to the annotation of the same number."""
    return {
        "ref_id": number,
        "ann_id": number,
        "category_id": 1,
        "image_id": image_id,
        "split": split,
        "sentences": [
            {"sent_id": 10 * number + k, "sent": text.lower(), "raw": text, "tokens": text.split()}
            for k, text in enumerate(sentences or (f"The Thing {number}.",))
        ],
    }


def write_refcoco(
    folder: Path,
    refs: list[dict[str, Any]],
    segmentations: dict[int, Any],
    *,
    file: str = "refs(umd).p",
    size: tuple[int, int] = SIZE,
) -> None:
    """refs, instances.json and a JPEG for each picture under train2014."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(pickle.dumps(refs, protocol=2))
    pictures = sorted({entry["image_id"] for entry in refs})
    owner = {entry["ann_id"]: entry["image_id"] for entry in refs}
    tables = {
        "images": [
            {"id": k, "file_name": f"COCO_{k}.jpg", "width": size[0], "height": size[1]}
            for k in pictures
        ],
        "annotations": [
            {"id": k, "image_id": owner.get(k, 0), "category_id": 1, "segmentation": value}
            for k, value in segmentations.items()
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "instances.json").write_text(json.dumps(tables))
    for k in pictures:
        save(noise(size, k), folder / "train2014" / f"COCO_{k}.jpg")


def run(*arguments: object) -> int:
    """The command in this process; returns its exit status."""
    return prepare.main([str(argument) for argument in arguments])


def rows(out: Path, split: str = "train") -> list[dict[str, Any]]:
    """The rows as they lie on disk, pictures decoded."""
    found = []
    for file in sorted((out / "data").glob(f"{split}-*.parquet")):
        for row in parquet.read_table(file).to_pylist():
            pictures = {key: row[key]["bytes"] for key in ("image", "mask")}
            decoded = {key: np.asarray(Image.open(io.BytesIO(b))) for key, b in pictures.items()}
            found.append(row | decoded | {"file": pictures["image"]})
    return found


def skipped(out: Path, split: str = "train") -> dict[str, str]:
    """What the report says was skipped: name -> reason."""
    report = json.loads((out / "report.json").read_text())[split]
    return {entry["name"]: entry["reason"] for entry in report["skipped"]}
