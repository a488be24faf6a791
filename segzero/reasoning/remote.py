"""A reasoning model on a server: vLLM, SGLang, llama.cpp or another with the OpenAI chat API."""

import asyncio
import base64
import os
import queue
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segzero.errors import Cancelled, ServerError
from segzero.reasoning.chat_client import KEY_VARIABLE, ChatClient, Timeouts
from segzero.reasoning.coordinates import Coordinates
from segzero.reasoning.prompts import PROMPTS, PromptTemplate, build_messages
from segzero.reasoning.reasoner import Completion, Images, OnText, Sampling, Stop
from segzero.reasoning.squash import squash

CONCURRENT = 8
"""Most requests that a batch has under way; servers work on as many at once."""
_POLL = 0.02
"""Seconds between two checks of a stop event."""
_IMAGE_TOKEN_SIDE = 28
"""Pixels of the square that is one token of a model with absolute coordinates (Qwen2.5-VL)."""
_CHAT_TOKENS = {
    "seg_zero": 143,
    "seg_zero_no_thinking": 125,
    "seg_zero_box": 107,
    "seg_zero_points": 119,
    "vision_reasoner": 177,
    "vision_reasoner_no_thinking": 159,
    "vision_reasoner_box": 142,
    "vision_reasoner_points": 125,
}
"""Tokens of a prompt in Qwen2.5-VL's chat template, without picture and question."""
_OTHER_TEMPLATE = 16
"""Tokens by which another chat template may differ; the next sizes of 840 pixels differ by 59."""


class RemoteReasoner:
    """Implements `Reasoner`; may be used from several threads.

    The server gets the picture squashed and as PNG, the same pixels that LocalReasoner uses, and
    fills its own chat template with the same messages. Nothing is asked before the first question:
    the server may start later, and go and come back. Its key is read from the environment variable
    KEY_VARIABLE.

    Args:
        server: Address of the API, such as `http://localhost:8000/v1`.
        model: The model's name there.
        prompt: A key of `prompts.PROMPTS`, or a template.
        image_size: Sides of the squashed picture in pixels.
        max_new_tokens: The longest completion.
        coordinates: What the model's numbers count. With `absolute_pixels` each answer is checked
            for whether the server kept the picture's size: the prompt's length tells.
        timeouts: How long to wait for the server.
    """

    def __init__(
        self,
        server: str,
        model: str,
        *,
        prompt: str | PromptTemplate,
        image_size: int,
        max_new_tokens: int,
        coordinates: Coordinates = "relative_1000",
        timeouts: Timeouts | None = None,
    ) -> None:
        key = os.environ.get(KEY_VARIABLE, "").strip() or None
        self._server = ChatClient(server, model, key, timeouts or Timeouts())
        self._prompt = prompt
        self._image_size = image_size
        self._max_new_tokens = max_new_tokens
        self._coordinates = coordinates
        self.model_size: tuple[int, int] | None = None  # until the server has shown its own
        # Requests run in a thread of their own: what blocks there, such as looking a name up,
        # delays no cancelling.
        self._loop = asyncio.new_event_loop()
        threading.Thread(
            target=_run, args=(self._loop,), name="segzero-server", daemon=True
        ).start()
        weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    def complete(
        self, image: NDArray[np.uint8], question: str, *, on_text: OnText = None, stop: Stop = None
    ) -> Completion:
        """See `Reasoner.complete`.

        new_tokens is the server's count, or the number of pieces if it sent none.
        """
        messages = self._messages(image, question)
        if stop is not None and stop.is_set():
            raise Cancelled("stopped before the server was asked")
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        task: Future[Completion] = self._start(self._write(messages, pieces.put))
        task.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := _next(pieces, stop)) is not None:
                if on_text is not None:
                    on_text(piece)
            return task.result()
        finally:
            task.cancel()  # closes the connection, by which the server knows; nothing once done

    def warm_up(self) -> None:
        """See `Reasoner.warm_up`: the server's own business, and it may still be away."""

    def complete_batch(
        self, images: Images, questions: Sequence[str], sampling: Sampling | None = None
    ) -> list[Completion]:
        """See `Reasoner.complete_batch`. At most CONCURRENT requests are under way at once."""
        requests = [
            self._messages(image, question)
            for image, question in zip(images, questions, strict=True)
        ]
        task: Future[list[Completion]] = self._start(self._write_all(requests, sampling))
        try:
            return task.result()
        finally:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _write(
        self,
        messages: list[dict[str, Any]],
        on_text: Callable[[str], None],
        sampling: Sampling | None = None,
    ) -> Completion:
        written = await self._server.write(messages, self._max_new_tokens, on_text, sampling)
        if self._coordinates == "absolute_pixels" and written.prompt_tokens:
            self._check_picture(messages[1]["content"][1]["text"], written.prompt_tokens)
        self.model_size = (self._image_size, self._image_size)
        return Completion(written.text, (self._image_size, self._image_size), written.new_tokens)

    def _check_picture(self, text: str, prompt_tokens: int) -> None:
        """Raise if the prompt's length says that the server made the picture smaller or larger."""
        side = self._image_size
        image_tokens = (side // _IMAGE_TOKEN_SIDE) ** 2
        fewest, most = _text_tokens(self._prompt, text)
        if image_tokens + fewest <= prompt_tokens <= image_tokens + most:
            return
        if prompt_tokens < image_tokens + fewest:
            changed, limit, key, option = "smaller", "at least", "max_pixels", "--image-max-tokens"
        else:
            changed, limit, key, option = "larger", "at most", "min_pixels", "--image-min-tokens"
        raise ServerError(
            f"the server made the picture {changed}: {side}x{side} pixels are {image_tokens} "
            f"tokens, with the text {image_tokens + fewest} to {image_tokens + most}, and the "
            f"prompt had {prompt_tokens}. All boxes would be scaled wrongly. Start it with a limit "
            f"of {limit} {side**2} pixels (vLLM: --mm-processor-kwargs "
            f"'{{\"{key}\": {side**2}}}', SGLang: --mm-process-config "
            f'\'{{"image": {{"{key}": {side**2}}}}}\', llama.cpp: {option} {image_tokens})'
        )

    async def _write_all(
        self, requests: Sequence[list[dict[str, Any]]], sampling: Sampling | None
    ) -> list[Completion]:
        slots = asyncio.Semaphore(CONCURRENT)

        async def write(messages: list[dict[str, Any]]) -> Completion:
            async with slots:
                return await self._write(messages, lambda _: None, sampling)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(write(messages)) for messages in requests]
        except ExceptionGroup as errors:  # the first failure has ended the others
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    def _messages(self, image: NDArray[np.uint8], question: str) -> list[dict[str, Any]]:
        """The messages of `build_messages` with the picture."""
        messages = build_messages(self._prompt, question)
        picture = {"type": "image_url", "image_url": {"url": _data_url(image, self._image_size)}}
        messages[1]["content"][0] = picture
        return messages


