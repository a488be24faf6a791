"""A server of the OpenAI chat API with a LocalReasoner behind it, as a process of its own.

It accepts only what a reasoner should send: the very messages of `build_messages` and a lossless
picture of the profile's size. The name of the model in a request picks how the server behaves:

    python -m tests.segzero.openai_server PROFILE    # prints its address
"""

import argparse
import base64
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from segzero.errors import Cancelled
from segzero.loading import load_reasoner
from segzero.profiles import Profile, load_profile
from segzero.reasoning.prompts import PROMPTS, build_messages
from segzero.reasoning.reasoner import Sampling

END = "</answer>"
SECRET = "the key"
CONTEXT = "This model's maximum context length is 512 tokens. However, you requested 1500 tokens."


class Refused(Exception):
    """The request ends with an HTTP status: the first argument, then the message."""


class Server(ThreadingHTTPServer):
    """Generates one completion at a time and counts what became of the requests."""

    daemon_threads = True

    def __init__(self, profile: Profile) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.profile = profile
        self.reasoner = load_reasoner(profile, torch.device("cpu"))
        self.one = threading.Lock()
        self.seen: Counter[str] = Counter()
        """Requests, and requests that the client gave up, by model; most at once."""
        self.under_way = 0

    def generate(self, body: dict[str, Any], on_text: Callable[[str], None], stop: threading.Event):
        image, question = read_messages(body["messages"], self.profile)
        assert body["max_tokens"] == self.profile.max_new_tokens
        with self.one:
            if body["temperature"] != 0:
                assert body["top_p"] == 1
                drawn = Sampling(body["temperature"], body["seed"])
                (completion,) = self.reasoner.complete_batch([image], [question], drawn)
                on_text(completion.text)
                return completion
            return self.reasoner.complete(image, question, on_text=on_text, stop=stop)


def read_messages(messages: list[dict], profile: Profile) -> tuple[NDArray[np.uint8], str]:
    """The picture and the question of a chat; refuses any other chat than ours."""
    picture, text = messages[1]["content"]
    head, _, data = picture["image_url"]["url"].partition(",")
    before, after = PROMPTS[profile.prompt].text.split("{Question}")
    question = text["text"].removeprefix(before).removesuffix(after)
    ours = build_messages(profile.prompt, question)
    ours[1]["content"][0] = picture
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    side = profile.image_size
    if (
        image is None
        or messages != ours
        or head != "data:image/png;base64"
        or image.shape != (side, side, 3)
    ):
        raise Refused(400, "this isn't what a reasoner sends")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), question


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._reply(200, {"object": "list", "data": [{"id": name} for name in MODELS]})
        elif self.path == "/seen":
            self._reply(200, dict(self.server.seen))
        else:
            self._reply(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name, seen = body["model"], self.server.seen
        seen[name] += 1
        self.server.under_way += 1
        seen["most at once"] = max(seen["most at once"], self.server.under_way)
        try:
            if self.path != "/v1/chat/completions":
                raise Refused(404, "Not Found")
            if name not in MODELS:
                raise Refused(404, f"The model `{name}` does not exist.")
            MODELS[name](self, body)
        except Refused as error:
            self._reply(error.args[0], {"error": {"message": error.args[1]}})
        except (Cancelled, OSError):
            seen[f"{name} given up"] += 1
            self.close_connection = True
        finally:
            self.server.under_way -= 1

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def _reply(self, status: int, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    # what the behaviours are made of

    def start(self, kind: str = "text/event-stream; charset=utf-8") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send(self, data: str) -> None:
        chunk = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")

    def finish(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def text(self, piece: str, **more: object) -> None:
        choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None} | more
        self.send(json.dumps({"choices": [choice]}, ensure_ascii=False))

    def watched(self) -> threading.Event:
        """An event that is set when the client has gone."""
        gone, connection = threading.Event(), self.connection

        def watch() -> None:
            while not gone.is_set():
                readable, _, _ = select.select([connection], [], [], 0.02)
                if readable and not connection.recv(1, socket.MSG_PEEK):
                    gone.set()

        threading.Thread(target=watch, daemon=True).start()
        return gone


def answer(request: Handler, body: dict, pause: float = 0.0, included: bool = False) -> None:
    """As vLLM: a first chunk with the role alone, no stop string in the text, usage at the end."""
    sent = ""
    gone = request.watched()

    def on_text(piece: str) -> None:
        nonlocal sent
        time.sleep(pause)
        piece = piece if included else (sent + piece).partition(END)[0][len(sent) :]
        sent += piece
        if piece:
            request.text(piece)

    assert body["stream"] and body["stop"] == [END]
    request.start()
    request.send(json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}))
    completion = request.server.generate(body, on_text, gone)
    while included:  # a server without stop strings writes on
        request.text(" and more")
        time.sleep(0.01)
        if gone.is_set():
            raise Cancelled
    reason = "stop" if END in completion.text else "length"
    request.text("", finish_reason=reason)
    request.send(json.dumps({"choices": [], "usage": {"completion_tokens": completion.new_tokens}}))
    request.send("[DONE]")
    request.finish()
    gone.set()


