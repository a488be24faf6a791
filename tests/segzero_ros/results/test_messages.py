"""Answers as messages."""

import numpy as np
import pytest
from std_msgs.msg import Header

from segzero.types import Box, Point, Segmentation, SegmentedObject
from segzero_ros.images.conversions import to_rgb
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.results import messages


@pytest.fixture
def header() -> Header:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = 12, 34
    return header


def segmentation(*objects: SegmentedObject) -> Segmentation:
    return Segmentation("the ball", "It is round.", "<think>…", (4, 3), objects)


def ball() -> SegmentedObject:
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True
    return SegmentedObject(1, Box(0.5, 1, 2.5, 2), (Point(1, 1.5), Point(2, 1)), mask, 0.75)


def test_an_answer_carries_everything(header: Header) -> None:
    message = messages.answered(segmentation(ball()), header, "The ball?", 7)
    assert message.state == SegmentationMessage.ANSWERED
    assert (message.query, message.query_id, message.error) == ("The ball?", 7, "")
    assert message.reasoning == "It is round."
    (item,) = message.objects
    assert (item.id, list(item.box), item.score) == (1, [0.5, 1, 2.5, 2], 0.75)
    assert [(point.x, point.y, point.z) for point in item.points] == [(1, 1.5, 0), (2, 1, 0)]


def test_the_mask_holds_ids_under_the_header_of_the_image(header: Header) -> None:
    message = messages.answered(segmentation(ball()), header, "", 1)
    assert message.header == message.mask.header == header
    assert message.mask.encoding == "mono8"
    expected = [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(to_rgb(message.mask)[..., 0], expected)


def test_no_objects_mean_nothing_with_an_empty_mask(header: Header) -> None:
    message = messages.answered(segmentation(), header, "", 1)
    assert message.state == SegmentationMessage.NOTHING
    assert (message.mask.width, message.mask.height) == (4, 3)
    assert not any(message.mask.data)


@pytest.mark.parametrize(
    ("objects", "lost", "state"),
    [
        ((ball(),), [], SegmentationMessage.TRACKED),
        ((ball(),), [2, 3], SegmentationMessage.TRACKED),
        ((), [1, 2], SegmentationMessage.LOST),
    ],
)
def test_a_followed_frame_tells_who_is_seen_and_who_is_lost(
    header: Header, objects: tuple[SegmentedObject, ...], lost: list[int], state: int
) -> None:
    message = messages.followed(segmentation(*objects), lost, header, "The ball?", 7)
    assert (message.state, message.query, message.query_id) == (state, "The ball?", 7)
    assert [item.id for item in message.objects] == [item.id for item in objects]
    assert list(message.lost) == lost
    assert message.header == message.mask.header == header
    assert set(message.mask.data) == {0, *(item.id for item in objects)}


def test_a_failure_says_why_and_has_no_mask(header: Header) -> None:
    message = messages.failed("no image", header, "the ball", 3)
    assert message.state == SegmentationMessage.FAILED
    assert (message.error, message.query, message.query_id) == ("no image", "the ball", 3)
    assert message.header == header
    assert not message.mask.data


def test_every_state_has_a_name() -> None:
    constants = {name for name in dir(SegmentationMessage) if name.isupper() and name[0] != "_"}
    states = constants - {"SLOT_TYPES"}
    names = [
        messages.state_name(SegmentationMessage(state=getattr(SegmentationMessage, name)))
        for name in states
    ]
    assert sorted(names) == sorted(name.lower() for name in states)
