"""What answering and following share."""

from collections.abc import Callable
from dataclasses import dataclass, field

from segzero.pipeline import SegZero
from segzero.tracks import TrackIds
from segzero_ros.images.frames import LatestFrame
from segzero_ros.perception_parameters import Parameters
from segzero_ros.questions.turns import Turns
from segzero_ros.results.reporter import Reporter


@dataclass(frozen=True, slots=True)
class QueryContext:
    """What the threads of a node use.

    Attributes:
        segzero: The loaded models.
        frames: The camera's newest frame.
        params: Returns the current parameters.
        reporter: Gets the end of every query and every followed frame, from any thread.
        turns: Shared with the other cameras that use the models.
        ids: Gives ids to the objects and takes them back.
    """

    segzero: SegZero
    frames: LatestFrame
    params: Callable[[], Parameters]
    reporter: Reporter
    turns: Turns
    ids: TrackIds = field(default_factory=TrackIds)
