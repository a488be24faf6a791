"""`python benchmarks/fuzz.py`: damaged completions, server streams and pictures, by the thousand.

Each case is a valid one with random damage. It must give a result or one of the named errors, and
memory must not grow. `--part` picks parts. All goes into `benchmarks/results/fuzz.json`. The exit
status is 1 if another error came.
"""

import argparse
import asyncio
import io
import json
import os
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import records
from PIL import Image

from segzero.errors import BadImage, MalformedAnswer, ServerError
from segzero.pictures import read_picture
from segzero.reasoning import chat_client
from segzero.reasoning.chat_client import ChatClient, Timeouts
from segzero.reasoning.completion_format import CompletionFormat
from segzero_train.datasets.masks import read_mask
from segzero_train.datasets.pictures import open_picture, rgb_pixels
from segzero_train.datasets.skipped import Unusable

COUNTS = {"completions": 100_000, "streams": 10_000, "pictures": 10_000}
NAMED = (MalformedAnswer, ServerError, BadImage, Unusable)
Case = Callable[[], object]
"""Runs one case; returns, or raises one of NAMED."""

_FORMATS = (
    CompletionFormat("vision_reasoner", "absolute_pixels"),
    CompletionFormat("seg_zero", "relative_1000", "round"),
)
_COMPLETIONS = (
    '<think>The cup is left.</think><answer>[{"bbox_2d": [10,100,200,210], "point_2d": [30,110]}, '
    '{"bbox_2d": [225,296,706,786], "point_2d": [302,410]}]</answer>',
    "<think>a</think>\n<answer>{'bbox': [10,100,200,210], 'points_1': [30,110], "
    "'points_2': [35,180]}</answer>",
    '```json\n[{"bbox_2d": [1, 2, 30, 40], "label": "red ball"}]\n```',
    "<think>none</think><answer>[]</answer>",
    "I found [two] objects: [{“bbox_2d”： (1，2，３０，40), 'point_2d': None,},]",
)
_SCRAPS = (
    *("[", "]", "{", "}", ",", ":", '"', "'", "(", ")", "<answer>", "</answer>", "<think>", "null"),
    *("1e999", "-1", "NaN", "0" * 400, "\\u", "\\ud800", "\ud800", "\0", "\u00a0", "，", "”", "🔴"),
    *("[" * 3000, '{"a":' * 500, "//", "/*", "```", "bbox_2d", "point_2d", "\x1b[2J", "\r\n"),
)
_CHUNKS: tuple[dict[str, Any], ...] = (
    {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "<think>x</think><answer>[{}"}}]},
    {"choices": [{"index": 0, "delta": {"content": "]"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"completion_tokens": 9, "prompt_tokens": 1080}},
)
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, 10**400, "", "x" * 5000, "\ud83d", [], [None], {}, {"a": 1}),
    *("length", "error", "\x1b[31m", ["content"], {"content": "a"}, "</answer>", "eos_token"),
)
_KINDS = (
    *("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "PCX", "SGI"),
    *("WEBP", "JPEG2000", "DDS", "AVIF"),
)


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="+", choices=COUNTS, default=list(COUNTS))
    parser.add_argument("--share", type=float, default=1.0, help="of the cases; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=records.RESULTS / "fuzz.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of Pillow, about damaged metadata
    parts = {
        part: run(part, max(1, int(COUNTS[part] * options.share)), options.seed)
        for part in options.part
    }
    records.record({"seed": options.seed, **parts}, ("pillow", "httpx2", "numpy"), options.out)
    print(json.dumps(parts, indent=2))
    return 1 if any(part["other errors"] for part in parts.values()) else 0


def run(part: str, count: int, seed: int) -> dict[str, Any]:
    """Run the cases of a part; count what came of them."""
    cases = {"completions": completions, "streams": streams, "pictures": pictures}[part]
    outcomes: Counter[str] = Counter()
    others: list[str] = []
    memory: list[int] = []
    process = psutil.Process(os.getpid())
    every = max(1, count // 20)
    for number, case in enumerate(cases(random.Random(seed))):
        if number == count:
            break
        if number % every == 0:
            memory.append(process.memory_info().rss)
        try:
            case()
            outcomes["result"] += 1
        except NAMED as error:
            name = next(kind.__name__ for kind in NAMED if isinstance(error, kind))
            outcomes[name] += 1
            if not _is_one_line(str(error)):
                others.append(f"case {number}: not one line: {error!r}"[:300])
        except Exception as error:
            others.append(f"case {number}: {type(error).__name__}: {error}"[:300])
    return {
        "cases": count,
        "outcomes": dict(outcomes),
        "other errors": others[:20],
        "memory after a quarter [MB]": round(memory[len(memory) // 4] / 1e6, 1),
        "memory at the end [MB]": round(process.memory_info().rss / 1e6, 1),
    }


def completions(rng: random.Random) -> Iterator[Case]:
    """Completions, read as at inference and as for rewards, in both formats."""
    while True:
        text = rng.choice(_COMPLETIONS)
        for _ in range(rng.randint(1, 6)):
            text = _damaged_text(rng, text)
        how, strict = rng.choice(_FORMATS), rng.random() < 0.3

        def case(text: str = text, how: CompletionFormat = how, strict: bool = strict) -> object:
            answer = how.read(text, (840, 840), (640, 480), strict=strict)
            for item in answer.objects:
                box = item.box
                assert box  # both formats have boxes
                assert 0 <= box.x1 < box.x2 <= 640 and 0 <= box.y1 < box.y2 <= 480, box
            return answer

        yield case


def streams(rng: random.Random) -> Iterator[Case]:
    """Answers of a server, byte by byte, to the real client over a real connection."""
    loop = asyncio.new_event_loop()
    content = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        writer.write(content)
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    limits = Timeouts(connect=5, first_token=5, next_token=5)
    client = ChatClient(f"http://127.0.0.1:{port}/v1", "model", None, limits)
    vars(chat_client)["_PAUSES"] = ()  # a second attempt would find the same
    while True:
        content = _response(rng)
        yield lambda: loop.run_until_complete(client.write([], 256, lambda text: None))


def pictures(rng: random.Random) -> Iterator[Case]:
    """Small picture files, read to ask about, as a row's picture, and as a row's mask."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    originals = []
    for kind in _KINDS:
        for mode in ("RGB", "L", "P", "1", "RGBA", "CMYK", "I;16", "LA"):
            buffer = io.BytesIO()
            try:
                Image.fromarray(pixels).convert(mode).save(buffer, kind)
            except (OSError, ValueError, KeyError):
                continue  # the format has no such mode
            originals.append(buffer.getvalue())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture"
        while True:
            data = rng.choice(originals)
            for _ in range(rng.randint(1, 4)):
                data = _damaged_bytes(rng, data)
            file.write_bytes(data)
            yield rng.choice(
                (
                    lambda: read_picture(file),
                    lambda: rgb_pixels(open_picture(file)),
                    lambda: read_mask(file),
                )
            )


def _response(rng: random.Random) -> bytes:
    chunks = [json.loads(json.dumps(chunk)) for chunk in _CHUNKS]
    if rng.random() < 0.6:
        for _ in range(rng.randint(1, 4)):
            _damage_json(rng, chunks)
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    events.append(b"data: [DONE]\n\n")
    if rng.random() < 0.3:
        rng.shuffle(events)
    body = b"".join(events)
    status = rng.choice(("200 OK",) * 8 + ("400 Bad", "401 No", "404 Not Found", "500 Oops"))
    kind = rng.choice(("text/event-stream",) * 8 + ("application/json", "text/html", ""))
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n"
    if rng.random() < 0.5:
        body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        head += "Transfer-Encoding: chunked\r\n"
    whole = f"{head}Connection: close\r\n\r\n".encode() + body
    if rng.random() < 0.5:
        for _ in range(rng.randint(1, 4)):
            whole = _damaged_bytes(rng, whole)
    return whole


def _damage_json(rng: random.Random, chunks: list[Any]) -> None:
    """Replace one value somewhere within."""
    at: Any = chunks
    while True:
        key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.7:
            at = at[key]
            continue
        at[key] = deepcopy(rng.choice(_VALUES))  # which later damage may change
        return


def _damaged_text(rng: random.Random, text: str) -> str:
    start = rng.randrange(len(text) + 1)
    end = min(len(text), start + rng.choice((0, 0, 1, 3, 20)))
    scrap = rng.choice((rng.choice(_SCRAPS), text[end : end + 40], chr(rng.randrange(0x11000))))
    return text[:start] + rng.choice((scrap, "")) + text[end:]


def _damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    kind = rng.random()
    if kind < 0.15:
        return data[:start]
    if kind < 0.4:
        return data[:start] + rng.randbytes(rng.choice((1, 1, 2, 4, 30))) + data[start:]
    length = rng.choice((1, 1, 2, 4, 16))
    replaced = b"" if kind < 0.6 else rng.choice((rng.randbytes(length), b"\xff" * length))
    return data[:start] + replaced + data[start + length :]


def _is_one_line(text: str) -> bool:
    return not any(letter in text for letter in "\n\r\x1b\x00")


if __name__ == "__main__":
    sys.exit(main())
