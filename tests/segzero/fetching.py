"""`segzero fetch` in a process of its own: huggingface_hub reads HF_ENDPOINT at its import."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOP = """
import contextlib, io, json, os, sys
from segzero.cli import main
for line in sys.stdin:
    words, token = json.loads(line)
    os.environ.pop("HF_TOKEN", None)
    os.environ |= {"HF_TOKEN": token} if token else {}
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""

Fetch = Callable[..., tuple[int, str, str]]


@contextmanager
def fetching(cache: Path, endpoint: str, **variables: str) -> Iterator[Fetch]:
    """A process whose Hub is at `endpoint`: calls of `segzero fetch` in it."""
    environment = {
        name: value for name, value in os.environ.items() if "proxy" not in name.lower()
    } | {
        "HF_HOME": str(cache),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **variables,
    }
    with subprocess.Popen(
        [sys.executable, "-c", LOOP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin and process.stdout

        def fetch(what: str, token: str = "") -> tuple[int, str, str]:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps([["fetch", what], token]) + "\n")
            process.stdin.flush()
            code, out, err = json.loads(process.stdout.readline())
            return code, out, err

        yield fetch
        process.stdin.close()
