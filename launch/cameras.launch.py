"""Start one process that serves several cameras, with a node in a namespace for each.

`ros2 launch segzero_ros cameras.launch.py cameras:=front,rear` starts /front/segzero and
/rear/segzero, which listen to /front/image_raw and /rear/image_raw. The models are loaded once.
The other arguments are those of perception.launch.py and apply to every camera.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

PERCEPTION = Path(__file__).with_name("perception.launch.py")


def generate_launch_description() -> LaunchDescription:
    """Called by `ros2 launch`."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "cameras",
                default_value="front,rear",
                description="Names of the cameras, separated by commas.",
            ),
            DeclareLaunchArgument(
                "image",
                default_value="/{camera}/image_raw",
                description="Image topic; {camera} becomes the camera's name.",
            ),
            DeclareLaunchArgument(
                "depth",
                default_value="/{camera}/depth/image_raw",
                description="Depth topic; {camera} becomes the camera's name.",
            ),
            DeclareLaunchArgument(
                "camera_info",
                default_value="/{camera}/camera_info",
                description="Calibration topic; {camera} becomes the camera's name.",
            ),
            # After them: what is declared already keeps its default.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(PERCEPTION))),
        ]
    )
