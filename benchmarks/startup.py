"""`python benchmarks/startup.py`: seconds until the perception node is ready, and where they go.

The node is started as a process of its own, several times, with the demo's models. Its log says
when it has been set up, when the models are ready, and when it listens. Then its memory is read
from /proc. One more start, with Python's own import timer, says which packages the imports are.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import records
from processes import cpu_seconds, keep_apart

STAGES = {"set up": "Loading ", "models ready": " is ready after ", "listening": "Listening to "}
"""The line of the node's log that ends a stage."""
PACKAGES, LIBRARIES = 8, 10
"""Number of packages and of mapped files that are named."""


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "startup.json", help="default: %(default)s"
    )
    options = parser.parse_args()
    keep_apart()
    load = os.getloadavg()[0]
    runs = [start(options.profile) for _ in range(options.runs + 1)][1:]  # the first reads the disk
    figures: dict[str, Any] = {
        "seconds until": {
            stage: records.spread([run["seconds"][stage] for run in runs], 2) for stage in STAGES
        },
        "CPU seconds": records.spread([run["cpu"] for run in runs], 2),
        "resident [MiB]": {
            kind: records.spread([run["memory"][kind] for run in runs], 0)
            for kind in ("VmRSS", "RssAnon", "RssFile")
        },
        "resident by mapping [MiB]": runs[-1]["mappings"],
        "import seconds by package": import_seconds(),
        "load before": round(load, 1),
    }
    records.record(figures, ("torch", "transformers", "ros-jazzy-rclpy"), options.out)
    for stage in STAGES:
        print(f"{stage}: {figures['seconds until'][stage]['median']} s")
    print(f"resident memory: {figures['resident [MiB]']['VmRSS']['median']} MiB")
    return 0


def start(profile: str) -> dict[str, Any]:
    """Start the node once until it listens, and end it."""
    began = time.monotonic()
    arguments = ["-p", "autostart:=true", "-p", f"profile:={profile}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "segzero_ros.perception_node", "--ros-args", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    seconds: dict[str, float] = {}
    lines = []
    for line in process.stdout:
        lines.append(line)
        for stage, mark in STAGES.items():
            if mark in line and stage not in seconds:
                seconds[stage] = time.monotonic() - began
        if "listening" in seconds:
            break
    else:
        raise SystemExit(f"the node did not start:\n{''.join(lines)}")
    found = {
        "seconds": seconds,
        "cpu": cpu_seconds(process.pid),
        "memory": _memory(process.pid),
        "mappings": _mappings(process.pid),
    }
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    return found


def import_seconds() -> dict[str, float]:
    """Seconds of the imports of node and models by top-level package, the longest first."""
    program = (
        "import segzero_ros.perception_node; from segzero.imports import import_libraries; "
        "from segzero.profiles import load_profile; import_libraries(load_profile('demo'))"
    )
    with tempfile.TemporaryFile("w+") as log:
        subprocess.run([sys.executable, "-X", "importtime", "-c", program], stderr=log, check=True)
        log.seek(0)
        found = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)", log.read(), re.M)
    total: Counter[str] = Counter()
    for microseconds, package in found:
        total[package] += int(microseconds)
    return {package: round(value / 1e6, 2) for package, value in total.most_common(PACKAGES)}


def _memory(pid: int) -> dict[str, float]:
    status = Path(f"/proc/{pid}/status").read_text()
    return {
        name: int(size) / 1024 for name, size in re.findall(r"(VmRSS|Rss\w+):\s+(\d+) kB", status)
    }


def _mappings(pid: int) -> dict[str, int]:
    """Resident MiB of the files and of the heap that hold the most."""
    sizes: Counter[str] = Counter()
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            name = Path(words[5]).name if len(words) > 5 else "anonymous"
        elif words[0] == "Rss:":
            sizes[name] += int(words[1])
    return {name: round(size / 1024) for name, size in sizes.most_common(LIBRARIES)}


if __name__ == "__main__":
    sys.exit(main())
