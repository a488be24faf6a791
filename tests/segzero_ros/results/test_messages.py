"""Answers as messages."""

from dataclasses import replace

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointField
from std_msgs.msg import Header

from segzero.tracks import Track
from segzero.types import Box, Point, Segmentation, SegmentedObject
from segzero_ros.depth.cloud import EMPTY, Cloud, ObjectGeometry
from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.images.conversions import from_array, to_rgb
from segzero_ros.msg import Segmentation as SegmentationMessage
from segzero_ros.query import FollowedAnswer, Query
from segzero_ros.results import messages
from segzero_ros.results.messages import POINT

HEADER = Header(frame_id="eye")
QUERY = Query(7, "The ball?", None, 0.0, goal="fetch", request_id="r-1")
TRACKS = tuple(Track(number, 40 + number, "fetch", f"ball {number}") for number in (1, 2, 3))


@pytest.fixture
def header() -> Header:
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = 12, 34
    return header


def segmentation(*objects: SegmentedObject) -> Segmentation:
    return Segmentation("the ball", "It is round.", "<think>…", (4, 3), objects)


def mask(answer: Segmentation, header: Header) -> Image:
    return from_array(answer.mask(), header)


def ball() -> SegmentedObject:
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True
    return SegmentedObject(1, Box(0.5, 1, 2.5, 2), (Point(1, 1.5), Point(2, 1)), mask, 0.75)


def test_an_answer_carries_everything(header: Header) -> None:
    answer = segmentation(ball())
    message = messages.answered(QUERY, answer, TRACKS, mask(answer, header))
    assert message.state == SegmentationMessage.ANSWERED
    assert (message.query, message.query_id, message.error) == ("The ball?", 7, "")
    assert message.reasoning == "It is round."
    (item,) = message.objects
    assert (item.id, list(item.box), item.score) == (1, [0.5, 1, 2.5, 2], 0.75)
    assert (item.track_id, item.goal, item.label) == (41, "fetch", "ball 1")
    assert [(point.x, point.y, point.z) for point in item.points] == [(1, 1.5, 0), (2, 1, 0)]


def test_the_mask_holds_ids_under_the_header_of_the_image(header: Header) -> None:
    answer = segmentation(ball())
    message = messages.answered(QUERY, answer, TRACKS, mask(answer, header))
    assert message.header == message.mask.header == header
    assert message.mask.encoding == "mono8"
    expected = [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(to_rgb(message.mask)[..., 0], expected)


def test_no_objects_mean_nothing_with_an_empty_mask(header: Header) -> None:
    message = messages.answered(QUERY, segmentation(), (), mask(segmentation(), header))
    assert message.state == SegmentationMessage.NOTHING
    assert (message.mask.width, message.mask.height) == (4, 3)
    assert not any(message.mask.data)


@pytest.mark.parametrize(
    ("objects", "lost", "state"),
    [
        ((ball(),), [2, 3], SegmentationMessage.TRACKED),
        ((), [1, 2, 3], SegmentationMessage.LOST),
    ],
)
def test_a_followed_frame_tells_who_is_seen_and_who_is_lost(
    header: Header, objects: tuple[SegmentedObject, ...], lost: list[int], state: int
) -> None:
    frame = segmentation(*objects)
    answers = [FollowedAnswer(QUERY, TRACKS)]
    message = messages.tracked(answers, frame, mask(frame, header))
    assert (message.state, message.query, message.query_id) == (state, "The ball?", 7)
    assert [item.id for item in message.objects] == [item.id for item in objects]
    assert list(message.lost) == lost
    assert message.header == message.mask.header == header
    assert set(message.mask.data) == {0, *(item.id for item in objects)}


def test_a_followed_frame_tells_of_every_goal(header: Header) -> None:
    other = Query(8, "the box", None, 0.0, goal="avoid", request_id="r-2")
    answers = [FollowedAnswer(QUERY, TRACKS[:2]), FollowedAnswer(other, TRACKS[2:])]
    frame = segmentation(ball())
    message = messages.tracked(answers, frame, mask(frame, header))
    assert (message.query_id, message.goal, message.request_id) == (8, "avoid", "r-2")
    told = [
        (goal.goal, goal.query, goal.query_id, goal.request_id, list(goal.ids), list(goal.lost))
        for goal in message.goals
    ]
    assert told == [
        ("fetch", "The ball?", 7, "r-1", [1, 2], [2]),
        ("avoid", "the box", 8, "r-2", [3], [3]),
    ]


def test_a_failure_says_why_and_has_no_mask(header: Header) -> None:
    code = SegmentationMessage.ERROR_NO_IMAGE
    message = messages.failed(QUERY, code, "no image", header, latency=0.5)
    assert message.state == SegmentationMessage.FAILED
    assert (message.error_code, message.error, message.latency) == (code, "no image", 0.5)
    assert (message.query, message.query_id, message.goal) == ("The ball?", 7, "fetch")
    assert message.header == header
    assert not message.mask.data


def test_located_objects_have_their_geometry_and_the_others_none(header: Header) -> None:
    objects = {1: ObjectGeometry(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.25, 0], np.float32))}
    located = LocatedObjects(Cloud(EMPTY.points, EMPTY.ids, objects), "base")
    answer = segmentation(ball(), replace(ball(), id=2))
    message = messages.answered(QUERY, answer, TRACKS, mask(answer, header), located=located)
    first, second = message.objects
    assert (first.located, second.located, message.points_frame_id) == (True, False, "base")
    assert (first.centroid.x, first.centroid.y, first.centroid.z) == (1, 2, 3)
    assert (first.extent.x, first.extent.y, first.extent.z) == (0.5, 0.25, 0)


