"""Tiny models; a real server, pictures to ask it about, and the reasoner that it has to equal."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForImageTextToText

from segzero.loading import load_reasoner
from segzero.profiles import load_profile
from segzero.reasoning import chat_client
from segzero.reasoning.reasoner import Reasoner
from segzero.reasoning.remote import RemoteReasoner
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import TabletopRenderer
from tests.segzero import tiny_checkpoints
from tests.segzero.openai_server import ServerProcess
from tests.segzero.reasoning.decoding import MODELS

DEMO = load_profile("demo")


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights, two of its heads on the same keys, and no script."""
    save = getattr(tiny_checkpoints, f"save_{request.param}")
    return save(tmp_path_factory.mktemp(request.param))


@pytest.fixture
def model(folder: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(folder).eval()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_client, "_PAUSES", (0.0, 0.0, 0.0))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server process with all behaviours of `openai_server`."""
    server = ServerProcess()
    yield server
    server.close()


@pytest.fixture(scope="session")
def pictures() -> list[NDArray[np.uint8]]:
    """Four tabletops."""
    with TabletopRenderer() as renderer:
        return [renderer.render(sample_scene(seed), depth=False).rgb for seed in range(4)]


@pytest.fixture(scope="session")
def local() -> Reasoner:
    """The demo's reasoner in this process."""
    return load_reasoner(DEMO, torch.device("cpu"))


@pytest.fixture
def connect(server: ServerProcess) -> Callable[..., RemoteReasoner]:
    """Make a reasoner from the name of one of the server's behaviours."""

    def make(model: str = "demo", url: str = server.url, **options: object) -> RemoteReasoner:
        defaults: dict[str, Any] = {
            "prompt": DEMO.prompt,
            "image_size": DEMO.image_size,
            "max_new_tokens": DEMO.max_new_tokens,
        }
        return RemoteReasoner(url, model, **(defaults | options))

    return make


@pytest.fixture
def unused_url() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"
