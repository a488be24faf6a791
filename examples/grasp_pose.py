"""A grasp pose for MoveIt: where the gripper has to be to take the object.

    python examples/grasp_pose.py "the red ball"

It needs depth (`use_depth:=true`). It publishes a latched geometry_msgs/PoseStamped on
`grasp_pose`: z is the direction in which the gripper comes, its fingers close along x. Without
`target_frame` the gripper comes along the camera's view. With a `target_frame` whose z points up,
such as the arm's base, it comes from above. In MoveIt, give the pose to `setPoseTarget` with the
gripper's link.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
import rclpy
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from segzero.errors import BadQuestion
from segzero_ros.client import NoAnswer, Outcome, SegZeroClient
from segzero_ros.msg import Segmentation, SegmentedObject

GOAL = "grasp"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def grasp_pose(result: Segmentation, item: SegmentedObject) -> PoseStamped:
    """Make the pose of the gripper at an object that has a place in 3D (`located`)."""
    centre = np.array([item.centroid.x, item.centroid.y, item.centroid.z])
    in_camera_frame = result.points_frame_id == result.header.frame_id
    approach = centre / np.linalg.norm(centre) if in_camera_frame else np.array([0.0, 0.0, -1.0])
    # The fingers close along the narrower of the two sides that the approach doesn't run along.
    closing = np.eye(3)[0 if item.extent.x <= item.extent.y else 1]
    x = closing - closing @ approach * approach
    x /= np.linalg.norm(x)
    position = Point(x=item.centroid.x, y=item.centroid.y, z=item.centroid.z)
    axes = np.column_stack([x, np.cross(approach, x), approach])
    qx, qy, qz, qw = Rotation.from_matrix(axes).as_quat().tolist()
    pose = Pose(position=position, orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
    header = Header(stamp=result.header.stamp, frame_id=result.points_frame_id)
    return PoseStamped(header=header, pose=pose)


def find(client: SegZeroClient, question: str, timeout: float) -> PoseStamped:
    """Ask and return the pose at the best object; raises NoAnswer without one."""
    query = client.ask(question, timeout=timeout, goal=GOAL)
    reply = query.wait(timeout)
    if reply.outcome is not Outcome.ANSWERED:
        raise NoAnswer(reply.segmentation.error or f"nothing matches {question!r}")
    deadline = time.monotonic() + timeout
    for result in query.follow(timeout):  # the newest frame: while it thought, things have moved
        located = [item for item in result.objects if item.located and item.goal == GOAL]
        if located:
            return grasp_pose(result, max(located, key=lambda item: item.score))
        if time.monotonic() > deadline:
            raise NoAnswer("no object has depth: set use_depth, and see `depth` in /diagnostics")
    raise NoAnswer("another question took the goal's place")


def main(argv: Sequence[str] = sys.argv) -> int:
    """Run the program until ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", help="what to grasp, such as 'the red ball'")
    parser.add_argument("--node", default="segzero", help="the perception node")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for the answer")
    arguments = parser.parse_args(remove_ros_args(list(argv))[1:])
    rclpy.init(args=list(argv), signal_handler_options=SignalHandlerOptions.NO)  # Python's own
    node = Node("grasp_pose")
    publisher = node.create_publisher(PoseStamped, "grasp_pose", LATCHED)
    try:
        with SegZeroClient(node, arguments.node) as client:
            pose = find(client, arguments.question, arguments.timeout)
            client.clear(goal=GOAL)
        print(pose)
        publisher.publish(pose)
        while True:  # a latched message lives as long as its publisher
            time.sleep(0.1)
    except (NoAnswer, BadQuestion) as error:
        print(f"grasp_pose: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0  # the ordinary end
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
