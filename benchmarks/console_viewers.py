"""`python benchmarks/console_viewers.py`: what viewers of the console cost following.

A film of the moving tabletop, 640x480 at 30 Hz, is followed in the server's process. Phases without
viewers and with them take turns. The viewers are WebSockets of another process on this machine: one
of them reads nothing for most of the time, the others read all. Their processor time is stated
apart; viewers on other machines would not take it from the models. After the phases all viewers
stay, and memory is read from /proc.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import records
from numpy.typing import NDArray
from processes import end_all

SEED = 300_000
"""No training scene has this seed."""
WIDTH, HEIGHT, RATE, FILM = 640, 480, 30.0, 180
SLOW_PERIOD = 0.5
"""Seconds from one message to the next that the slow viewer reads."""
_NUMBERS = itertools.count()
"""Of questions."""


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--phases", type=int, default=4, help="of each kind (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a phase")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the watch on memory")
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument(
        "--out",
        type=Path,
        default=records.RESULTS / "console-viewers.json",
        help="default: %(default)s",
    )
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    load = os.getloadavg()[0]
    with TemporaryDirectory() as folder, serving(options.profile, Path(folder)) as served:
        figures = measure(served, options)
    figures |= {
        "images": f"{WIDTH}x{HEIGHT} at {RATE:g} Hz",
        "viewers": options.viewers,
        "load before": round(load, 1),
    }
    records.record(figures, ("torch", "starlette", "uvicorn", "websockets"), options.out)
    print(json.dumps(figures, indent=2))
    return 0


class Film:
    """A live source that repeats pictures that are in memory, at their rate."""

    def __init__(self) -> None:
        from segzero_console.messages import SourceInfo

        self.info = SourceInfo("webcam", "film", live=True)
        self.rate = RATE
        self._pictures = render()
        self._index = 0

    def open(self) -> None:
        self._start = time.monotonic()

    def read(self) -> tuple[int, NDArray[np.uint8], int]:
        self._index = max(self._index + 1, int((time.monotonic() - self._start) * RATE))
        time.sleep(max(0.0, self._start + self._index / RATE - time.monotonic()))
        # There and back, so that nothing jumps.
        place = self._index % (2 * FILM - 2)
        picture = self._pictures[min(place, 2 * FILM - 2 - place)]
        return time.time_ns(), picture, self._index

    def close(self) -> None:
        pass


def render() -> list[NDArray[np.uint8]]:
    """The film."""
    from segzero_sim.motion import sample_motion
    from segzero_sim.tabletop import TabletopRenderer

    motion = sample_motion(SEED)
    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        return [renderer.render(motion.at(k / RATE), depth=False).rgb for k in range(FILM)]


class Counter:
    """A sink that counts followed frames and hands everything on."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self.followed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def result(self, result: Any, picture: Any) -> None:
        self.followed += result.state == "tracked"
        self._sink.result(result, picture)


