"""Start one perception node per camera, each in the namespace that the camera is named by.

`ros2 launch segzero_ros cameras.launch.py cameras:=front,rear image:=/{camera}/color/image_raw`
asks on /front/segzero/query and /rear/segzero/query. The other arguments are those of
perception.launch.py and apply to every camera. Each node loads its own models.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

PERCEPTION = Path(__file__).with_name("perception.launch.py")

TOPICS = [
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
]


def perception_nodes(context: LaunchContext) -> list[GroupAction]:
    """One node per name."""
    names = LaunchConfiguration("cameras").perform(context).split(",")
    topics = {topic.name: LaunchConfiguration(topic.name).perform(context) for topic in TOPICS}
    return [
        GroupAction(  # without a scope, each camera would get the arguments of the last
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(PERCEPTION)),
                    launch_arguments={
                        "namespace": name,
                        **{topic: text.replace("{camera}", name) for topic, text in topics.items()},
                    }.items(),
                )
            ]
        )
        for name in map(str.strip, names)
        if name
    ]


def generate_launch_description() -> LaunchDescription:
    """Called by `ros2 launch`."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "cameras",
                default_value="front,rear",
                description="Names of the cameras, separated by commas.",
            ),
            *TOPICS,
            OpaqueFunction(function=perception_nodes),
        ]
    )
