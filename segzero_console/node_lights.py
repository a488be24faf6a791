"""How a node and its camera stand, as lights."""

import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from segzero.rates import Rate
from segzero_console.frames import FrameStore
from segzero_console.messages import Level, Light

_STALE = 3.0
_LEVELS: dict[bytes, Level] = {
    DiagnosticStatus.OK: "ok",
    DiagnosticStatus.WARN: "warn",
    DiagnosticStatus.ERROR: "error",
    DiagnosticStatus.STALE: "stale",
}


class NodeLights:
    """Keeps what the node says of itself.

    Args:
        perception: Full name of the node.
        image: The camera's topic.
        frames: Its pictures.

    Attributes:
        bad_image: Why the newest image can't be shown; empty if it can.
    """

    def __init__(self, perception: str, image: str, frames: FrameStore) -> None:
        self.bad_image = ""
        self._perception = perception
        self._image = image
        self._frames = frames
        self._camera = Rate()
        self._statuses: dict[str, tuple[float, Light]] = {}

    def hear(self, message: DiagnosticArray) -> None:
        """Take what the node says in a message of /diagnostics."""
        now = time.monotonic()
        for status in message.status:
            node, _, part = status.name.partition(": ")
            if node.lstrip("/") == self._perception.lstrip("/") and part:
                light = Light(part, _LEVELS.get(status.level, "stale"), status.message)
                self._statuses[part] = now, light

    def now(self) -> list[Light]:
        """The lights; call it about once a second."""
        now = time.monotonic()
        fresh = [
            light if now - at < _STALE else Light(light.name, "stale", "no news of the node")
            for at, light in list(self._statuses.values())
        ]
        silent = f"no diagnostics of {self._perception}: is it running?"
        return [self._picture(now), *(fresh or [Light("node", "stale", silent)])]

    def _picture(self, now: float) -> Light:
        rate, newest = self._camera.update(self._frames.count), self._frames.newest()
        if self.bad_image:
            return Light("picture", "error", self.bad_image)
        if newest is None:
            return Light("picture", "stale", f"{self._image}: never came")
        age = now - newest.received
        if age > _STALE:
            return Light("picture", "stale", f"{self._image}: none for {age:.0f} s")
        return Light("picture", "ok", f"{self._image}: {rate:.1f} pictures a second")