class Served:
    """The running server."""

    def __init__(self, profile: str, folder: Path) -> None:
        from segzero.pipeline import SegZero
        from segzero_console.access import Access
        from segzero_console.local import LocalBackend
        from segzero_console.rows import RowWriter
        from segzero_console.server import Server, make_app

        served = self

        class Backend(LocalBackend):
            def start(self, sink: Any) -> None:
                served.counter = Counter(sink)
                super().start(served.counter)

        self.counter: Counter
        self.backend = Backend(lambda: SegZero.load(profile), Film(), profile)
        app = make_app(self.backend, RowWriter(folder / "rows"), Access("", 0))
        self.server = Server(app, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join()


@contextlib.contextmanager
def serving(profile: str, folder: Path) -> Iterator[Served]:
    served = Served(profile, folder)
    try:
        yield served
    finally:
        served.close()


def measure(served: Served, options: argparse.Namespace) -> dict[str, Any]:
    """Follow what the first question finds, and let viewers come and go."""
    follow(served)
    alone: list[float] = []
    watched: list[float] = []
    seen: list[dict[str, Any]] = []
    for _ in range(options.phases):
        alone.append(rate(served, options.seconds))
        with viewing(served.server.url, options.viewers) as reports:
            time.sleep(2.0)  # until all are there
            watched.append(rate(served, options.seconds))
        seen.append(reports())
    memory = watch_memory(served, options)
    ratios = [with_ / without for with_, without in zip(watched, alone, strict=True)]
    return {
        "followed without viewers [Hz]": records.spread(alone, 2),
        "followed with viewers [Hz]": records.spread(watched, 2),
        "with over without [%]": records.spread([100 * ratio for ratio in ratios], 1),
        "a viewer [kB/s]": round(float(np.mean([s["kB/s"] for s in seen])), 1),
        "frames a viewer [Hz]": round(float(np.mean([s["frames [Hz]"] for s in seen])), 1),
        "masks a viewer [Hz]": round(float(np.mean([s["masks [Hz]"] for s in seen])), 1),
        "CPU of the viewers [cores]": round(float(np.mean([s["CPU [cores]"] for s in seen])), 2),
        "frames dropped for the slow viewer [%]": round(
            float(np.mean([s["slow dropped [%]"] for s in seen])), 1
        ),
        "resident memory over time [MiB]": memory,
    }


def follow(served: Served) -> None:
    """Ask until something is followed."""
    from segzero_console.backend import Question
    from segzero_sim.questions import look, sample_question
    from segzero_sim.scene import sample_scene
    from segzero_sim.tabletop import TabletopRenderer

    scene = sample_scene(SEED)
    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        ids = renderer.render(scene, depth=False).ids
    question = sample_question(look(scene, ids), 1, np.random.default_rng(0))
    assert question
    while True:
        enough = served.counter.followed + 5
        served.backend.ask(Question(f"q{next(_NUMBERS)}", question.text))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if served.counter.followed > enough:
                return
            time.sleep(0.1)


def rate(served: Served, seconds: float) -> float:
    """Followed frames a second."""
    before, start = served.counter.followed, time.monotonic()
    time.sleep(seconds)
    return (served.counter.followed - before) / (time.monotonic() - start)


def watch_memory(served: Served, options: argparse.Namespace) -> list[float]:
    """Resident memory with all viewers, at eleven times."""
    found = []
    with viewing(served.server.url, options.viewers) as _:
        for part in range(11):
            found.append(round(resident() / 2**20, 1))
            if part < 10:
                time.sleep(6.0 * options.minutes)
    return found


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def viewing(url: str, count: int) -> Iterator[Any]:
    """Viewers in another process; after the block, the value returns what they saw."""
    start = multiprocessing.get_context("spawn")
    near, far = start.Pipe()
    process = start.Process(target=view, args=(url, count, far))
    process.start()
    result: dict[str, Any] = {}
    try:
        near.recv()
        yield lambda: result
        near.send("end")
        result.update(near.recv())
    finally:
        end_all([process])


def view(url: str, count: int, pipe: Connection) -> None:
    """The viewers' process."""
    asyncio.run(_view(url, count, pipe))


async def _view(url: str, count: int, pipe: Connection) -> None:
    import websockets

    from segzero_console.messages import unpack

    address = url.replace("http", "ws") + "ws"
    seen = {"bytes": 0, "frame": 0, "result": 0}
    slow = {"frames": 0, "dropped": 0}

    async def look(number: int) -> None:
        # A small queue: what isn't read stays in the connection, as in a browser that is busy.
        async with websockets.connect(
            address, max_size=None, compression=None, max_queue=2, ping_interval=None
        ) as socket:
            async for message in socket:
                if number == 0:
                    if isinstance(message, bytes) and message[4:40].find(b'"frame"') >= 0:
                        slow["frames"] += 1
                        slow["dropped"] = unpack(message)[0]["dropped"]
                    await asyncio.sleep(SLOW_PERIOD)
                    continue
                seen["bytes"] += len(message)
                if isinstance(message, bytes):
                    seen["frame" if message[4:40].find(b'"frame"') >= 0 else "result"] += 1

    tasks = [asyncio.create_task(look(number)) for number in range(count)]
    await asyncio.sleep(1.0)
    before, cpu, start = dict(seen), resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    pipe.send("ready")
    await asyncio.to_thread(pipe.recv)
    seconds, others = time.monotonic() - start, max(1, count - 1)
    used = resource.getrusage(resource.RUSAGE_SELF)
    delta = {key: (seen[key] - before[key]) / seconds / others for key in seen}
    frames = slow["frames"] + slow["dropped"]
    pipe.send(
        {
            "kB/s": delta["bytes"] / 1000,
            "frames [Hz]": delta["frame"],
            "masks [Hz]": delta["result"],
            "CPU [cores]": (used.ru_utime - cpu.ru_utime + used.ru_stime - cpu.ru_stime) / seconds,
            "slow dropped [%]": 100 * slow["dropped"] / max(1, frames),
        }
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    raise SystemExit(main())
