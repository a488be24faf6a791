"""Start the perception node and a simulated camera for it.

Then, in another shell: `ros2 run segzero_ros ask "the red ball" --follow`.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

PERCEPTION = Path(__file__).with_name("perception.launch.py")


def generate_launch_description() -> LaunchDescription:
    """Called by `ros2 launch`."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "seed", default_value="576", description="Number of the first scene on the table."
            ),
            DeclareLaunchArgument(
                "scene_period",
                default_value="0.0",
                description="Seconds after which the next scene comes; 0 keeps the first.",
            ),
            DeclareLaunchArgument(
                "motion",
                default_value="true",
                choices=["true", "false"],
                description="Whether camera and objects move.",
            ),
            # Before perception.launch.py declares it: the simulated camera has depth.
            DeclareLaunchArgument(
                "use_depth",
                default_value="true",
                choices=["true", "false"],
                description="Publish the objects in 3D.",
            ),
            # First: it declares the other arguments and configures Fast DDS for both nodes.
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(PERCEPTION))),
            Node(
                package="segzero_ros",
                executable="tabletop_camera",
                name="tabletop_camera",
                namespace=LaunchConfiguration("namespace"),
                parameters=[
                    {
                        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                        for name, kind in (("seed", int), ("scene_period", float), ("motion", bool))
                    }
                ],
                remappings=[
                    ("camera/image_raw", LaunchConfiguration("image")),
                    ("camera/depth/image_raw", LaunchConfiguration("depth")),
                    ("camera/camera_info", LaunchConfiguration("camera_info")),
                ],
                ros_arguments=["--log-level", LaunchConfiguration("log_level")],
                prefix=LaunchConfiguration("python"),
                output="screen",
            ),
        ]
    )
