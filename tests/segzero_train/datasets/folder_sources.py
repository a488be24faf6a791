"""Users' folders for `prepare folder`: questions, COCO's and LabelMe's files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.segzero_train.original_files import SIZE, filled, noise, rectangle, rows, run, save

IDS = (filled(5, 5, 10, 20) + 2 * filled(30, 8, 20, 12) + 255 * filled(0, 35, 60, 5)).astype("u1")


def questions(folder: Path, *lines: Any, ids: np.ndarray = IDS) -> Path:
    """questions.jsonl about the picture a.png, whose mask is masks/a.png."""
    save(noise(), folder / "a.png")
    save(Image.fromarray(ids), folder / "masks" / "a.png")
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "questions.jsonl").write_text(text, encoding="utf-8")
    return folder


def prepare(source: Path, *options: str) -> list[dict[str, Any]]:
    out = source / "out"
    assert run("folder", "--source", source, "--out", out, "--size", "original", *options) == 0
    return rows(out)


def coco(folder: Path, *annotations: dict[str, Any]) -> Path:
    """annotations.json about the picture 7, images/seven.png."""
    save(noise(), folder / "images" / "seven.png")
    tables = {
        "images": [{"id": 7, "file_name": "seven.png", "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [
            {"id": k, "image_id": 7, "category_id": 1} | entry
            for k, entry in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (folder / "annotations.json").write_text(json.dumps(tables))
    return folder


BALL, BOX = [rectangle(5, 5, 10, 20)], [rectangle(30, 8, 20, 12)]


def with_images(folder: Path, *images: dict[str, Any], **tables: Any) -> Path:
    """The file of `coco` with other images; annotation k is of image k."""
    about = [{"image_id": image["id"], "segmentation": BALL} for image in images]
    coco(folder, *about)
    file = folder / "annotations.json"
    size = {"width": SIZE[0], "height": SIZE[1]}
    content = json.loads(file.read_text()) | {"images": [size | image for image in images]}
    file.write_text(json.dumps(content | tables))
    return folder


def labelme(folder: Path, name: str, *shapes: dict[str, Any], size: tuple[int, int] = SIZE) -> None:
    """A picture with LabelMe's json file beside it."""
    save(noise(), folder / f"{name}.png")
    content = {"imagePath": f"{name}.png", "imageWidth": size[0], "imageHeight": size[1]}
    (folder / f"{name}.json").write_text(json.dumps(content | {"shapes": list(shapes)}))


def shape(label: str, x: int, y: int, width: int, height: int, **more: Any) -> dict[str, Any]:
    corners = [[x, y], [x + width - 1, y + height - 1]]
    return {"label": label, "shape_type": "rectangle", "points": corners, **more}


def pictures(folder: Path, count: int) -> Path:
    """Two questions about each of some pictures; the last two pictures are equal."""
    lines = []
    for k in range(count):
        save(noise(seed=min(k, count - 2)), folder / f"{k}.png")
        save(Image.fromarray(IDS), folder / "masks" / f"{k}.png")
        lines += [{"image": f"{k}.png", "text": text, "id": f"{k}-{text}"} for text in "ab"]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder
