"""Between the backend's threads and the browsers: everything is encoded once, for all of them."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TypeVar

from segzero_console.backend import Backend, error_text
from segzero_console.encoding import Encoder
from segzero_console.frames import Picture
from segzero_console.messages import Ended, Light, Result, pack
from segzero_console.recording import Recording
from segzero_console.rerun_log import RerunLog
from segzero_console.results import (
    MAX_LIVE_RESULTS,
    MAX_RESULTS,
    ResultStore,
    StoredResult,
    compress,
)
from segzero_console.troubles import Troubles
from segzero_console.viewers import Paired, Viewer

T = TypeVar("T")
_NO_MASKS = "the masks can't be shown"
_MAX_BROKEN = 100


class Hub:
    """Gets what happens from any thread and hands it to the viewers; a `backend.Sink`.

    Make and close it in the event loop.

    Args:
        backend: For what a new viewer must know.
        version: Of this program.
        on_result: Called in the encoder's thread with each result of the source's own frames.
        is_saving: Whether `on_result` needs the results even if nobody looks.
        log: Gets everything, too; started and closed by the caller.
    """

    def __init__(
        self,
        backend: Backend,
        version: str,
        on_result: Callable[[StoredResult, Picture], None],
        is_saving: Callable[[], bool],
        log: RerunLog | None = None,
    ) -> None:
        self.results = ResultStore(MAX_LIVE_RESULTS if backend.info.live else MAX_RESULTS)
        self.recording = Recording()
        self.viewers: set[Viewer] = set()
        self._backend = backend
        self._version = version
        self._on_result = on_result
        self._is_saving = is_saving
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._encoder = Encoder(self._record)
        # One after the other, so that pages that wait for the models hold up nothing else.
        self._drawer = ThreadPoolExecutor(1, thread_name_prefix="console-drawer")
        self._troubles = Troubles(lambda line: self.notice("error", line))
        self._broken: dict[str, str] = {}  # why the masks of an open question can't be shown
        self._owners: dict[str, Viewer] = {}  # of requests about dropped-in pictures
        self._thinking: dict[str, dict[str, Any]] = {}  # of open questions
        self._newest: Picture | None = None
        self._frame_due = False
        self._last: Paired | None = None
        self._lights: list[dict[str, Any]] = []
        self._player: dict[str, Any] | None = None

    # From any thread

    def frame(self, picture: Picture) -> None:
        """A picture came."""
        if self._log:
            self._log.frame(picture)
        self._newest = picture
        if not self._frame_due:
            self._frame_due = True
            self.call(self._show_newest)

    def result(self, result: Result, picture: Picture | None) -> None:
        """Objects in a picture."""
        if self._log:
            self._log.result(result, picture)
        looked_at = self.viewers or not self._backend.info.live or self._is_saving()
        if result.state in ("tracked", "lost") and not looked_at:
            return
        self._encoder.do_bounded(lambda: self._take(result, picture))

    def thinking(self, request: str, goal: str, text: str) -> None:
        """The next piece of the thinking."""
        if self._log:
            self._log.thinking(request, goal, text)
        self.call(self._think, request, goal, text)

    def ended(self, ended: Ended) -> None:
        """A question ended; after its results."""
        if self._log:
            self._log.ended(ended)
        message = {"type": "ended", **asdict(ended)}
        message["seconds"] = {key: round(value, 4) for key, value in ended.seconds.items()}
        self._encoder.do(self.call, self._end, ended.request, message)

    def lights(self, lights: Sequence[Light]) -> None:
        """The diagnostics."""
        self.call(self._set_lights, [asdict(light) for light in lights])

    def notice(self, level: str, text: str) -> None:
        """Something for people to read."""
        self.call(self.broadcast, {"type": "notice", "level": level, "text": text})

    def trouble(self, what: str, error: Exception) -> None:
        """Something failed that no question waits for."""
        self._troubles.add(what, error)

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
        picture, found = (item, []) if isinstance(item, Picture) else (item.picture, [item.message])
        request = "" if isinstance(item, Picture) else item.request
        if picture is not None and not (found and viewer.knows(picture.stamp)):
            try:
                found.insert(0, await self._frame_message(picture, viewer, request))
            except Exception as error:
                self.trouble("a picture can't be shown", error)
                return []
        return found

    async def draw(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do something that needs the models, in a thread, after what was given before."""
        return await self._loop.run_in_executor(self._drawer, lambda: work(*arguments))

    def close(self) -> None:
        """End the threads; what is drawn just now ends with the backend."""
        self._encoder.close()
        self._drawer.shutdown(wait=False, cancel_futures=True)

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

        def told() -> None:
            try:
                function(*arguments)
            except Exception as error:
                self.trouble("something can't be shown", error)

        with suppress(RuntimeError):  # the loop is closed: the server ends
            self._loop.call_soon_threadsafe(told)

    def _show_newest(self) -> None:
        self._frame_due = False
        picture = self._newest
        assert picture
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
        is_kept = bool(result.stamp) and result.state not in ("failed", "partial")
        try:
            stored = compress(result)
            dropped_in = picture is not None and not picture.number
            message = stored.message({"picture": True} if dropped_in else {})
            if is_kept:
                self.results.add(stored)
                self.recording.add_result(stored)
        except Exception as error:
            self.trouble(_NO_MASKS, error)
            if result.request and result.state != "partial":
                self.call(self._break, result.request, error)
            return
        self.call(self._deliver, Paired(stored, picture, message))
        if is_kept and picture and picture.number:
            try:
                self._on_result(stored, picture)
            except Exception as error:
                self.trouble("a followed frame can't be saved", error)

    def _break(self, request: str, error: Exception) -> None:
        """Let a question end with this error; nothing else of its answer can be shown."""
        self._broken[request] = f"{_NO_MASKS}: {error_text(error)}"
        while len(self._broken) > _MAX_BROKEN:
            del self._broken[next(iter(self._broken))]

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
        if reason := self._broken.pop(request, ""):
            message |= {"state": "failed", "error_code": "failed", "error": reason, "objects": 0}
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
        jpeg = await asyncio.shield(asyncio.wrap_future(self._encoder.jpeg(picture)))
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

    def _record(self, picture: Picture, jpeg: bytes) -> None:
        if picture.number:
            self.recording.add_frame(picture.stamp, picture.received, jpeg)
