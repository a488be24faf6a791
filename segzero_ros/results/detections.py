"""Results as vision_msgs, which are installed with apt or built, but not with pip."""

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion, Vector3
from vision_msgs.msg import (
    BoundingBox2D,
    BoundingBox3D,
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
    VisionClass,
)

from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.depth.oriented_box import OrientedBox
from segzero_ros.msg import Segmentation, SegmentedObject
from segzero_ros.results.poses import header_in_3d, to_pose


def class_id(item: SegmentedObject) -> str:
    """The name under which an object is told: its goal's, or its label for the default goal."""
    return str(item.goal or item.label)


def detections_2d(result: Segmentation) -> Detection2DArray:
    """Make the boxes of a result, in pixels; their ids are the track ids."""
    found = []
    for item in result.objects:
        left, top, right, bottom = map(float, item.box)
        centre = Pose2D(position=Point2D(x=(left + right) / 2, y=(top + bottom) / 2))
        found.append(
            Detection2D(
                header=result.header,
                id=str(item.track_id),
                results=[ObjectHypothesisWithPose(hypothesis=_hypothesis(item))],
                bbox=BoundingBox2D(center=centre, size_x=right - left, size_y=bottom - top),
            )
        )
    return Detection2DArray(header=result.header, detections=found)


def detections_3d(
    result: Segmentation, located: LocatedObjects, boxes: dict[int, OrientedBox]
) -> Detection3DArray:
    """Make the boxes of the located objects, in metres.

    Args:
        result: The result.
        located: Its objects in 3D.
        boxes: Theirs, as `object_boxes` returns them.

    Returns:
        Boxes along the axes of the frame, as large as `extent` in the result. The hypothesis has
        the pose of the turned box.
    """
    header = header_in_3d(result)
    found = []
    for item in result.objects:
        if item.id not in boxes:
            continue
        points = located.cloud.points[located.cloud.ids == item.id]
        low, high = (np.array([f(axis) for axis in points.T], float) for f in (np.min, np.max))
        hypothesis = ObjectHypothesisWithPose(
            hypothesis=_hypothesis(item), pose=PoseWithCovariance(pose=to_pose(boxes[item.id]))
        )
        centre = Pose(
            position=Point(**dict(zip("xyz", ((low + high) / 2).tolist(), strict=True))),
            orientation=Quaternion(w=1.0),
        )
        size = Vector3(**dict(zip("xyz", (high - low).tolist(), strict=True)))
        found.append(
            Detection3D(
                header=header,
                id=str(item.track_id),
                results=[hypothesis],
                bbox=BoundingBox3D(center=centre, size=size),
            )
        )
    return Detection3DArray(header=header, detections=found)


def label_info(result: Segmentation) -> LabelInfo:
    """Say what the values of a result's mask are called."""
    names = [VisionClass(class_id=item.id, class_name=class_id(item)) for item in result.objects]
    return LabelInfo(header=result.header, class_map=names)


def _hypothesis(item: SegmentedObject) -> ObjectHypothesis:
    return ObjectHypothesis(class_id=class_id(item), score=float(np.clip(item.score, 0, 1)))
