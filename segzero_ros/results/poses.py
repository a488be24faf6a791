"""Poses of objects, for grasping: their turned boxes as ROS messages."""

from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, TransformStamped, Vector3
from std_msgs.msg import Header

from segzero_ros.depth.locator import LocatedObjects
from segzero_ros.depth.oriented_box import OrientedBox, oriented_box
from segzero_ros.depth.transforms import quaternion
from segzero_ros.msg import Segmentation


def header_in_3d(result: Segmentation) -> Header:
    """The header of what is published in 3D: the image's stamp, the frame of the points."""
    return Header(stamp=result.header.stamp, frame_id=result.points_frame_id)


def object_boxes(result: Segmentation, located: LocatedObjects) -> dict[int, OrientedBox]:
    """Fit a turned box to every located object of a result.

    Args:
        result: The result.
        located: Its objects in 3D.

    Returns:
        The boxes by id, in the order of the objects.
    """
    viewpoint = None if located.pose is None else located.pose[:3, 3]
    cloud = located.cloud
    return {
        item.id: oriented_box(cloud.points[cloud.ids == item.id], viewpoint)
        for item in result.objects
        if item.id in cloud.objects
    }


def to_pose(box: OrientedBox) -> Pose:
    """The centre and the axes of a box."""
    x, y, z = map(float, box.center)
    qx, qy, qz, qw = map(float, quaternion(box.rotation))
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def goal_poses(result: Segmentation, boxes: dict[int, OrientedBox]) -> dict[str, PoseStamped]:
    """The pose of each goal: that of the first of its objects that is located.

    Args:
        result: The result.
        boxes: As `object_boxes` returns them.

    Returns:
        The poses by the goal's name.
    """
    header = header_in_3d(result)
    poses: dict[str, PoseStamped] = {}
    for item in result.objects:
        if item.id in boxes and item.goal not in poses:
            poses[item.goal] = PoseStamped(header=header, pose=to_pose(boxes[item.id]))
    return poses


def goal_frame(node: str, goal: str) -> str:
    """The tf frame of a goal: `segzero/NAME`, and `segzero` for the default goal.

    Args:
        node: Full name of the node.
        goal: The goal's name.
    """
    own = node.strip("/")
    return f"{own}/{goal}" if goal else own


def to_transform(pose: PoseStamped, child: str) -> TransformStamped:
    """A pose as the transform of a frame that lies there.

    Args:
        pose: The pose.
        child: Name of the frame.
    """
    message = TransformStamped(header=pose.header, child_frame_id=child)
    place = pose.pose.position
    message.transform.translation = Vector3(x=place.x, y=place.y, z=place.z)
    message.transform.rotation = pose.pose.orientation
    return message
