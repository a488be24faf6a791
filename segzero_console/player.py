"""Threads that read a source's pictures: a camera at its rate, a video or folder as told."""

import logging
import threading
import time
from collections.abc import Callable

from segzero.errors import BadImage
from segzero_console.backend import Sink, error_text
from segzero_console.frames import FrameStore, Picture
from segzero_console.sources.source import EndOfSource, LiveSource, RecordedSource, SourceError

_LOG = logging.getLogger(__name__)
RETRY = 1.0
"""Seconds until a camera that is gone is opened again."""


class LivePlayer:
    """Reads a camera.

    Args:
        source: The camera.
        frames: Gets its pictures.
        sink: Gets them, too, and hears when they end and come back.

    Attributes:
        error: Why there are no pictures; empty while they come.
    """

    def __init__(self, source: LiveSource, frames: FrameStore, sink: Sink) -> None:
        self.error = ""
        self._source = source
        self._frames = frames
        self._sink = sink
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console-camera", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._source.open()
                self._read()
            except SourceError as error:
                self._lose(str(error))
            except Exception as error:
                self._sink.trouble("the source failed", error)
                self._lose(f"the source failed: {error_text(error)}")
            try:
                self._source.close()
            except Exception as error:
                self._sink.trouble("the source can't be closed", error)

    def _lose(self, error: str) -> None:
        """Say why no pictures come, and wait until they may come again."""
        if error != self.error:
            _LOG.warning(error)
            self._sink.notice("error", error)
        self.error = error
        self._stop.wait(RETRY)

    def _read(self) -> None:
        while not self._stop.is_set():
            read = self._source.read()
            if read is None:
                continue
            if self.error:
                self.error = ""
                self._sink.notice("ok", f"{self._source.info.name} gives pictures again")
            self._sink.frame(self._frames.put(*read))


class RecordedPlayer:
    """Reads a video or folder; shows a frame only after the one before was followed.

    Args:
        source: The video or folder.
        frames: Gets its pictures.
        on_picture: Called with each picture.
        on_change: Called with index and playing at each change.
        on_jump: Called before a picture that doesn't follow the one before.
        wait_for: Waits until the picture of a number was followed, or the event is set.
        on_error: Called with the text for people when a picture can't be read.
        playing: Whether it plays at once.

    Attributes:
        error: Why there are no pictures; empty while they come.
    """

    def __init__(
        self,
        source: RecordedSource,
        frames: FrameStore,
        on_picture: Callable[[Picture], None],
        *,
        on_change: Callable[[int, bool], None],
        on_jump: Callable[[], None],
        wait_for: Callable[[int, threading.Event], None],
        on_error: Callable[[str], None],
        playing: bool,
    ) -> None:
        self.error = ""
        self.index = 0
        self.playing = playing
        self._source = source
        self._frames = frames
        self._on_picture = on_picture
        self._on_change = on_change
        self._on_jump = on_jump
        self._wait_for = wait_for
        self._on_error = on_error
        self._change = threading.Condition()
        self._target: int | None = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console-player", daemon=True)
        self._thread.start()

    def seek(self, index: int) -> None:
        """Show the frame with this index, or the last one."""
        with self._change:
            self._target = min(index, self._source.info.length - 1)
            self._change.notify_all()

    def play(self) -> None:
        """Go on; at the end, from the beginning."""
        with self._change:
            self.playing = True
            if self.index >= self._source.info.length - 1:
                self._target = 0
            self._change.notify_all()

    def pause(self) -> None:
        """Stay at this frame."""
        with self._change:
            changed, self.playing = self.playing, False
            self._change.notify_all()
        if changed:
            self._on_change(self.index, False)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        with self._change:
            self._change.notify_all()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            index = self._next(due)
            due = max(due + 1 / self._source.rate, time.monotonic())
            if index is None:
                continue
            try:
                self._show(index)
            except Exception as error:
                self._skip(index, error)
        self._source.close()

    def _next(self, due: float) -> int | None:
        """Wait for the index of the next frame; None to look again."""
        with self._change:
            while self._target is None and not self.playing and not self._stop.is_set():
                self._change.wait()
            if self._target is None and not self._stop.is_set():
                self._change.wait(max(0.0, due - time.monotonic()))
            if self._stop.is_set():
                return None
            index, self._target = self._target, None
        if index is not None:
            return index
        return self.index + 1 if self.playing else None

    def _show(self, index: int) -> None:
        try:
            rgb = self._source.read(index)
        except EndOfSource:
            with self._change:
                self.playing = False
            self._on_change(self.index, False)
            if index < self._source.info.length:
                place = f"frame {index + 1} of {self._source.info.length}"
                self._on_error(f"{place} can't be read: the video ends before it")
            return
        first = self._frames.count == 0
        if not first and index not in (self.index, self.index + 1):
            self._on_jump()
        elif not first and index == self.index:
            return self._show_again(index)
        self.index = index
        # No two frames share a stamp, and a frame has the same one each time that it is shown.
        stamp = round((index + 1) / self._source.rate * 1e9)
        self.error = ""
        picture = self._frames.put(stamp, rgb, index)
        self._on_picture(picture)
        self._on_change(index, self.playing)
        self._wait_for(picture.number, self._stop)

    def _skip(self, index: int, error: Exception) -> None:
        """Say that a frame can't be shown; what plays goes on behind a bad picture."""
        if not isinstance(error, BadImage):
            _LOG.error("a frame can't be shown", exc_info=error)
            with self._change:
                self.playing = False
        self.error = f"frame {index + 1} can't be shown: {error_text(error)}"
        self._on_error(self.error)
        if index not in (self.index, self.index + 1):
            self._on_jump()
        self.index = index
        self._on_change(index, self.playing)

    def _show_again(self, index: int) -> None:
        newest = self._frames.newest()
        if newest and newest.index == index:
            self._on_picture(newest)
            self._on_change(index, self.playing)