CLOUD = Cloud(np.arange(12, dtype=np.float32).reshape(4, 3), np.array([1, 1, 2, 9], np.uint8), {})


@pytest.mark.parametrize("cloud", [CLOUD, EMPTY], ids=["points", "empty"])
def test_the_message_says_what_is_in_it(cloud: Cloud) -> None:
    message = messages.point_cloud(LocatedObjects(cloud, "eye"), HEADER)
    count = len(cloud.points)
    assert (message.header, message.height, message.width) == (HEADER, 1, count)
    assert (message.point_step, message.row_step) == (16, 16 * count)
    assert [field.name for field in message.fields] == ["x", "y", "z", "id"]
    rows = np.frombuffer(message.data.tobytes(), POINT)
    np.testing.assert_array_equal(np.stack([rows["x"], rows["y"], rows["z"]], 1), cloud.points)
    np.testing.assert_array_equal(rows["id"], cloud.ids)


def test_it_is_the_message_of_sensor_msgs_py() -> None:
    point_cloud2 = pytest.importorskip(
        "sensor_msgs_py.point_cloud2",
        reason="sensor_msgs_py is not here: it comes with an installed ROS 2, not with pip",
    )
    rows = np.empty(len(CLOUD.points), POINT)
    rows["x"], rows["y"], rows["z"] = CLOUD.points.T
    rows["id"] = CLOUD.ids
    kinds = [("x", PointField.FLOAT32), ("y", PointField.FLOAT32), ("z", PointField.FLOAT32)]
    fields = [
        PointField(name=name, offset=4 * place, datatype=kind, count=1)
        for place, (name, kind) in enumerate([*kinds, ("id", PointField.UINT32)])
    ]
    theirs = point_cloud2.create_cloud(HEADER, fields, rows)
    ours = messages.point_cloud(LocatedObjects(CLOUD, "eye"), HEADER)
    assert ours.data.tobytes() == theirs.data.tobytes()
    ours.is_dense = theirs.is_dense  # it never says that no point is invalid
    assert ours == theirs
    read = point_cloud2.read_points(ours)
    assert read["id"].tolist() == [1, 1, 2, 9]
