"""SegZero over a source of pictures, in this process."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from segzero.errors import Cancelled, SegZeroError
from segzero.pipeline import SegZero
from segzero.rates import Rate
from segzero.reasoning.prompts import clean_question
from segzero.tracks import TrackIds
from segzero.types import ObjectPrompt, SegmentedObject
from segzero_console.asker import Asker
from segzero_console.backend import (
    MAX_GOALS,
    Ending,
    FollowedGoal,
    Question,
    Sink,
    Unavailable,
    error_text,
)
from segzero_console.follower import Followed, Follower
from segzero_console.frames import FrameStore, Picture
from segzero_console.lights import report_lights
from segzero_console.messages import Light, Result, SourceInfo
from segzero_console.player import LivePlayer, RecordedPlayer
from segzero_console.sources.source import LiveSource, RecordedSource
from segzero_console.tracks import draw_ids, shown

_LOADING = 5.0
"""Seconds for the models' loading to end when the server ends."""
_POLL = 0.1
"""Seconds between two looks whether a question that waits for the models was cancelled."""
_STALE = 2.0
"""Seconds after which a camera's newest picture is old."""


class LocalBackend:
    """Asks and follows in this process.

    Args:
        load: Loads the models; called in a thread of its own while the page is there already.
        source: Where the pictures come from.
        profile: Its name, for people.
        playing: Whether a video plays at once.
    """

    def __init__(
        self,
        load: Callable[[], SegZero],
        source: LiveSource | RecordedSource,
        profile: str,
        *,
        playing: bool = True,
    ) -> None:
        self._load = load
        self._source = source
        self._profile = profile
        self._playing = playing
        self._frames = FrameStore()
        self._ids = TrackIds()
        self._segzero: SegZero | None = None
        self._load_error: Exception | None = None
        self._loaded = threading.Event()
        self._stop = threading.Event()
        self._drawing = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def info(self) -> SourceInfo:
        """The source."""
        return self._source.info

    @property
    def rate(self) -> float:
        """Pictures per second."""
        return self._source.rate

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self._profile

    @property
    def max_goals(self) -> int:
        """The most goals at once."""
        return MAX_GOALS

    @property
    def can(self) -> tuple[str, ...]:
        """What the page may offer."""
        everything = ("ask", "cancel", "correct", "save", "record")
        return everything if self.info.live else (*everything, "seek")

    def start(self, sink: Sink) -> None:
        """Begin to read pictures and to load the models."""
        self._sink = sink
        self._follower = Follower(self._frames, self._ids, sink, self._share_cores)
        self._asker = Asker(
            self._models,
            self._frames,
            self._follower,
            self._ids,
            sink,
            self._share_cores,
            live=self.info.live,
        )
        for work, name in ((self._load_models, "loader"), (self._report, "lights")):
            thread = threading.Thread(target=work, name=f"console-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._player = self._start_player(sink)

    def ask(self, question: Question) -> None:
        """Ask; raises SegZeroError if it can't be asked."""
        clean_question(question.text)
        self._check_goals(question.goal)
        self._asker.submit(question)

    def cancel(self, request: str) -> bool:
        """Stop a question."""
        return self._asker.cancel(request)

    def clear(self, goal: str | None) -> None:
        """Stop a goal's question and following; None for all."""
        self._asker.clear(goal)
        self._follower.forget(goal)

    def remove(self, track_ids: Sequence[int]) -> None:
        """Follow single objects no longer."""
        self._follower.remove(set(track_ids))

    def segment(
        self, picture: Picture, prompts: Sequence[ObjectPrompt]
    ) -> tuple[SegmentedObject, ...]:
        """Draw masks."""
        segzero = self._models()
        with self._drawing, self._share_cores():
            return segzero.segment(picture.rgb, prompts)

    def follow(self, picture: Picture, prompts: Sequence[ObjectPrompt], goal: str) -> None:
        """Draw objects and follow them beside those of their goal."""
        self._check_goals(goal)
        segzero = self._models()
        with self._drawing, self._share_cores():
            objects = segzero.segment(picture.rgb, prompts)
            labels = [item.label or goal or "shown" for item in objects]
            tracks = [*filter(None, self._ids.assign(goal, labels, [None] * len(objects)))]
            found = tuple(
                SegmentedObject(t.id, o.box, o.points, o.mask, o.score, t.label)
                for t, o in zip(tracks, objects, strict=True)
            )
            try:
                tracker = segzero.track(picture.rgb, found)
            except Exception:
                self._ids.release(tracks)
                raise
        result = Result(
            stamp=picture.stamp,
            state="answered",
            goal=goal,
            objects=shown(tracks, found),
            mask=draw_ids(found, picture.size),
            latency=time.monotonic() - picture.received,
        )
        self._sink.result(result, picture)
        followed = Followed(goal, "", "", tuple(tracks))
        self._follower.follow(followed, tracker, picture, beside=True)

    def find(self, stamp: int) -> Picture | None:
        """A picture that is still there."""
        return self._frames.find(stamp)

    def keep(self, picture: Picture) -> None:
        """Keep a picture for corrections."""
        self._frames.keep(picture)

    def goals(self) -> list[FollowedGoal]:
        """What is followed."""
        return self._follower.goals()

    def seek(self, index: int) -> None:
        """Show a frame of a video or folder."""
        self._recorded().seek(index)

    def pause(self) -> None:
        """Stop a video."""
        if isinstance(self._player, RecordedPlayer):
            self._player.pause()

    def play(self) -> None:
        """Let a video go on."""
        if isinstance(self._player, RecordedPlayer):
            self._player.play()

    def close(self) -> None:
        """Stop everything and wait for it."""
        self._stop.set()
        self._loaded.set()  # nothing waits for models that are still being loaded
        self._frames.close()
        self._asker.close()
        self._follower.close()
        self._player.close()
        for thread in self._threads:
            thread.join(_LOADING)
        if self._segzero:
            self._segzero.close()

    def _start_player(self, sink: Sink) -> LivePlayer | RecordedPlayer:
        if self._source.info.live:
            return LivePlayer(self._source, self._frames, sink)  # type: ignore[arg-type]
        length = self._source.info.length
        return RecordedPlayer(
            self._source,  # type: ignore[arg-type]
            self._frames,
            sink.frame,
            on_change=lambda index, playing: sink.player(index, length, playing),
            on_jump=self._jump,
            wait_for=self._wait_for,
            on_error=lambda text: sink.notice("error", text),
            playing=self._playing and self._source.info.kind == "video",
        )

    def _recorded(self) -> RecordedPlayer:
        if not isinstance(self._player, RecordedPlayer):
            raise Unavailable("a camera has no other place to show: only videos and folders have")
        return self._player

    def _jump(self) -> None:
        if self._follower.active:
            self._follower.forget()
            self._sink.notice("warn", "another place of the video: nothing is followed any more")

    def _wait_for(self, number: int, stop: threading.Event) -> None:
        """Wait for an open question, and then until its objects were followed to this picture."""
        while self._asker.following and not stop.is_set():
            time.sleep(0.01)
        self._follower.wait_for(number, stop)

    def _check_goals(self, goal: str) -> None:
        goals = self._asker.goals() | {item.goal for item in self._follower.goals()}
        if goal not in goals and len(goals) >= MAX_GOALS:
            raise Ending("too_many_goals", f"{MAX_GOALS} goals are in use: clear one")

    def _models(self, stop: threading.Event | None = None) -> SegZero:
        """The models, once they are loaded; raises SegZeroError."""
        if not self._loaded.is_set():
            text = f"{self._profile} is loading: what is asked now waits for it"
            self._sink.notice("warn", text)
        while not self._loaded.wait(_POLL):
            if stop is not None and stop.is_set():
                raise Cancelled
        if self._segzero is None:
            raise self._load_error or Unavailable("the console ends")
        return self._segzero

    def _load_models(self) -> None:
        try:
            segzero = self._load()
            try:
                segzero.warm_up()
            except BaseException:
                segzero.close()
                raise
            self._segzero = segzero
        except Exception as error:
            self._load_error = error
            if isinstance(error, SegZeroError):
                self._sink.notice("error", f"the models can't be loaded: {error}")
            else:
                self._sink.trouble("the models can't be loaded", error)
        self._loaded.set()

    def _share_cores(self) -> AbstractContextManager[object]:
        """Compute on half of the cores while question and following compute at once."""
        from segzero.devices import limit_omp_threads

        both = self._asker.busy and self._follower.active
        return limit_omp_threads() if both else nullcontext()

    def _report(self) -> None:
        camera, following = Rate(), Rate()

        def lights() -> list[Light]:
            rates = camera.update(self._frames.count), following.update(self._follower.steps)
            return self._lights(*rates)

        report_lights(self._sink, lights, self._stop)

    def _lights(self, camera: float, following: float) -> list[Light]:
        newest, error = self._frames.newest(), self._player.error
        age = time.monotonic() - newest.received if newest else float("inf")
        if error:
            source = Light("source", "error", error)
        elif not self.info.live:
            source = Light("source", "ok", f"{self.info.length} frames")
        elif age > _STALE:
            text = "no picture yet" if newest is None else f"no picture for {age:.0f} s"
            source = Light("source", "stale", text)
        else:
            source = Light("source", "ok", f"{camera:.1f} pictures a second")
        if not self._loaded.is_set():
            models = Light("models", "warn", f"{self._profile}: loading")
        elif self._load_error:
            models = Light("models", "error", error_text(self._load_error))
        else:
            models = Light("models", "ok", f"{self._profile}: ready")
        goals = len(self._follower.goals())
        text = f"{goals} goals, {following:.1f} frames a second" if goals else "nothing is followed"
        asking = "thinking" if self._asker.busy else "no open question"
        return [source, models, Light("questions", "ok", asking), Light("following", "ok", text)]