def _text_tokens(prompt: str | PromptTemplate, text: str) -> tuple[int, int]:
    """The fewest and the most tokens that a chat with this text may have, without the picture."""
    template = prompt if isinstance(prompt, PromptTemplate) else PROMPTS[prompt]
    if prompt not in _CHAT_TOKENS:
        return 0, len(text.encode()) + max(_CHAT_TOKENS.values())
    rest = len(text) - len(template.text) + len("{Question}")
    before = template.text.index("{Question}")
    question = text[before : before + rest]
    # A byte is a token at most. Letters come two and more to a token, a blank with its word.
    letters = sum(letter.isascii() and letter.isalpha() for letter in question)
    most = len(question.replace(" ", "").encode()) - letters // 2
    fixed = _CHAT_TOKENS[prompt]
    return fixed - _OTHER_TEMPLATE, fixed + most + _OTHER_TEMPLATE


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _next(pieces: "queue.SimpleQueue[str | None]", stop: Stop) -> str | None:
    """The next piece, None after the last; raises Cancelled as soon as `stop` is set."""
    while stop is None or not stop.is_set():
        try:
            piece = pieces.get(timeout=_POLL)
        except queue.Empty:
            continue
        if piece is None or stop is None or not stop.is_set():
            return piece
    raise Cancelled("stopped while the server was answering")


def _data_url(image: NDArray[np.uint8], side: int) -> str:
    """The image squashed to `side` pixels square, lossless, as a data URL."""
    squashed = squash(image, side)
    _, png = cv2.imencode(".png", cv2.cvtColor(squashed, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode("ascii")
