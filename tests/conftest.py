"""What holds for every test."""

import os
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

# A shell starts its background jobs with SIGINT ignored, and their children inherit that: the tests
# of ctrl-C would then wait for a process that never ends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in each run, however slow the host: what fails then is what was changed.
# `pytest --hypothesis-profile=default` tries new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def qwen_tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen's published vocabulary for `qwen_tokenizer.load`; built once for all workers."""
    from tests.segzero import qwen_tokenizer

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    file = folder / "qwen.json"
    with FileLock(f"{file}.lock"):
        if not file.exists():
            qwen_tokenizer.build().save(str(file))
    return file
