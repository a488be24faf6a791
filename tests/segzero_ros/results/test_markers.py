"""Markers: boxes, labels and outlines where the objects are, and nothing of the frame before."""

from collections import defaultdict

import numpy as np
import pytest
from visualization_msgs.msg import Marker

from segzero.overlay import colour
from segzero_ros.results.markers import marker_array, no_markers
from segzero_ros.results.poses import object_boxes
from tests.segzero_ros.results.results_3d import BASE, TRACKS, located, result


def drawn(pose=None, **options) -> dict[str, dict[int, Marker]]:
    """The markers by namespace and id; the first, which deletes, has neither."""
    place = located(pose)
    found = result(place, **options)
    by_name: dict[str, dict[int, Marker]] = defaultdict(dict)
    for marker in marker_array(found, place, object_boxes(found, place)).markers:
        by_name[marker.ns][marker.id] = marker
    return by_name


def test_the_markers_of_the_frame_before_are_deleted_first() -> None:
    place = located()
    first, *others = marker_array(result(place), place, {}).markers
    assert (first.action, others) == (Marker.DELETEALL, [])
    assert no_markers().markers == [first]


@pytest.mark.parametrize(("pose", "frame"), [(None, "eye"), (BASE, "base")])
def test_each_located_object_has_a_box_a_label_and_an_outline(pose, frame: str) -> None:
    markers = drawn(pose)
    for name, kind in (
        ("boxes", Marker.CUBE),
        ("labels", Marker.TEXT_VIEW_FACING),
        ("outlines", Marker.LINE_LIST),
    ):
        assert markers[name].keys() == {41, 42}
        for marker in markers[name].values():
            assert (marker.type, marker.action) == (kind, Marker.ADD)
            assert (marker.header.frame_id, marker.header.stamp.sec) == (frame, 12)


def test_a_box_has_the_size_of_the_object_and_is_never_flat() -> None:
    box = drawn()["boxes"][42]
    assert (box.scale.x, box.scale.y, box.scale.z) == pytest.approx((19 / 30, 9 / 30, 0.001))
    assert (box.pose.position.z, box.color.a) == (pytest.approx(2), pytest.approx(0.35))


def test_colours_are_those_of_the_overlay() -> None:
    for name in ("boxes", "labels", "outlines"):
        shown = drawn()[name][42].color
        assert [shown.r, shown.g, shown.b] == pytest.approx([part / 255 for part in colour(2)])


@pytest.mark.parametrize(("track", "text"), [(41, "fetch: the red ball"), (42, "a mug")])
def test_a_label_names_goal_and_object(track: int, text: str) -> None:
    assert drawn()["labels"][track].text == text


@pytest.mark.parametrize(("pose", "axis", "sign"), [(None, "y", -1), (BASE, "z", 1)])
def test_a_label_stands_above_its_box(pose, axis: str, sign: int) -> None:
    markers = drawn(pose)
    label, box = markers["labels"][42], markers["boxes"][42]
    above = getattr(label.pose.position, axis) - getattr(box.pose.position, axis)
    assert sign * above == pytest.approx(4.5 / 30 + label.scale.z, abs=0.002)
    assert label.scale.z == pytest.approx(0.15)


@pytest.mark.parametrize("wide", [False, True], ids=["mono8", "mono16"])
def test_an_outline_is_closed_and_follows_the_mask(wide: bool) -> None:
    line = drawn(wide=wide)["outlines"][41]
    points = np.array([(point.x, point.y, point.z) for point in line.points])
    np.testing.assert_allclose(points[1::2], np.roll(points[::2], -1, axis=0))
    low, high = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose(low, [(10 - 31.5) / 30, (8 - 23.5) / 30, 2], atol=1e-5)
    np.testing.assert_allclose(high, [(26 - 31.5) / 30, (20 - 23.5) / 30, 2], atol=1e-5)


@pytest.mark.parametrize("tracks", [TRACKS[2:], ()], ids=["no depth", "no objects"])
def test_what_has_no_place_has_no_marker(tracks) -> None:
    assert drawn(tracks=tracks).keys() == {""}
