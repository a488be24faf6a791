"""Everything that a console sees, as a Rerun recording."""

import importlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segzero.errors import SegZeroError
from segzero_console.frames import Picture
from segzero_console.messages import Ended, Result, ShownObject, encode_jpeg

_LOG = logging.getLogger(__name__)
JPEG_QUALITY = 80
MAX_WAITING = 16
"""Pictures, and results, that wait to be written; more are left out: nothing is slowed."""
FLUSH = 1.0
"""Seconds after which what was logged lies in the file."""
_TIMEOUT = 5.0
"""Seconds for the file to take what was logged; one that failed may never answer."""
_THINKING = 0.2
"""Seconds between two states of the thinking; each has the whole text so far."""
_KNOWN = 100_000


class RerunLog:
    """Writes a recording, in a thread of its own.

    Args:
        path: The file to make; its name ends in .rrd.

    Raises:
        SegZeroError: It can't be made, or rerun-sdk isn't installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._rerun: Any = importlib.import_module("rerun")
        except ImportError as error:
            raise SegZeroError("--rerun needs rerun-sdk: pip install 'segzero[rerun]'") from error
        if path.suffix != ".rrd":
            raise SegZeroError(f"--rerun {path}: name a file that ends in .rrd")
        if path.exists():
            raise SegZeroError(f"{path} exists already: name another file for the recording")
        self._stream = self._rerun.RecordingStream("segzero_console")
        try:
            self._stream.save(path)
        except RuntimeError as error:
            raise SegZeroError(f"the recording can't be made: {error}") from error
        self._stream.set_log_time_enabled(False)
        self._stream.set_log_tick_enabled(False)
        self._path = path
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._pictures = threading.BoundedSemaphore(MAX_WAITING)
        self._results = threading.BoundedSemaphore(MAX_WAITING)
        self._known: dict[int, None] = {}  # stamps of the pictures that are written
        self._texts: dict[str, str] = {}  # thinking of open questions by request
        self._thought = 0.0
        self._error: Exception | None = None
        self._left_out = 0

    def start(self, live: bool, on_error: Callable[[str, Exception], None]) -> None:
        """Begin to write.

        Args:
            live: Whether stamps are times of the clock; else they are times in a video.
            on_error: Called once, from the thread, when no more can be written.
        """
        self._live = live
        self._on_error = on_error
        self._thread = threading.Thread(target=self._run, name="console-rerun", daemon=True)
        self._thread.start()

    def frame(self, picture: Picture) -> None:
        """Write a picture, unless too many wait already."""
        self._put_bounded(self._pictures, lambda: self._write_picture(picture))

    def result(self, result: Result, picture: Picture | None) -> None:
        """Write masks, boxes and places, with their own picture; without one they mean nothing."""
        if picture is not None and picture.number and result.mask is not None:
            self._put_bounded(self._results, lambda: self._write_result(result, picture))

    def thinking(self, request: str, goal: str, text: str) -> None:
        """Write a piece of the thinking."""
        self._jobs.put(lambda: self._write_thinking(request, goal, text))

    def ended(self, ended: Ended) -> None:
        """Write the question, the thinking and the outcome."""
        self._jobs.put(lambda: self._write_end(ended))

    def _put_bounded(self, waiting: threading.BoundedSemaphore, job: Callable[[], None]) -> None:
        if self._error:
            return
        if not waiting.acquire(blocking=False):
            self._left_out += 1
            return

        def bounded() -> None:
            waiting.release()
            job()

        self._jobs.put(bounded)

    def close(self) -> None:
        """Write what waits, and end the file."""
        self._jobs.put(None)
        self._thread.join(3 * _TIMEOUT)
        if self._thread.is_alive():  # it ends with the process
            self._fail(TimeoutError("the file takes no more"))
        if self._left_out:
            text = "%s pictures or results were left out of %s: writing was too slow"
            _LOG.warning(text, self._left_out, self._path)

    def _run(self) -> None:
        flushed = time.monotonic()
        while (job := self._next()) is not None:
            if self._error:
                continue
            try:
                job()
                if time.monotonic() - flushed > FLUSH:
                    self._flush()
                    flushed = time.monotonic()
            except Exception as error:
                self._fail(error)
        if self._error:
            return  # rerun would wait for ever for a file that failed
        try:
            self._flush()
            self._stream.disconnect()
        except Exception as error:
            self._fail(error)

    def _flush(self) -> None:
        self._stream.flush(timeout_sec=_TIMEOUT)

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._jobs.get(timeout=FLUSH)
        except queue.Empty:
            return lambda: None  # flush

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._on_error(f"{self._path} is written no further", error)

    def _log(self, path: str, what: Any) -> None:
        self._stream.log(path, what)

    def _set_time(self, stamp: int) -> None:
        if self._live:
            self._stream.set_time("time", timestamp=np.datetime64(stamp, "ns"))
        else:
            self._stream.set_time("time", duration=np.timedelta64(stamp, "ns"))

    def _write_picture(self, picture: Picture) -> None:
        """Write a picture once; from there on, no older mask is shown."""
        if picture.stamp in self._known:
            return
        self._known[picture.stamp] = None
        while len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]
        rr = self._rerun
        self._set_time(picture.stamp)
        jpeg = encode_jpeg(picture.rgb, JPEG_QUALITY)
        self._log("camera", rr.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        for path in ("camera/found", "places"):
            self._log(path, rr.Clear(recursive=True))

    def _write_result(self, result: Result, picture: Picture) -> None:
        self._write_picture(picture)
        rr = self._rerun
        self._set_time(picture.stamp)
        followed = result.state in ("tracked", "lost")
        path = "camera/found/" + ("followed" if followed else f"answers/{self._part(result.goal)}")
        seen = [item for item in result.objects if not item.lost]
        ids, labels = [item.id for item in seen], [f"{item.id} {item.label}" for item in seen]
        self._log(path, rr.AnnotationContext(list(zip(ids, labels, strict=True))))
        self._log(f"{path}/masks", rr.SegmentationImage(result.mask))
        boxes = np.array([item.box for item in seen], np.float32).reshape(-1, 4)
        shape = rr.Box2DFormat.XYXY
        self._log(
            f"{path}/boxes",
            rr.Boxes2D(array=boxes, array_format=shape, labels=labels, class_ids=ids),
        )
        self._write_places(result.points_frame, seen)

    def _write_places(self, frame: str, seen: list[ShownObject]) -> None:
        located = [item for item in seen if item.centroid is not None]
        if not located:
            return
        rr = self._rerun
        points = rr.Points3D(
            [item.centroid for item in located],
            labels=[f"{item.id} {item.label}" for item in located],
            class_ids=[item.id for item in located],
            radii=0.02,
        )
        self._log(f"places/{self._part(frame)}", points)

    def _write_thinking(self, request: str, goal: str, text: str) -> None:
        self._texts[request] = text = self._texts.get(request, "") + text
        if time.monotonic() - self._thought < _THINKING:
            return
        self._thought = time.monotonic()
        self._log(f"thinking/{self._part(goal)}", self._rerun.TextDocument(text))

    def _write_end(self, ended: Ended) -> None:
        self._texts.pop(ended.request, None)
        outcome = ended.error or f"{ended.state}, {ended.objects} objects"
        text = f"{ended.question}\n\n{ended.text}\n\n{outcome}"
        self._log(f"thinking/{self._part(ended.goal)}", self._rerun.TextDocument(text))
        self._log("questions", self._rerun.TextLog(f"{ended.question}: {outcome}"))

    def _part(self, name: str) -> str:
        return self._rerun.escape_entity_path_part(name or "default")
