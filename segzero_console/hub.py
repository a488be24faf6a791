"""Between the backend's threads and the browsers: everything is encoded once, for all of them."""

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from segzero_console.backend import Backend
from segzero_console.frames import Picture
from segzero_console.messages import Ended, Light, Result, encode_jpeg, pack
from segzero_console.recording import Recording
from segzero_console.results import (
    MAX_LIVE_RESULTS,
    MAX_RESULTS,
    ResultStore,
    StoredResult,
    compress,
)
from segzero_console.viewers import Paired, Viewer

_LOG = logging.getLogger(__name__)
JPEG_QUALITY = 80
_ENCODED = 32
"""Pictures whose JPEG is kept for viewers that need it a little later."""
_MAX_PENDING = 8
"""Results that wait to be encoded; more are encoded by the thread that brings them."""


class Hub:
    """Gets what happens from any thread and hands it to the viewers; a `backend.Sink`.

    Make and close it in the event loop.

    Args:
        backend: For what a new viewer must know.
        version: Of this program.
        on_result: Called in the encoder's thread with each result of the source's own frames.
        is_saving: Whether `on_result` needs the results even if nobody looks.
    """

    def __init__(
        self,
        backend: Backend,
        version: str,
        on_result: Callable[[StoredResult, Picture], None],
        is_saving: Callable[[], bool],
    ) -> None:
        self.results = ResultStore(MAX_LIVE_RESULTS if backend.info.live else MAX_RESULTS)
        self.recording = Recording()
        self.viewers: set[Viewer] = set()
        self._backend = backend
        self._version = version
        self._on_result = on_result
        self._is_saving = is_saving
        self._loop = asyncio.get_running_loop()
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="console-encoder")
        self._pending = threading.BoundedSemaphore(_MAX_PENDING)
        self._jpegs: OrderedDict[tuple[int, int], Future[bytes]] = OrderedDict()
        self._owners: dict[str, Viewer] = {}  # of requests about dropped-in pictures
        self._thinking: dict[str, dict[str, Any]] = {}  # of open questions
        self._newest: Picture | None = None
        self._frame_due = False
        self._last: Paired | None = None
        self._lights: list[dict[str, Any]] = []
        self._player: dict[str, Any] | None = None
        self._size = (0, 0)

    # From any thread

    def frame(self, picture: Picture) -> None:
        """A picture came."""
        self._newest = picture
        if not self._frame_due:
            self._frame_due = True
            self.call(self._show_newest)

    def result(self, result: Result, picture: Picture | None) -> None:
        """Objects in a picture."""
        looked_at = self.viewers or not self._backend.info.live or self._is_saving()
        if result.state in ("tracked", "lost") and not looked_at:
            return
        if not self._pending.acquire(blocking=False):
            self._take(result, picture)
            return

        def work() -> None:
            try:
                self._take(result, picture)
            finally:
                self._pending.release()

        try:
            self._encoder.submit(work)
        except RuntimeError:  # the server ends
            self._pending.release()

    def thinking(self, request: str, goal: str, text: str) -> None:
        """The next piece of the thinking."""
        self.call(self._think, request, goal, text)

    def ended(self, ended: Ended) -> None:
        """A question ended; after its results."""
        message = {"type": "ended", **asdict(ended)}
        message["seconds"] = {key: round(value, 4) for key, value in ended.seconds.items()}
        with suppress(RuntimeError):  # the server ends
            self._encoder.submit(self.call, self._end, ended.request, message)

    def lights(self, lights: Sequence[Light]) -> None:
        """The diagnostics."""
        self.call(self._set_lights, [asdict(light) for light in lights])

    def notice(self, level: str, text: str) -> None:
        """Something for people to read."""
        self.call(self.broadcast, {"type": "notice", "level": level, "text": text})

    def player(self, index: int, length: int, playing: bool) -> None:
        """Where a video or folder stands."""
        message = {"type": "player", "index": index, "length": length, "playing": playing}
        self.call(self._set_player, message)

    # In the event loop

    def connect(self) -> Viewer:
        """Add a viewer and tell it how things stand."""
        viewer = Viewer()
        viewer.tell(self._hello())
        viewer.tell({"type": "lights", "lights": self._lights})
        if self._player:
            viewer.tell(self._player)
        for message in self._thinking.values():
            viewer.tell(message)
        if self._newest:
            viewer.show(self._newest)
        if self._last and self._backend.goals():
            viewer.tell(self._last)
        self.viewers.add(viewer)
        return viewer

    def disconnect(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self.viewers.discard(viewer)
        self._owners = {key: owner for key, owner in self._owners.items() if owner is not viewer}

    def own(self, request: str, viewer: Viewer) -> None:
        """Let a request's results go to one viewer alone."""
        self._owners[request] = viewer

    def disown(self, request: str, viewer: Viewer) -> None:
        """Undo `own`, for a request that was refused."""
        if self._owners.get(request) is viewer:
            del self._owners[request]

    def newest_result(self) -> Picture | None:
        """The picture of the newest result, or else the newest picture."""
        return (self._last and self._last.picture) or self._newest

    def broadcast(self, message: dict[str, Any] | bytes | Paired) -> None:
        """Tell all viewers."""
        for viewer in self.viewers:
            viewer.tell(message)

    async def messages(self, item: Paired | Picture, viewer: Viewer) -> list[bytes]:
        """The binary messages that show a frame or a result to a viewer, in their order."""
        if isinstance(item, Picture):
            return [await self._frame_message(item, viewer)]
        picture, found = item.picture, [item.message]
        if picture is not None and not viewer.knows(picture.stamp):
            found.insert(0, await self._frame_message(picture, viewer, item.request))
        return found

    def close(self) -> None:
        """End the encoder's thread."""
        self._encoder.shutdown(cancel_futures=True)

    def _hello(self) -> dict[str, Any]:
        backend, newest = self._backend, self._newest
        width, height = newest.size if newest else (0, 0)
        return {
            "type": "hello",
            "version": self._version,
            "source": {**asdict(backend.info), "rate": backend.rate},
            "width": width,
            "height": height,
            "goals": [asdict(goal) for goal in backend.goals()],
            "max_goals": backend.max_goals,
            "profile": backend.profile,
            "can": list(backend.can),
        }

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function in the event loop; from any thread."""
        with suppress(RuntimeError):  # the loop is closed: the server ends
            self._loop.call_soon_threadsafe(function, *arguments)

    def _show_newest(self) -> None:
        self._frame_due = False
        picture = self._newest
        assert picture
        if picture.size != self._size:
            self._size = picture.size
        for viewer in self.viewers:
            viewer.show(picture)
        if self._backend.info.live or self._backend.goals():
            return  # in a video that is followed, new masks come
        if known := self.results.find_followed(picture.stamp):
            paired = Paired(known, picture, known.message())
            for viewer in self.viewers:
                viewer.follow(paired)

    def _take(self, result: Result, picture: Picture | None) -> None:
        """Compress a result and hand it on; in the encoder's thread."""
        try:
            stored = compress(result)
            if result.stamp and result.state not in ("failed", "partial"):
                self.results.add(stored)
                self.recording.add_result(stored)
                if picture and picture.number:
                    self._on_result(stored, picture)
            dropped_in = picture is not None and not picture.number
            message = stored.message({"picture": True} if dropped_in else {})
            self.call(self._deliver, Paired(stored, picture, message))
        except Exception:
            _LOG.exception("a result could not be handed on")

    def _deliver(self, paired: Paired) -> None:
        result = paired.stored.result
        owner = self._owners.get(result.request) if result.request else None
        if owner:
            owner.tell(Paired(paired.stored, paired.picture, paired.message, result.request))
            return
        if paired.picture and not paired.picture.number:
            return  # of a page that has gone
        if result.state in ("tracked", "lost"):
            self._last = paired
            for viewer in self.viewers:
                viewer.follow(paired)
        else:
            if result.state == "answered":
                self._last = paired
            self.broadcast(paired)

    def _think(self, request: str, goal: str, text: str) -> None:
        message = {"type": "thinking", "request": request, "goal": goal, "text": text}
        if owner := self._owners.get(request):
            owner.tell(message)
            return
        open_ = self._thinking.setdefault(request, {**message, "text": ""})
        open_["text"] += text
        self.broadcast(message)

    def _end(self, request: str, message: dict[str, Any]) -> None:
        self._thinking.pop(request, None)
        if owner := self._owners.pop(request, None):
            owner.tell(message)
        else:
            self.broadcast(message)

    def _set_lights(self, lights: list[dict[str, Any]]) -> None:
        viewers = {"name": "viewers", "level": "ok", "text": f"{len(self.viewers)} viewers"}
        self._lights = [*lights, viewers]
        self.broadcast({"type": "lights", "lights": self._lights})

    def _set_player(self, message: dict[str, Any]) -> None:
        if message != self._player:
            self._player = message
            self.broadcast(message)

    async def _frame_message(self, picture: Picture, viewer: Viewer, request: str = "") -> bytes:
        # Shielded: a viewer that leaves would end the work for the others, too.
        jpeg = await asyncio.shield(asyncio.wrap_future(self._jpeg(picture)))
        width, height = picture.size
        header: dict[str, Any] = {
            "type": "frame",
            "stamp": str(picture.stamp),
            "width": width,
            "height": height,
            "index": picture.index,
            "dropped": viewer.dropped,
        }
        if request:
            header |= {"request": request, "picture": True}
        viewer.mark_sent(picture)
        return pack(header, [jpeg])

    def _jpeg(self, picture: Picture) -> Future[bytes]:
        """The JPEG of a picture; the first viewer that needs it has it encoded."""
        key = picture.stamp, picture.number
        known = self._jpegs.get(key)
        if known is None:
            known = self._encoder.submit(self._encode, picture)
            self._jpegs[key] = known
            while len(self._jpegs) > _ENCODED:
                self._jpegs.popitem(last=False)
        return known

    def _encode(self, picture: Picture) -> bytes:
        jpeg = encode_jpeg(picture.rgb, JPEG_QUALITY)
        if picture.number:
            self.recording.add_frame(picture.stamp, picture.received, jpeg)
        return jpeg
