"""What one browser asks for, done."""

import asyncio
import logging
import time

import numpy as np
from numpy.typing import NDArray

from segzero.checks import check_image
from segzero.errors import BadQuestion, SegZeroError
from segzero.pictures import decode, to_rgb, upright
from segzero.reasoning.prompts import clean_question
from segzero_console import corrections, export, requests
from segzero_console.backend import (
    Backend,
    Ending,
    Question,
    Unavailable,
    error_code,
    error_text,
)
from segzero_console.carrying import Carrying
from segzero_console.downloads import Download, Downloads
from segzero_console.frames import Picture
from segzero_console.hub import Hub
from segzero_console.reading import read_binary, read_text
from segzero_console.requests import BadRequest, Request
from segzero_console.rows import RowWriter
from segzero_console.viewers import Viewer

_LOG = logging.getLogger(__name__)
_ORDERED = (requests.Ask, requests.AskPicture, requests.Cancel, requests.Clear, requests.Remove)
"""Requests that are done in the order in which they came."""
_ENDING = (requests.Cancel, requests.Clear)
MAX_TASKS = 8
"""Requests of one browser that are worked on at once."""
MAX_PICTURE_PIXELS = 24_000_000
"""Of a picture that is dropped in."""


class Session:
    """One browser's requests; for the event loop.

    Args:
        backend: Does them.
        hub: Tells all browsers.
        viewer: This browser.
        rows: Where training rows go.
        carrying: Saves followed frames.
        downloads: Files for the browser.
    """

    def __init__(
        self,
        backend: Backend,
        hub: Hub,
        viewer: Viewer,
        rows: RowWriter,
        carrying: Carrying,
        downloads: Downloads,
    ) -> None:
        self._backend = backend
        self._hub = hub
        self._viewer = viewer
        self._rows = rows
        self._carrying = carrying
        self._downloads = downloads
        self._tasks: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()  # a question comes before its cancellation
        self._kept: dict[int, Picture] = {}  # dropped in here

    def receive(self, message: str | bytes) -> None:
        """Begin to do what a message asks for; errors go to the browser."""
        read = read_text if isinstance(message, str) else read_binary
        try:
            request = read(message)  # type: ignore[arg-type]
            if isinstance(request, requests.Seen):
                self._viewer.see(request.stamp)
                return
            # What ends something is not refused because of what it shall end.
            most = 2 * MAX_TASKS if isinstance(request, _ENDING) else MAX_TASKS
            if len(self._tasks) >= most:
                self._fail(request.request, "busy", "too much at once: wait for what is under way")
                return
        except BadRequest as error:
            self._fail(error.request, "bad_request", str(error))
            return
        except Exception as error:
            self._hub.trouble("a message of a page can't be read", error)
            return
        task = asyncio.get_running_loop().create_task(self._do(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Stop waiting for what is under way."""
        for task in self._tasks:
            task.cancel()

    async def _do(self, request: Request) -> None:
        try:
            if isinstance(request, _ORDERED):
                async with self._order:
                    await self._dispatch(request)
            else:
                await self._dispatch(request)
        except BadRequest as error:
            self._fail(request.request, "bad_request", str(error))
        except (SegZeroError, OSError) as error:
            code = "failed" if isinstance(error, OSError) else error_code(error)
            self._fail(request.request, "failed" if code == "model" else code, error_text(error))
        except Exception as error:
            _LOG.exception("a request could not be done")
            self._fail(request.request, "failed", error_text(error))

    async def _dispatch(self, request: Request) -> None:
        backend = self._backend
        match request:
            case requests.Ask():
                await self._ask(request)
            case requests.AskPicture():
                await self._ask_picture(request)
            case requests.Cancel():
                if not await asyncio.to_thread(backend.cancel, request.request):
                    self._fail(request.request, "unavailable", "that question has ended already")
            case requests.Clear():
                self._carrying.stop(request.goal)
                await asyncio.to_thread(backend.clear, request.goal)
            case requests.Remove():
                await asyncio.to_thread(backend.remove, request.ids)
            case requests.Refine():
                await self._refine(request)
            case requests.Follow():
                picture = self._find(request.stamp)
                if not picture.number:
                    raise Unavailable("a picture that was dropped in is no frame to follow from")
                prompts = corrections.read_prompts(request.objects, picture)
                await self._hub.draw(backend.follow, picture, prompts, request.goal)
            case requests.Save():
                await self._save(request)
            case requests.Carry():
                self._carry(request)
            case requests.Export():
                await self._export(request)
            case requests.Seek():
                backend.seek(request.index)
            case requests.Pause():
                self._pause(request)
            case requests.Play():
                self._viewer.paused = None
                backend.play()

    async def _ask(self, request: requests.Ask) -> None:
        picture = None if request.stamp is None else self._find(request.stamp)
        dropped = picture is not None and not picture.number
        if dropped:
            self._hub.own(request.request, self._viewer)
        question = Question(
            request.request,
            request.text,
            request.goal,
            picture,
            follow=request.follow and not dropped,
            private=dropped,
        )
        await self._submit(question)

    async def _ask_picture(self, request: requests.AskPicture) -> None:
        rgb = await asyncio.to_thread(_decode_picture, request.data)
        picture = Picture(time.time_ns(), rgb)
        self._kept = {picture.stamp: picture}
        self._hub.own(request.request, self._viewer)
        await self._submit(
            Question(request.request, request.text, "", picture, follow=False, private=True)
        )

    async def _submit(self, question: Question) -> None:
        try:
            await asyncio.to_thread(self._backend.ask, question)
        except SegZeroError:
            self._hub.disown(question.request, self._viewer)
            raise

    async def _refine(self, request: requests.Refine) -> None:
        picture = self._find(request.stamp)
        objects = request.objects
        corrections.read_prompts(objects, picture)  # errors are told before the models are there
        self._viewer.tell(
            await self._hub.draw(corrections.draw, self._backend, request.request, picture, objects)
        )

    async def _save(self, request: requests.Save) -> None:
        picture, rows = self._find(request.stamp), self._rows
        _check_question(request.question)
        masks = await self._hub.draw(
            corrections.masks_of, self._backend, self._hub.results, picture, request.objects
        )
        count = await asyncio.to_thread(
            rows.save, picture.stamp, picture.rgb, request.question, masks
        )
        self._tell_saved(request.request, count)

    def _carry(self, request: requests.Carry) -> None:
        if not request.every:
            self._carrying.stop(request.goal)
            self._tell_saved(request.request, self._rows.count)
            return
        _check_question(request.question)
        self._carrying.start(
            request.goal,
            request.question,
            request.every,
            lambda rows: self._hub.call(self._tell_saved, request.request, rows),
            lambda error: self._hub.call(self._tell_not_saved, request.request, error),
        )

    def _tell_saved(self, request: str, rows: int, more: bool = True) -> None:
        """Tell that a row was saved; `more` is false where carrying ended because none can be."""
        folder = str(self._rows.folder)
        saved = {"type": "saved", "request": request, "rows": rows, "folder": folder, "more": more}
        self._viewer.tell(saved)

    def _tell_not_saved(self, request: str, error: Exception) -> None:
        """Tell all pages that carrying ended: nobody may look at the one that began it."""
        _LOG.error("saving followed frames ended", exc_info=error)
        rows = self._rows.count
        self._hub.notice(
            "error",
            f"saving followed frames ended: {error_text(error)}. {rows} rows are in "
            f"{self._rows.folder}: make room, then start saving again",
        )
        self._tell_saved(request, rows, more=False)

    async def _export(self, request: requests.Export) -> None:
        if request.what == "mp4":
            frames = self._hub.recording.frames()
            data = await asyncio.to_thread(export.to_mp4, frames)
            self._offer(request.request, "segzero.mp4", "video/mp4", data)
            return
        stamp = request.stamp
        picture = self._hub.newest_result() if stamp is None else self._find(stamp)
        if picture is None:
            raise Unavailable("there is no picture yet")
        stored = self._hub.results.find(picture.stamp)
        name = f"segzero_{picture.stamp}"
        if request.what == "png":
            data = await asyncio.to_thread(export.to_png, picture.rgb, stored)
            self._offer(request.request, f"{name}.png", "image/png", data)
        else:
            data = await asyncio.to_thread(export.to_coco, f"{name}.png", picture.size, stored)
            self._offer(request.request, f"{name}.json", "application/json", data)

    def _offer(self, request: str, name: str, kind: str, data: bytes) -> None:
        key = self._downloads.offer(Download(name, kind, data))
        self._viewer.tell(
            {"type": "download", "request": request, "name": name, "url": f"/download/{key}"}
        )

    def _pause(self, request: requests.Pause) -> None:
        if request.stamp is not None:
            picture = self._find(request.stamp)
            self._viewer.paused = picture
            if picture.number:
                self._backend.keep(picture)
        self._backend.pause()

    def _find(self, stamp: int) -> Picture:
        paused = self._viewer.paused
        if paused and paused.stamp == stamp:
            return paused
        picture = self._kept.get(stamp) or self._backend.find(stamp)
        if picture is None:
            raise Ending(
                "unknown_stamp", "that frame is gone: pause first, then work on what is shown"
            )
        return picture

    def _fail(self, request: str, code: str, text: str) -> None:
        self._viewer.tell({"type": "error", "request": request, "code": code, "text": text})


def _check_question(question: str) -> None:
    try:
        clean_question(question)
    except BadQuestion as error:
        raise BadQuestion(f"a row needs a question: {error}") from error


def _decode_picture(data: bytes) -> NDArray[np.uint8]:
    """A dropped-in file as (H, W, 3) uint8 RGB, upright."""
    rgb = to_rgb(upright(decode(data, MAX_PICTURE_PIXELS)))
    check_image(rgb)
    return rgb
