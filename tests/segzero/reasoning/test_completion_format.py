"""One value says how a checkpoint writes: what it writes, it reads again."""

from typing import Any

import pytest

from segzero.errors import MalformedAnswer
from segzero.profiles import load_profile, profile_names
from segzero.reasoning.answers import FORMATS, LAYOUTS
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.coordinates import CONVENTIONS, ROUNDINGS
from segzero.types import Answer, Box, GroundedObject, Point

ANSWER = Answer("a ball", (GroundedObject(Box(64, 48, 320, 240), (Point(128, 96),)),), "")
FORMAT = {"answer_format": "seg_zero", "coordinates": "relative_1000", "rounding": "round"}


@pytest.mark.parametrize("answer_format", FORMATS)
@pytest.mark.parametrize("coordinates", CONVENTIONS)
@pytest.mark.parametrize("rounding", list(ROUNDINGS))
def test_what_is_written_is_read_again(answer_format: Any, coordinates: Any, rounding: Any) -> None:
    form = CompletionFormat(answer_format, coordinates, rounding)
    text = form.write(ANSWER, (840, 840), (640, 480))
    read = form.read(text, (840, 840), (640, 480))
    (item,), layout = ANSWER.objects, LAYOUTS[answer_format]
    held = (item.box if layout.box else None, item.points if layout.points else ())
    assert (read.reasoning, read.objects) == (ANSWER.reasoning, (GroundedObject(*held),))


@pytest.mark.parametrize(
    ("body", "objects"),
    [
        ('[{"point_2d": [500,500]}, {"point_2d": [2000,500]}]', [(Point(80, 60),)]),
        ('{"points_1": [500,500], "points_2": [2000,500]}', [(Point(80, 60), Point(159, 60))]),
        ("[]", []),
    ],
)
def test_points_alone_are_clipped_and_lie_in_the_image(body: str, objects: Any) -> None:
    form = CompletionFormat("vision_reasoner_points", "relative_1000")
    answer = form.read(f"<answer>{body}</answer>", (224, 224), (160, 120))
    assert [(item.box, item.points) for item in answer.objects] == [(None, p) for p in objects]


@pytest.mark.parametrize(
    "body", ['[{"point_2d": [-50,500]}]', '[{"point_2d": [500,1200]}]', "[{}]"]
)
def test_points_without_any_in_the_image_are_malformed(body: str) -> None:
    with pytest.raises(MalformedAnswer):
        CompletionFormat("vision_reasoner_points", "relative_1000").read(
            f"<answer>{body}</answer>", (224, 224), (160, 120)
        )


@pytest.mark.parametrize(
    ("key", "value"), [("answer_format", "json"), ("coordinates", "pixels"), ("rounding", "down")]
)
def test_a_misspelt_name_is_refused(key: str, value: str) -> None:
    options: dict[str, Any] = FORMAT | {key: value}
    with pytest.raises(ValueError, match=f"{value!r} is not one of"):
        CompletionFormat(**options)


def test_another_formats_text_is_malformed() -> None:
    with pytest.raises(MalformedAnswer):
        CompletionFormat("seg_zero", "relative_1000").read("no answer", (840, 840), (64, 64))


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_has_a_format(name: str) -> None:
    profile = load_profile(name)
    assert profile.completion_format.answer_format == profile.answer_format


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"bbox_2d": [7,7,7,9], "point_2d": [7,8]}', "object 2 has a box without width or height"),
        ('{"bbox_2d": [1100,7,1200,9], "point_2d": [7,8]}', "a box covers nothing of the image"),
        ('{"bbox_2d": [7,7,', "object 2 is cut off"),
    ],
)
def test_a_bad_object_leaves_the_good_ones_and_is_named(bad: str, reason: str) -> None:
    text = f'<answer>[{{"bbox_2d": [100,200,500,600], "point_2d": [300,400]}}, {bad}'
    form = CompletionFormat("vision_reasoner", "relative_1000")
    answer = form.read(text, (224, 224), (160, 120))
    assert answer.objects == (GroundedObject(Box(16, 24, 80, 72), (Point(48, 48),)),)
    assert answer.dropped == (reason,)
    with pytest.raises(MalformedAnswer):
        form.read(text, (224, 224), (160, 120), strict=True)
