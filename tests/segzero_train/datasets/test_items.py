"""From one picture file and its masks to a row."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from segzero_train.datasets.columns import row_to_sample
from segzero_train.datasets.items import Format, GroundTruth, Item, Unusable, make_row
from segzero_train.datasets.solutions import parse_solution
from segzero_train.datasets.targets import box_and_points
from tests.segzero_train.original_files import SIZE, filled, noise, save

ORIGINAL = Format(None, "vision_reasoner")
LEFT, RIGHT = filled(5, 5, 10, 20), filled(30, 8, 20, 12)


def item(file: Path, *masks: np.ndarray, size: tuple[int, int] | None = None) -> Item:
    return Item("a-1", "the thing", file, lambda height, width: GroundTruth(masks), size)


def pixels(row: dict, column: str = "image") -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row[column]["bytes"])))


def test_the_original_file_is_kept_byte_for_byte(tmp_path: Path) -> None:
    data = save(noise(), tmp_path / "a.jpg")
    row = make_row(item(tmp_path / "a.jpg", LEFT), ORIGINAL)
    assert row["image"]["bytes"] == data
    assert (row["img_width"], row["img_height"]) == SIZE


def test_training_pictures_are_resized_by_area(tmp_path: Path) -> None:
    save(noise((1000, 900)), tmp_path / "a.png")
    mask = filled(100, 200, 300, 400, (1000, 900))
    row = make_row(item(tmp_path / "a.png", mask), Format(840, "seg_zero"))
    expected = cv2.resize(np.asarray(noise((1000, 900))), (840, 840), interpolation=cv2.INTER_AREA)
    assert np.array_equal(pixels(row), expected)
    assert pixels(row, "mask").shape == (840, 840)
    assert (row["img_width"], row["img_height"]) == (1000, 900)


def test_coordinates_are_scaled_from_the_original_mask(tmp_path: Path) -> None:
    save(noise((1000, 900)), tmp_path / "a.png")
    mask = filled(101, 203, 307, 411, (1000, 900))
    row = make_row(item(tmp_path / "a.png", mask), Format(840, "seg_zero"))
    (x1, y1, x2, y2), points = box_and_points(mask)
    fx, fy = 840 / 1000, 840 / 900
    (placed,) = parse_solution(row["solution"])
    assert (placed.box.x1, placed.box.y1) == (int(x1 * fx + 0.5), int(y1 * fy + 0.5))
    assert (placed.box.x2, placed.box.y2) == (int(x2 * fx + 0.5), int(y2 * fy + 0.5))
    assert [(p.x, p.y) for p in placed.points] == [
        (int(x * fx + 0.5), int(y * fy + 0.5)) for x, y in points
    ]


def test_a_point_stays_in_the_picture(tmp_path: Path) -> None:
    save(noise((3000, 20)), tmp_path / "a.png")
    mask = filled(2999, 0, 1, 20, (3000, 20))
    with pytest.raises(Unusable, match="hidden object"):  # less than a pixel of 840
        make_row(item(tmp_path / "a.png", mask), Format(840, "seg_zero"))
    mask = filled(2990, 0, 10, 20, (3000, 20)) & ~filled(2990, 0, 9, 19, (3000, 20))
    row = make_row(item(tmp_path / "a.png", mask), Format(840, "seg_zero"))
    (placed,) = parse_solution(row["solution"])
    assert all(0 <= value <= 839 for point in placed.points for value in (point.x, point.y))


def test_every_object_is_listed_and_the_smaller_lies_on_top(tmp_path: Path) -> None:
    save(noise(), tmp_path / "a.png")
    inside = filled(32, 10, 4, 4)
    row = make_row(item(tmp_path / "a.png", inside, RIGHT), ORIGINAL)
    assert [placed.box.x1 for placed in parse_solution(row["solution"])] == [32, 30]
    assert np.array_equal(pixels(row, "mask"), np.where(inside, 1, np.where(RIGHT, 2, 0)))


def test_one_object_is_the_union_of_all(tmp_path: Path) -> None:
    save(noise(), tmp_path / "a.png")
    row = make_row(item(tmp_path / "a.png", LEFT, RIGHT), Format(None, "seg_zero"))
    (placed,) = parse_solution(row["solution"])
    assert (placed.box.x1, placed.box.x2) == (5, 49)
    assert np.array_equal(pixels(row, "mask"), LEFT | RIGHT)


def test_ignored_pixels_are_255_where_no_object_is(tmp_path: Path) -> None:
    save(noise(), tmp_path / "a.png")
    ground_truth = GroundTruth((LEFT,), np.ones_like(LEFT))
    row = make_row(Item("a", "thing", tmp_path / "a.png", lambda h, w: ground_truth), ORIGINAL)
    assert np.array_equal(pixels(row, "mask"), np.where(LEFT, 1, 255))


def test_a_row_reads_back_as_a_sample(tmp_path: Path) -> None:
    save(noise(), tmp_path / "a.png")
    sample = row_to_sample(make_row(item(tmp_path / "a.png", LEFT, RIGHT), ORIGINAL))
    assert np.array_equal(sample.image, np.asarray(noise()))
    assert np.array_equal(sample.mask > 0, LEFT | RIGHT)
    assert len(sample.objects) == len(sample.masks) == 2


@pytest.mark.parametrize(
    ("mode", "name"), [("L", "a.jpg"), ("CMYK", "a.jpg"), ("RGBA", "a.png"), ("P", "a.png")]
)
def test_other_kinds_of_pictures_become_rgb(tmp_path: Path, mode: str, name: str) -> None:
    save(noise().convert(mode), tmp_path / name)
    row = make_row(item(tmp_path / name, LEFT), ORIGINAL)
    with Image.open(tmp_path / name) as stored:
        assert np.array_equal(pixels(row), np.asarray(stored.convert("RGB")))


def rotated(file: Path) -> Image.Image:
    """Stored lying on its side, with the EXIF note to turn it; returned upright."""
    lying = noise((40, 60))
    exif = lying.getexif()
    exif[0x0112] = 6
    save(lying, file, exif=exif)
    with Image.open(file) as stored:
        return ImageOps.exif_transpose(stored)


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    upright = rotated(tmp_path / "a.png")
    row = make_row(item(tmp_path / "a.png", LEFT), ORIGINAL)
    assert np.array_equal(pixels(row), np.asarray(upright))
    assert pixels(row).shape == (40, 60, 3)


def test_unless_its_annotation_is_for_the_pixels_as_they_lie(tmp_path: Path) -> None:
    rotated(tmp_path / "a.png")
    mask = filled(5, 30, 20, 20, (40, 60))
    row = make_row(item(tmp_path / "a.png", mask, size=(40, 60)), ORIGINAL)
    assert np.array_equal(pixels(row), np.asarray(noise((40, 60))))
    stored = Image.open(io.BytesIO(row["image"]["bytes"]))
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(stored)), np.asarray(stored))


def test_what_can_not_become_a_row_says_why(tmp_path: Path) -> None:
    whole = save(noise(), tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("not a picture")
    Image.fromarray(np.zeros((40, 60), np.uint16)).save(tmp_path / "deep.png")
    nothing = np.zeros_like(LEFT)
    single = Format(None, "seg_zero")
    cases = [
        (item(tmp_path / "none.jpg", LEFT), ORIGINAL, "missing image"),
        (item(tmp_path, LEFT), ORIGINAL, "unreadable image"),
        (item(tmp_path / "cut.jpg", LEFT), ORIGINAL, "corrupt image"),
        (item(tmp_path / "text.jpg", LEFT), ORIGINAL, "corrupt image"),
        (item(tmp_path / "deep.png", LEFT), ORIGINAL, "unreadable image"),
        (item(tmp_path / "a.jpg", LEFT, size=(40, 40)), ORIGINAL, "size mismatch"),
        (item(tmp_path / "a.jpg", nothing), ORIGINAL, "empty mask"),
        (item(tmp_path / "a.jpg", LEFT, LEFT), ORIGINAL, "hidden object"),
        (item(tmp_path / "a.jpg", *[LEFT] * 121), ORIGINAL, "too many objects"),
        (item(tmp_path / "a.jpg"), single, "nothing to find"),
    ]
    for case, stored, reason in cases:
        with pytest.raises(Unusable, match=reason):
            make_row(case, stored)


@pytest.mark.parametrize("text", ["", "  ", "?!", "a\x00b", "x" * 2001])
def test_a_text_that_no_model_could_be_asked_is_refused(tmp_path: Path, text: str) -> None:
    save(noise(), tmp_path / "a.png")
    with pytest.raises(Unusable, match="unusable text"):
        make_row(Item("a", text, tmp_path / "a.png", lambda h, w: GroundTruth((LEFT,))), ORIGINAL)


def test_nothing_matches_is_an_empty_list(tmp_path: Path) -> None:
    save(noise(), tmp_path / "a.png")
    row = make_row(item(tmp_path / "a.png"), ORIGINAL)
    assert row["solution"] == "[]"
    assert not pixels(row, "mask").any()
