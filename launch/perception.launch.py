"""Start the perception node. `ros2 launch segzero_ros perception.launch.py --show-args`"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode

CONFIG = Path(get_package_share_directory("segzero_ros"), "config")
FAST_DDS = "FASTRTPS_DEFAULT_PROFILES_FILE"
RESPAWN_DELAY = 2.0
"""Seconds; a node that can't start must not use the processor all the time."""

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(CONFIG / "segzero.yaml"),
        description="YAML file with the node's parameters.",
    ),
    DeclareLaunchArgument(
        "image", default_value="/camera/image_raw", description="The camera's image topic."
    ),
    DeclareLaunchArgument(
        "depth",
        default_value="/camera/depth/image_raw",
        description="The camera's depth, registered to its colour image.",
    ),
    DeclareLaunchArgument(
        "camera_info", default_value="/camera/camera_info", description="The camera's calibration."
    ),
    DeclareLaunchArgument(
        "use_depth",
        default_value="",
        choices=["", "true", "false"],
        description="Publish the objects in 3D; empty: as the params_file says.",
    ),
    DeclareLaunchArgument(
        "profile",
        default_value="",
        description="Profile that names the models; empty: as the params_file says.",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="auto, cpu, cuda or cuda:N; empty: as the params_file says.",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=["true", "false"],
        description="Configure and activate the node; with false, `ros2 lifecycle set` does.",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="true",
        choices=["true", "false"],
        description="Start the node again when its process ends.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Take the time from /clock.",
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="Log level of the node."),
    DeclareLaunchArgument(
        "python",
        default_value="",
        description="Python that starts the node, such as /path/to/.venv/bin/python; empty: the "
        "one that the package was built for.",
    ),
]


def perception_node(context: LaunchContext) -> list[LifecycleNode]:
    """The node, with what the arguments say."""
    given = {
        argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS
    }
    overrides: dict[str, str | bool] = {
        name: given[name] for name in ("profile", "device") if given[name]
    }
    switches = [name for name in ("autostart", "use_depth", "use_sim_time") if given[name]]
    overrides |= {name: given[name] == "true" for name in switches}
    return [
        LifecycleNode(
            package="segzero_ros",
            executable="perception_node",
            name="segzero",
            namespace=given["namespace"],
            parameters=[given["params_file"], overrides],
            remappings=[(name, given[name]) for name in ("image", "depth", "camera_info")],
            ros_arguments=["--log-level", given["log_level"]],
            prefix=given["python"] or None,
            respawn=given["respawn"] == "true",
            respawn_delay=RESPAWN_DELAY,
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by `ros2 launch`."""
    profile_file = EnvironmentVariable(FAST_DDS, default_value=str(CONFIG / "fastdds.xml"))
    return LaunchDescription(
        [
            *ARGUMENTS,
            SetEnvironmentVariable(FAST_DDS, profile_file),
            OpaqueFunction(function=perception_node),
        ]
    )
