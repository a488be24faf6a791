"""`python benchmarks/cameras.py`: several cameras, served by one process or by one each.

A film process publishes the same moving tabletop for each camera, 640x480 rgb8 at 30 Hz over Fast
DDS. The demo's models are asked about one object on each camera, and follow it on all cameras at
once. Counts and rates are those of /diagnostics over the time of following, memory is read from
/proc at its end. What several processes share, such as libraries, counts once in the proportional
memory, and in each of them in the resident memory.
"""

import argparse
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import records
from processes import cpu_seconds, end_all, keep_apart

WIDTH, HEIGHT, RATE = 640, 480, 30
SEED = 300_000
"""No training scene has this seed."""
TIMEOUT = 180.0
"""Seconds for the processes to start, and for all cameras to be followed."""
ASK_AGAIN = 8.0
"""Seconds after which a camera on which nothing is followed yet is asked again."""
COUNTS = ("frames received", "frames lost", "frames followed")


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, help="default: %(default)s")
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "cameras.json", help="default: %(default)s"
    )
    options = parser.parse_args()
    keep_apart()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the installed executables do
    load = os.getloadavg()[0]
    rows = [
        measure(count, shared, options.profile, options.seconds)
        for count in options.cameras
        for shared in ((True, False) if count > 1 else (True,))
    ]
    figures = {
        "images": f"{WIDTH}x{HEIGHT} rgb8 at {RATE} Hz for each camera",
        "rows": rows,
        "load before": round(load, 1),
    }
    records.record(figures, ("torch", "ros-jazzy-rclpy", "ros-fastrtps"), options.out)
    print(json.dumps(rows, indent=2))
    return 0


def measure(count: int, shared: bool, profile: str, seconds: float) -> dict[str, Any]:
    """Follow on `count` cameras for some seconds; return the figures."""
    names = [f"cam{number}" for number in range(count)]
    start = multiprocessing.get_context("spawn")
    end, (near, far) = start.Event(), start.Pipe()
    film = start.Process(target=publish, args=(names, end, far))
    film.start()
    processes = [
        subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
        for command in commands(names, shared, profile)
    ]
    try:
        pids = [process.pid for process in processes]
        counts, cpu = follow_all(names, near.recv(), seconds, pids)
        memory = [memory_of(pid) for pid in pids]
    finally:
        end.set()
        for process in processes:
            process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait(60)
        end_all([film])
    received, lost, followed = (sum(each[key] for each in counts) for key in COUNTS)
    return {
        "cameras": count,
        "processes": len(processes),
        "resident [MiB]": sum(item["Rss"] for item in memory),
        "proportional [MiB]": sum(item["Pss"] for item in memory),
        "frames lost [%]": round(100 * lost / (received + lost), 1),
        "frames received": received,
        "followed a camera [Hz]": round(followed / seconds / count, 1),
        "CPU time a followed frame [ms]": round(1000 * cpu / followed, 1),
    }


def commands(names: list[str], shared: bool, profile: str) -> list[list[str]]:
    """Modules with the arguments that serve the cameras."""
    options = ["--ros-args", "-p", f"profile:={profile}", "-p", "autostart:=true"]
    if shared:
        return [["segzero_ros.cameras", *names, *options]]
    return [["segzero_ros.perception_node", *options, "-r", f"__ns:=/{name}"] for name in names]


def follow_all(
    names: list[str], what: str, seconds: float, pids: list[int]
) -> tuple[list[dict[str, int]], float]:
    """Have something followed on all cameras.

    Returns:
        What was counted in `seconds` for each camera, and the CPU seconds of the processes.
    """
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from std_msgs.msg import String

    rclpy.init()
    node = rclpy.create_node("watcher")
    told: dict[str, dict[str, str]] = {name: {} for name in names}

    def note(message: DiagnosticArray) -> None:
        for status in message.status:
            camera = status.name.split("/")[1]
            told[camera].update((value.key, value.value) for value in status.values)

    node.create_subscription(DiagnosticArray, "/diagnostics", note, 100)
    askers = {name: node.create_publisher(String, f"/{name}/segzero/query", 10) for name in names}

    def spin(until: Callable[[], bool], timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not until() and time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.1)
        return until()

    def followed(name: str) -> bool:
        return int(told[name].get("objects seen", 0)) > 0

    def ready() -> bool:
        return all(publisher.get_subscription_count() for publisher in askers.values())

    if not spin(ready, TIMEOUT):
        raise SystemExit("the nodes did not start")
    deadline = time.monotonic() + TIMEOUT
    while left := [name for name in names if not followed(name)]:
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing was followed on {', '.join(left)}")
        for name in left:
            askers[name].publish(String(data=what))
        spin(lambda: all(map(followed, names)), ASK_AGAIN)
    before = {name: dict(told[name]) for name in names}
    cpu = sum(map(cpu_seconds, pids))
    spin(lambda: False, seconds)
    cpu = sum(map(cpu_seconds, pids)) - cpu
    counts = [
        {key: int(told[name][key]) - int(before[name].get(key, 0)) for key in COUNTS}
        for name in names
    ]
    node.destroy_node()
    rclpy.shutdown()
    return counts, cpu


def memory_of(pid: int) -> dict[str, int]:
    """Resident and proportional memory of a process in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {
        name: int(size) // 1024 for name, size in re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.M)
    }


def publish(names: list[str], end: Event, pipe: Connection) -> None:
    """Send the name of an object; film it for all cameras, there and back, until the end."""
    import rclpy
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from segzero_ros.images.conversions import from_array
    from segzero_ros.qos import CAMERA_QOS
    from segzero_sim.motion import set_in_motion
    from segzero_sim.tabletop import TabletopRenderer, draw_usable

    with TabletopRenderer(WIDTH, HEIGHT) as renderer:
        scene, _ = draw_usable(renderer, SEED, (3, 3), depth=False)
        motion = set_in_motion(scene)
        pictures = [renderer.render(motion.at(k / RATE), depth=False).rgb for k in range(2 * RATE)]
    images = [from_array(picture, Header(frame_id="camera")) for picture in pictures]
    images += images[::-1]
    rclpy.init()
    node = rclpy.create_node("film")
    publishers = [node.create_publisher(Image, f"/{name}/image", CAMERA_QOS) for name in names]
    pipe.send(f"the {scene.objects[0].colour} {scene.objects[0].shape}")
    due, number = time.monotonic(), 0
    while not end.is_set():
        due += 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        image = images[number % len(images)]
        image.header.stamp = node.get_clock().now().to_msg()
        for publisher in publishers:
            publisher.publish(image)
        number += 1
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    sys.exit(main())
