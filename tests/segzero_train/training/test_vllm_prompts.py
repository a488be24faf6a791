"""vLLM needs a GPU; what TRL's client and the check say to a server goes over a real socket here.

The server answers as vLLM 0.30 does as far as the check asks: it makes features of an image with a
processor of its own.
"""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from transformers import AutoProcessor
from trl.generation import vllm_client

from segzero.profiles import load_profile
from segzero_train import grpo
from segzero_train.errors import BadRecipe
from segzero_train.grpo import build_trainer
from segzero_train.training.vllm_prompts import check_prompt_ids
from tests.segzero_train.tiny_runs import recipe, words


@contextmanager
def serve(processor: Any) -> Iterator[str]:
    """The URL of a server that has this processor; without one, it knows no images."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages: dict[str, Any] = {"/health": {}, "/v1/models": {"data": [{"id": "tiny"}]}}
            self._reply(pages.get(self.path))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions/render" or processor is None:
                return self._reply(None)
            (part,) = body["messages"][0]["content"]
            picture = Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"][22:])))
            made = processor.image_processor(images=[picture], return_tensors="pt")
            length = int(made["image_grid_thw"].prod()) // processor.image_processor.merge_size**2
            places = {"image": [{"offset": 5, "length": length}]}
            return self._reply({"features": {"mm_placeholders": places}})

        def _reply(self, content: dict[str, Any] | None) -> None:
            text = json.dumps(content).encode()
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def profile(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def trainer(profile: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build_trainer(*recipe(profile, table, tmp_path_factory.mktemp("trainer")))


@pytest.fixture
def processor(profile: Path) -> Any:
    return AutoProcessor.from_pretrained(load_profile(profile).reasoner)


def check(trainer: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_client, "is_vllm_available", lambda: True)
    client = vllm_client.VLLMClient(base_url=url)
    monkeypatch.setattr(
        trainer, "vllm_generation", SimpleNamespace(vllm_client=client), raising=False
    )
    check_prompt_ids(trainer, trainer.train_dataset[0])


def test_a_server_with_the_same_settings_passes(
    trainer: Any, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(processor) as url:
        check(trainer, url, monkeypatch)


def test_a_server_that_makes_other_tokens_is_refused(
    trainer: Any, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor.image_processor.size = {"shortest_edge": 64**2, "longest_edge": 128**2}
    with (
        serve(processor) as url,
        pytest.raises(BadRecipe, match=r"makes 16 tokens of an image, the trainer (64|49): start"),
    ):
        check(trainer, url, monkeypatch)


def test_a_server_that_knows_no_images_is_refused(
    trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serve(None) as url,
        pytest.raises(BadRecipe, match=r"didn't take an image: .*--enable-scale-out"),
    ):
        check(trainer, url, monkeypatch)


def test_vllm_in_the_trainers_process_is_refused_before_anything_is_loaded(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colocated = {"use_vllm": True, "vllm_mode": "colocate"}
    assert grpo.main(words("demo", table, tmp_path / "run", **colocated)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: vLLM in the trainer's own process expands image tokens a")
    assert not (tmp_path / "run").exists()


def test_vllm_that_isnt_installed_is_said_in_one_line(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if vllm_client.is_vllm_available():
        pytest.skip("vLLM is installed")
    server = {"use_vllm": True, "vllm_mode": "server"}
    assert grpo.main(words("demo", table, tmp_path / "run", **server)) == 1
    assert "needs the package vllm" in capsys.readouterr().err.splitlines()[-1]
