"""The parameters of the perception node."""

from dataclasses import dataclass
from typing import Literal, get_args

from segzero_ros.parameters import Fixed, parameter

ImageTransport = Literal["raw", "compressed"]
DepthTransport = Literal["raw", "compressedDepth"]
MaskEncoding = Literal["mono8", "mono16"]
Reask = Literal["never", "on_lost", "every"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the perception node; those without `fixed` may change at any time.

    Each field's description is what `ros2 param describe` prints.
    """

    profile: str = parameter(
        "demo",
        "Profile of the models: its name (`segzero profiles` lists them) or the path of its YAML "
        "file.",
        fixed=Fixed.CONFIGURED,
    )
    device: str = parameter(
        "auto",
        "Device of the models: auto, cpu, cuda or cuda:N; auto takes a GPU if there is one.",
        fixed=Fixed.CONFIGURED,
    )
    image_transport: ImageTransport = parameter(  # noqa: RUF009
        "raw",
        "raw subscribes to sensor_msgs/Image on `image`; compressed to sensor_msgs/CompressedImage "
        "on `image`/compressed, as image_transport does.",
        choices=get_args(ImageTransport),
        fixed=Fixed.ACTIVE,
    )
    first_frame_timeout: float = parameter(
        2.0,
        "Seconds that a query waits for the camera's first frame before it fails.",
        span=(0.0, 60.0),
    )
    max_frame_age: float = parameter(
        1.0,
        "Seconds since its arrival after which the newest image is too old for a question; a newer "
        "one is then waited for as long as first_frame_timeout says.",
        span=(0.01, 3600.0),
    )
    max_goals: int = parameter(
        8,
        "Most goals that have a question or followed objects; a question for one more fails.",
        span=(1, 100),
    )
    mask_encoding: MaskEncoding = parameter(  # noqa: RUF009
        "mono8",
        "Encoding of masks: mono8 has ids from 1 to 255, mono16 from 1 to 65535. An object gets "
        "the lowest id that is free.",
        choices=get_args(MaskEncoding),
    )
    camera_timeout: float = parameter(
        2.0,
        "Seconds without a frame after which /diagnostics reports the camera as silent.",
        span=(0.1, 3600.0),
    )
    follow: bool = parameter(True, "Follow the objects of an answer through later frames.")
    reask: Reask = parameter(  # noqa: RUF009
        "never",
        "When to repeat a followed query: never, on_lost (an object wasn't seen for a second) or "
        "every (each reask_period).",
        choices=get_args(Reask),
    )
    reask_period: float = parameter(
        10.0,
        "Least number of seconds between two repetitions of a query.",
        span=(0.1, 86400.0),
    )
    history: int = parameter(
        64,
        "Most frames kept while a query is answered; when full, every second one is dropped.",
        span=(2, 1000),
    )
    catch_up: int = parameter(
        8,
        "Most frames of the history, evenly spread, through which objects are tracked from the "
        "answered frame to the present; none of them is published.",
        span=(0, 1000),
    )
    use_depth: bool = parameter(
        False,
        "Subscribe to `depth` (registered to the image) and `camera_info`, and publish the "
        "objects' 3D geometry.",
        fixed=Fixed.ACTIVE,
    )
    depth_transport: DepthTransport = parameter(  # noqa: RUF009
        "raw",
        "raw subscribes to sensor_msgs/Image on `depth`; compressedDepth to "
        "sensor_msgs/CompressedImage on `depth`/compressedDepth, as image_transport does.",
        choices=get_args(DepthTransport),
        fixed=Fixed.ACTIVE,
    )
    max_pixels: int = parameter(
        40_000_000,
        "Most pixels of an image or depth image; one with more is refused before it is decoded.",
        span=(1, 170_000_000),
    )
    depth_tolerance: float = parameter(
        0.05,
        "Most seconds between the stamps of an image and of the depth image used with it.",
        span=(0.0, 10.0),
    )
    target_frame: str = parameter(
        "",
        "The tf frame of points, centroids and extents; empty leaves them in the camera's frame.",
        may_be_empty=True,
    )
    publish_tf: bool = parameter(
        False,
        "Publish to /tf a frame for each goal with depth: the pose of its first object.",
        read_only=True,
    )
    autostart: bool = parameter(
        False,
        "Configure and activate at start; leave it false if a lifecycle manager does that.",
        read_only=True,
    )

    @property
    def max_id(self) -> int:
        """The highest id of an object that the mask's encoding holds."""
        return {"mono8": 255, "mono16": 65535}[self.mask_encoding]