def silent(request: Handler, body: dict) -> None:
    """Answers nothing at all, not even a status, until the client goes."""
    if request.watched().wait(30):
        raise Cancelled


def hung(request: Handler, body: dict) -> None:
    """Stops writing after the first words but keeps the line alive with comments."""
    request.start()
    request.text("<think>the red")
    gone = request.watched()
    while not gone.wait(0.05):
        request.wfile.write(b"8\r\n: ping\n\n\r\n")
    raise Cancelled


def loading(request: Handler, body: dict) -> None:
    """Is there from the third request on."""
    if request.server.seen["loading"] < 3:
        raise Refused(503, "Loading model")
    answer(request, body)


def dropping(request: Handler, body: dict) -> None:
    """Drops the first connection without a word."""
    if request.server.seen["dropping"] < 2:
        request.close_connection = True
    else:
        answer(request, body)


def dying(request: Handler, body: dict) -> None:
    """Loses the connection in the middle of the answer."""
    request.start()
    request.text("<think>the red")
    request.close_connection = True


def short(request: Handler, body: dict) -> None:
    """Ends the stream in the middle of the answer, as if that were all."""
    dying(request, body)
    request.finish()


def sends(*data: str, kind: str = "text/event-stream") -> Callable[[Handler, dict], None]:
    def behave(request: Handler, body: dict) -> None:
        request.start(kind)
        for item in data:
            request.send(item)
        request.finish()

    return behave


def refuses(status: int, message: str) -> Callable[[Handler, dict], None]:
    def behave(request: Handler, body: dict) -> None:
        raise Refused(status, message)

    return behave


def locked(request: Handler, body: dict) -> None:
    if request.headers["Authorization"] != f"Bearer {SECRET}":
        raise Refused(401, "Unauthorized")
    answer(request, body)


MODELS: dict[str, Callable[[Handler, dict], None]] = {
    "demo": answer,
    "slow": lambda request, body: answer(request, body, pause=0.05),
    "stop string included": lambda request, body: answer(request, body, included=True),
    "silent": silent,
    "hung": hung,
    "loading": loading,
    "busy": refuses(429, "too many requests"),
    "dropping": dropping,
    "dying": dying,
    "short": short,
    "locked": locked,
    "short context": refuses(400, CONTEXT),
    "text only": refuses(400, "this model can't see"),
    "broken": refuses(500, "CUDA error"),
    "no JSON": sends('{"choices": [{"del'),
    "other JSON": sends('{"choices": {"delta": 7}}'),
    "error": sends('{"error": {"message": "out of memory", "code": 500}}'),
    "aborting": sends('{"choices": [{"delta": {"content": "<"}, "finish_reason": "abort"}]}'),
    "thinking apart": sends('{"choices": [{"delta": {"reasoning_content": "the red thing"}}]}'),
    "page": sends("<html>", kind="text/html"),
    "line breaks": sends(
        json.dumps({"choices": [{"delta": {"content": "a\u2028b\x85c\r\n"}}]}, ensure_ascii=False),
        '{"choices": [{"delta": {}, "finish_reason": "stop"}]}',
    ),
    **{
        f"{count} prompt tokens": sends(
            '{"choices": [{"delta": {"content": "<answer>[]"}, "finish_reason": "stop"}]}',
            json.dumps({"choices": [], "usage": {"completion_tokens": 3, "prompt_tokens": count}}),
        )
        for count in (0, 300, 500, 580, 909, 1019, 1070, 1080, 1092, 1141, 1204)
    },
}


class ServerProcess:
    """This file as a process, with the demo's reasoner."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.segzero.openai_server", "demo"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,  # it ends with whoever started it
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the server didn't start"

    def seen(self, what: str) -> int:
        """How often the server saw something: a model's name, or `<name> given up`."""
        with urllib.request.urlopen(self.url.replace("/v1", "/seen")) as response:
            return json.load(response).get(what, 0)

    def close(self) -> None:
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("profile")
    torch.set_num_threads(1)
    server = Server(load_profile(parser.parse_args().profile))
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
