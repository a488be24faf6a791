"""The simulated tabletop as a camera."""

import time

import numpy as np
from numpy.typing import NDArray

from segzero_console.messages import SourceInfo
from segzero_console.sources.source import SourceError
from segzero_sim.motion import Motion, set_in_motion
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import NoOpenGL, TabletopRenderer

SEED = 576
"""A scene with one red ball and one mug."""


class TabletopSource:
    """A camera above a table with moving objects.

    The picture with index k shows the motion at k / rate seconds.

    Args:
        seed: Of the scene and its motion.
        rate: Pictures per second.
        size: (width, height) in pixels.
        motion: Whether anything moves.
    """

    def __init__(
        self,
        seed: int = SEED,
        rate: float = 10.0,
        size: tuple[int, int] = (640, 480),
        motion: bool = True,
    ) -> None:
        self.info = SourceInfo("tabletop", f"tabletop {seed}", live=True)
        self.rate = rate
        self._seed = seed
        self._size = size
        self._moves = motion
        self._renderer: TabletopRenderer | None = None
        self._motion: Motion | None = None
        self._still: NDArray[np.uint8] | None = None
        self._index = -1

    def open(self) -> None:
        """Open the OpenGL context; raises SourceError."""
        try:
            self._renderer = TabletopRenderer(*self._size)
        except NoOpenGL as error:
            raise SourceError(str(error)) from error
        scene = sample_scene(self._seed)
        self._still = self._renderer.render(scene, depth=False).rgb
        self._motion = set_in_motion(scene) if self._moves else None
        self._start_ns = time.time_ns()
        self._start = time.monotonic()

    def read(self) -> tuple[int, NDArray[np.uint8], int] | None:
        """Wait until the next picture is due, and render it; one that is late is left out."""
        assert self._renderer is not None and self._still is not None
        self._index = max(self._index + 1, int((time.monotonic() - self._start) * self.rate))
        time.sleep(max(0.0, self._start + self._index / self.rate - time.monotonic()))
        rgb = self._still
        if self._motion:
            scene = self._motion.at(self._index / self.rate)
            rgb = self._renderer.render(scene, depth=False).rgb
        return self._start_ns + round(self._index / self.rate * 1e9), rgb, self._index

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._renderer:
            self._renderer.close()
