"""Start the console for a perception node; with simulation:=true, the node and a camera, too.

It prints the address of its page.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

DEMO = Path(__file__).with_name("demo.launch.py")

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument(
        "node", default_value="segzero", description="Name of the perception node."
    ),
    DeclareLaunchArgument(
        "image",
        default_value="/camera/image_raw",
        description="The camera's topic; one that ends in /compressed holds compressed images.",
    ),
    DeclareLaunchArgument(
        "host",
        default_value="127.0.0.1",
        description="Address to listen on; another one than this needs or makes a token.",
    ),
    DeclareLaunchArgument("port", default_value="8365", description="Port of the page."),
    DeclareLaunchArgument(
        "token", default_value="", description="Word that opens the page; empty: as host needs it."
    ),
    DeclareLaunchArgument(
        "out", default_value="console_rows", description="Folder for saved training rows."
    ),
    DeclareLaunchArgument(
        "rerun", default_value="", description="Recording to make for Rerun's viewer; empty: none."
    ),
    DeclareLaunchArgument(
        "simulation",
        default_value="false",
        choices=["true", "false"],
        description="Start a simulated camera and the perception node, too.",
    ),
    DeclareLaunchArgument(
        "python",
        default_value="",
        description="Python that starts the console, such as /path/to/.venv/bin/python; empty: the "
        "one that the package was built for.",
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="Log level of the nodes."),
]


def console(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = {
        argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS
    }
    options = [f"--{name}={given[name]}" for name in ("node", "image", "host", "port", "out")]
    options += [f"--{name}={given[name]}" for name in ("token", "rerun") if given[name]]
    return [
        Node(
            package="segzero_ros",
            executable="console",
            namespace=given["namespace"],
            arguments=options,
            ros_arguments=["--log-level", given["log_level"]],
            prefix=given["python"] or None,
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by `ros2 launch`."""
    return LaunchDescription(
        [
            *ARGUMENTS,
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(DEMO)),
                condition=IfCondition(LaunchConfiguration("simulation")),
            ),
            OpaqueFunction(function=console),
        ]
    )
