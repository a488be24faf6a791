"""Results as vision_msgs."""

import pytest

from segzero_ros.results.poses import object_boxes
from tests.segzero_ros.results.results_3d import BASE, TRACKS, located, result

pytest.importorskip(
    "vision_msgs", reason="vision_msgs is not here: it comes with an installed ROS 2, not with pip"
)
from segzero_ros.results.detections import detections_2d, detections_3d, label_info


def test_a_detection_has_the_box_in_pixels_the_goals_name_and_the_track_id() -> None:
    message = detections_2d(result())
    assert message.header == message.detections[0].header == result().header
    told = [
        (item.id, item.results[0].hypothesis.class_id, item.results[0].hypothesis.score)
        for item in message.detections
    ]
    assert told == [("41", "fetch", 0.25), ("42", "a mug", 0.5), ("43", "fetch", 0.75)]
    box = message.detections[1].bbox
    assert (box.center.position.x, box.center.position.y) == (39.5, 24.5)
    assert (box.size_x, box.size_y) == (20, 10)


@pytest.mark.parametrize(
    ("pose", "centre", "size"),
    [
        (None, (8 / 30, 1 / 30, 2), (19 / 30, 9 / 30, 0)),
        (BASE, (7, 6 - 8 / 30, 7 - 1 / 30), (0, 19 / 30, 9 / 30)),
    ],
    ids=["camera", "another frame"],
)
def test_in_3d_it_has_centre_and_size_along_the_frames_axes(pose, centre, size) -> None:
    place = located(pose)
    found = result(place)
    message = detections_3d(found, place, object_boxes(found, place))
    assert message.header.frame_id == place.frame_id
    assert [item.id for item in message.detections] == ["41", "42"]
    box = message.detections[1].bbox
    position = box.center.position
    assert (position.x, position.y, position.z) == pytest.approx(centre, abs=1e-5)
    assert (box.size.x, box.size.y, box.size.z) == pytest.approx(size, abs=1e-5)
    extent = found.objects[1].extent
    assert (extent.x, extent.y, extent.z) == pytest.approx(size, abs=1e-5)
    assert box.center.orientation.w == 1
    hypothesis = message.detections[1].results[0]
    assert hypothesis.hypothesis.class_id == "a mug"
    at = hypothesis.pose.pose.position
    assert (at.x, at.y, at.z) == pytest.approx(centre, abs=1e-5)


@pytest.mark.parametrize("tracks", [TRACKS[2:], ()], ids=["no depth", "no objects"])
def test_what_has_no_place_is_no_detection_in_3d(tracks) -> None:
    place = located()
    found = result(place, tracks=tracks)
    assert not detections_3d(found, place, object_boxes(found, place)).detections


@pytest.mark.parametrize("wide", [False, True], ids=["mono8", "mono16"])
def test_label_info_names_the_values_of_the_mask(wide: bool) -> None:
    message = label_info(result(wide=wide))
    told = [(item.class_id, item.class_name) for item in message.class_map]
    assert told == [(1, "fetch"), (2, "a mug"), (3, "fetch")]
    assert message.header == result().header
