"""Start the perception node. `ros2 launch segzero_ros perception.launch.py --show-args`"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    GroupAction,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    UnsetLaunchConfiguration,
)
from launch.event_handlers import OnProcessExit
from launch.events import matches_action
from launch.events.process import ProcessExited, ShutdownProcess
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.utilities import prefix_namespace

CONFIG = Path(get_package_share_directory("segzero_ros"), "config")
FAST_DDS = "FASTRTPS_DEFAULT_PROFILES_FILE"
RESPAWN_DELAY = 2.0
"""Seconds; a node that can't start must not use the processor all the time."""
RESPAWN_LIMIT, RESPAWN_PERIOD = 5, 300.0
"""A node that ended more often than this in so many seconds is not started again."""
NAMESPACE = "ros_namespace"
"""Where PushRosNamespace keeps its namespace."""
TOPICS = ("image", "depth", "camera_info")
CONFIGURATION_ERROR = 2
"""Exit status of a node whose settings can't be used: another start would not help."""

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Names of cameras, separated by commas: one process serves them, with a node "
        "in a namespace for each. {camera} in the topics becomes the name. Empty: one node.",
    ),
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
        description=f"Start the node again when its process ends, at most {RESPAWN_LIMIT} times in "
        f"{RESPAWN_PERIOD:g} s; never after an error in its settings.",
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


def respawn_end(node: Node) -> RegisterEventHandler:
    """What ends the respawning of a node that can't work."""
    ends: list[float] = []

    def give_up(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        now = time.monotonic()
        ends[:] = [end for end in ends if now - end < RESPAWN_PERIOD] + [now]
        if event.returncode == CONFIGURATION_ERROR:
            reason = "its settings can't be used"
        elif len(ends) > RESPAWN_LIMIT:
            reason = f"it ended {len(ends)} times in {RESPAWN_PERIOD:g} s"
        else:
            return []
        return [
            LogInfo(msg=f"{event.process_name} is not started again: {reason}."),
            EmitEvent(event=ShutdownProcess(process_matcher=matches_action(node))),
        ]

    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=give_up))


def perception_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node, with what the arguments say."""
    given = {
        argument.name: LaunchConfiguration(argument.name).perform(context) for argument in ARGUMENTS
    }
    if not Path(given["params_file"]).is_file():  # launch_ros would only warn
        raise RuntimeError(f"the params_file {given['params_file']} doesn't exist")
    overrides: dict[str, str | bool] = {
        name: given[name] for name in ("profile", "device") if given[name]
    }
    switches = [name for name in ("autostart", "use_depth", "use_sim_time") if given[name]]
    overrides |= {name: given[name] == "true" for name in switches}
    respawn = given["respawn"] == "true"
    options: dict[str, Any] = {
        "package": "segzero_ros",
        "parameters": [given["params_file"], overrides],
        "ros_arguments": ["--log-level", given["log_level"]],
        "prefix": given["python"] or None,
        "respawn": respawn,
        "respawn_delay": RESPAWN_DELAY,
        "output": "screen",
    }
    names = [name.strip() for name in given["cameras"].split(",") if name.strip()]
    if names:
        base = prefix_namespace(context.launch_configurations.get(NAMESPACE), given["namespace"])
        node = cameras_node({name: prefix_namespace(base, name) for name in names}, given, options)
        # Else launch_ros would set one namespace for all nodes of the process.
        start: LaunchDescriptionEntity = GroupAction([UnsetLaunchConfiguration(NAMESPACE), node])
    else:
        start = node = LifecycleNode(
            executable="perception_node",
            name="segzero",
            namespace=given["namespace"],
            remappings=[(topic, given[topic]) for topic in TOPICS],
            **options,
        )
    return [respawn_end(node), start] if respawn else [start]


def cameras_node(
    namespaces: Mapping[str, str], given: Mapping[str, str], options: Mapping[str, Any]
) -> Node:
    """The process that serves several cameras, each in its namespace."""
    return Node(
        executable="cameras",
        arguments=list(namespaces.values()),
        remappings=[
            (f"/{namespace.strip('/')}/{topic}", given[topic].replace("{camera}", name))
            for name, namespace in namespaces.items()
            for topic in TOPICS
        ],
        **options,
    )


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
