"""The console: a simulated camera, the perception node and the page, as processes.

It prints the page's address and runs until ctrl-C. Needs a sourced `install/setup.bash`;
`make console` sees to that.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

FAST_DDS = "FASTRTPS_DEFAULT_PROFILES_FILE"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make console", description=__doc__)
    parser.add_argument("--profile", default="demo", help="models to ask (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--port", default="8365", help="of the page (default: %(default)s)")
    parser.add_argument("--still", action="store_true", help="nothing moves before the camera")
    parser.add_argument("--out", default="console_rows", help="folder for saved training rows")
    arguments = parser.parse_args()
    settle_ros()
    moving = "false" if arguments.still else "true"
    commands = {
        "segzero_ros.tabletop_camera": ros_arguments(motion=moving),
        "segzero_ros.perception_node": ros_arguments(
            "image:=/camera/image_raw",
            "depth:=/camera/depth/image_raw",
            "camera_info:=/camera/camera_info",
            autostart="true",
            use_depth="true",
            profile=arguments.profile,
            device=arguments.device,
        ),
        "segzero_console.console": ["--port", arguments.port, "--out", arguments.out],
    }
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="segzero_console_") as logs:
        return run(commands, Path(logs))


def run(commands: dict[str, list[str]], logs: Path) -> int:
    """Run the modules until one ends, or ctrl-C; what the nodes log is shown if one failed."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for module, arguments in commands.items():
            log = None if module.endswith(".console") else (logs / module).open("wb")
            processes[module] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdout=log, stderr=log
            )
        print("Starting a simulated camera, the perception node and the page; ctrl-C ends them.")
        while True:
            for module, process in processes.items():
                if (status := process.poll()) is not None:
                    return failed(module, status, logs / module)
            time.sleep(0.2)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop(processes)


def failed(module: str, status: int, log: Path) -> int:
    """Say why everything ends."""
    if log.exists():
        print(*log.read_text(errors="replace").splitlines()[-8:], sep="\n", file=sys.stderr)
    print(f"{module} ended with status {status}", file=sys.stderr)
    return 1


def stop(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in processes.values():
        process.terminate()
    for process in processes.values():
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def ros_arguments(*remappings: str, **parameters: object) -> list[str]:
    words = [word for remapping in remappings for word in ("-r", remapping)]
    for name, value in parameters.items():
        words += ["-p", f"{name}:={value}"]
    return ["--ros-args", *words]


def settle_ros() -> None:
    """Stay on this machine in a ROS domain of its own, unless the user sets these variables."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    domain = os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    share = get_package_share_directory("segzero_ros")
    os.environ.setdefault(FAST_DDS, f"{share}/config/fastdds.xml")
    print(f"ROS_DOMAIN_ID={domain}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
