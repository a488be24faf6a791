"""A goal pose for Nav2: where the robot has to stand to have the object before it.

    python examples/approach.py "the mug" --distance 0.6

It needs depth (`use_depth:=true`). It publishes a geometry_msgs/PoseStamped on `goal_pose` once
something listens: Nav2 drives there. The pose lies between the frame's origin and the object, and
faces it. Set `target_frame` to the robot's base, whose z points up, or leave it the camera's.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
import rclpy
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from segzero.errors import BadQuestion
from segzero_ros.client import NoAnswer, Outcome, SegZeroClient
from segzero_ros.msg import Segmentation, SegmentedObject


def centroid(item: SegmentedObject) -> NDArray[np.float64]:
    """The middle of what is seen of it, in metres."""
    return np.array([item.centroid.x, item.centroid.y, item.centroid.z])


def goal_pose(result: Segmentation, item: SegmentedObject, distance: float) -> PoseStamped:
    """Make the pose of the robot's base, metres away from an object that is `located`."""
    in_camera_frame = result.points_frame_id == result.header.frame_id
    # In a camera's frame y points down and z ahead; in a robot's frame z points up.
    up = np.array([0.0, -1.0, 0.0] if in_camera_frame else [0.0, 0.0, 1.0])
    ahead = centroid(item) - centroid(item) @ up * up
    if not (way := float(np.linalg.norm(ahead))):
        raise NoAnswer("the object is right above or below: there is no way to it")
    x, stand = ahead / way, max(way - distance, 0.0)  # from nearer, the robot only turns
    axes = np.column_stack([x, np.cross(up, x), up])
    qx, qy, qz, qw = Rotation.from_matrix(axes).as_quat().tolist()
    position = Point(**dict(zip("xyz", (stand * x).tolist(), strict=True)))
    pose = Pose(position=position, orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
    header = Header(stamp=result.header.stamp, frame_id=result.points_frame_id)
    return PoseStamped(header=header, pose=pose)


def find(client: SegZeroClient, arguments: argparse.Namespace) -> PoseStamped:
    """Ask and return the pose before the nearest object; raises NoAnswer without one."""
    query = client.ask(arguments.question, timeout=arguments.timeout, goal="approach")
    reply = query.wait(arguments.timeout)
    if reply.outcome is not Outcome.ANSWERED:
        raise NoAnswer(reply.segmentation.error or f"nothing matches {arguments.question!r}")
    deadline = time.monotonic() + arguments.timeout
    for result in query.follow(arguments.timeout):  # the newest frame: the robot may have moved
        located = [item for item in result.objects if item.located and item.goal == "approach"]
        if located:
            nearest = min(located, key=lambda item: float(np.linalg.norm(centroid(item))))
            return goal_pose(result, nearest, arguments.distance)
        if time.monotonic() > deadline:
            raise NoAnswer("no object has depth: set use_depth, and see `depth` in /diagnostics")
    raise NoAnswer("another question took the goal's place")


def main(argv: Sequence[str] = sys.argv) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", help="what to drive to, such as 'the mug'")
    parser.add_argument("--distance", type=float, default=0.6, help="metres from the object")
    parser.add_argument("--node", default="segzero", help="the perception node")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for the answer")
    arguments = parser.parse_args(remove_ros_args(list(argv))[1:])
    rclpy.init(args=list(argv), signal_handler_options=SignalHandlerOptions.NO)  # Python's own
    node = Node("approach")
    publisher = node.create_publisher(PoseStamped, "goal_pose", 1)
    try:
        with SegZeroClient(node, arguments.node) as client:
            goal = find(client, arguments)
            client.clear(goal="approach")
        while not publisher.get_subscription_count():  # Nav2; a goal that nobody hears is lost
            time.sleep(0.1)
        publisher.publish(goal)
        publisher.wait_for_all_acked()
        print(goal)
    except (NoAnswer, BadQuestion) as error:
        print(f"approach: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
