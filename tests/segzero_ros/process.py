"""Nodes as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.segzero_ros.waiting import DEADLINE


class NodeProcess:
    """`python -m segzero_ros.<module> --ros-args …` with its output in a file."""

    def __init__(
        self,
        module: str,
        namespace: str,
        log: Path,
        remap: Mapping[str, str] = MappingProxyType({}),
        **parameters: object,
    ) -> None:
        arguments = ["-r", f"__ns:={namespace}"]
        for name, target in remap.items():
            arguments += ["-r", f"{name}:={target}"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={str(value).lower() if value is True else value}"]
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"segzero_ros.{module}", "--ros-args", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end and return the exit status."""
        return self._process.wait(DEADLINE)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        print(self.output())  # pytest shows it where the test failed

    def output(self) -> str:
        return self._log.read_text()

    def memory(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
