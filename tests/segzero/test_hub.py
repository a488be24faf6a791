"""`segzero fetch` takes what a model needs from the Hub, and says what to do when it can't."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from segzero import hub, weights
from segzero.errors import CheckpointError
from tests.segzero import hub_server
from tests.segzero.fetching import Fetch, fetching
from tests.segzero.tiny_checkpoints import write_shards

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, sam2: Path) -> Path:
    """A model's repository as people upload them, with what nobody needs."""
    folder = tmp_path_factory.mktemp("repository")
    for file in sam2.glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    write_shards(folder, load_file(sam2 / "model.safetensors"))
    for name in (
        "checkpoint-100/model.safetensors",
        "checkpoint-100/trainer_state.json",
        "global_step50/mp_rank_00_model_states.safetensors",
        "runs/events.json",
        "onnx/config.json",
        "optimizer.safetensors",
        "optimizer.pt",
        "pytorch_model.bin",
        "training_args.bin",
        "model.fp16.safetensors",
        "consolidated.safetensors",
        "README.md",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not needed")
    return folder


@pytest.fixture(scope="module")
def the_hub(
    tmp_path_factory: pytest.TempPathFactory, repository: Path
) -> Iterator[tuple[Fetch, Path, list[str], str]]:
    """Calls of `segzero fetch`, its cache, the files it downloaded, the Hub's address."""
    cache = tmp_path_factory.mktemp("hub")
    with (
        hub_server.serve(repository) as (address, requested),
        fetching(cache, address) as fetch,
    ):
        yield fetch, cache, requested, address


def test_only_what_the_model_consists_of_is_downloaded(the_hub, repository):
    fetch, cache, requested, _ = the_hub
    code, out, err = fetch("owner/model")
    assert (code, err) == (0, "")
    folder = Path(out.splitlines()[0].partition(": ")[2])
    assert folder.is_relative_to(cache)
    needed = {path.name for path in repository.glob("model-*")} | {
        path.name for path in repository.glob("*.json")
    }
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == needed
    before = len(requested)
    assert fetch("owner/model")[0] == 0
    assert len(requested) == before, "a whole file is not downloaded again"


@pytest.mark.parametrize(
    ("file", "left"),
    [
        ("model-00002-of-00002.safetensors", 300),
        ("config.json", 0),
        ("model.safetensors.index.json", 20),
    ],
)
def test_a_damaged_file_is_fetched_again(the_hub, file, left, monkeypatch):
    fetch, cache, *_ = the_hub
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache / "hub"))
    assert fetch("owner/damaged")[0] == 0
    folder = weights.resolve_weights("owner/damaged")
    with (folder / file).open("r+b") as opened:
        opened.truncate(left)
    with pytest.raises(CheckpointError, match=f"{file} is damaged.*segzero fetch owner/damaged"):
        weights.resolve_weights("owner/damaged")
    assert fetch("owner/damaged")[0] == 0
    assert weights.resolve_weights("owner/damaged") == folder


@pytest.mark.parametrize("revision", ["v1.0", hub_server.OTHER_COMMIT, "refs/pr/3"])
def test_a_pinned_revision_is_what_is_fetched_and_found(the_hub, revision, monkeypatch):
    fetch, cache, *_ = the_hub
    code, out, _ = fetch(f"owner/pinned@{revision}")
    assert code == 0
    assert hub_server.OTHER_COMMIT in out
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache / "hub"))
    folder = weights.resolve_weights(f"owner/pinned@{revision}")
    assert folder.name == hub_server.OTHER_COMMIT
    with pytest.raises(CheckpointError, match=r"segzero fetch owner/pinned@v9"):
        weights.resolve_weights("owner/pinned@v9")


def test_a_profile_pins_its_weights(the_hub, tmp_path):
    fetch, *_ = the_hub
    profile = tmp_path / "pinned.yaml"
    profile.write_text(
        "summary: pinned\nreasoner: owner/reasoner@v1.0\nsegmenter: owner/segmenter@refs/pr/3\n"
        "prompt: seg_zero\nanswer_format: seg_zero\ncoordinates: absolute_pixels\n"
        "rounding: round\n"
    )
    code, out, _ = fetch(str(profile))
    assert code == 0
    assert out.count(hub_server.OTHER_COMMIT) == 2


@pytest.mark.parametrize(
    ("what", "token", "says"),
    [
        (
            "gated/model",
            "",
            "gated: accept its licence at {page}, then log in with `hf auth login`",
        ),
        ("gated/model", hub_server.TOKEN, "gated: accept its licence at {page}"),
        ("forbidden/model", hub_server.TOKEN, "no right to read {page}: ask for access there"),
        (
            "private/model",
            "",
            "check the spelling, or log in with `hf auth login`, or set HF_TOKEN",
        ),
        ("gated-files/model", hub_server.TOKEN, "gated: accept its licence at {page}"),
        ("anonymous/model", "", "gated: accept its licence at {page}, then log in"),
        ("forbidden-files/model", hub_server.TOKEN, "no right to read {page}"),
        ("misspelt/model", hub_server.TOKEN, "there is no {page}"),
        ("owner/other", "hf_wrong", "refuses your token: log in with `hf auth login`"),
        ("owner/model@v7", "", "{page} has no revision 'v7'"),
        ("limited/model", "", "too many requests: wait"),
        ("broken/model", "", "answers with HTTP 500: try again later"),
        ("away/model", "", "answers with HTTP 503: try again later"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_do(the_hub, what, token, says):
    fetch, _, _, address = the_hub
    code, out, err = fetch(what, token)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert says.format(page=f"{address}/{what.partition('@')[0]}") in err
    assert "disk space" not in err


@pytest.mark.parametrize(
    ("endpoint", "variables", "says"),
    [
        ("http://127.0.0.1:9", {}, "can't be reached"),
        ("http://no-such-host.invalid", {}, "can't be reached"),
        ("http://127.0.0.1:9", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids the network"),
        ("http://hub.invalid", {"HTTP_PROXY": "http://127.0.0.1:9"}, "can't be reached"),
    ],
    ids=["refused", "unknown host", "offline", "proxy away"],
)
def test_without_network_that_is_said(tmp_path, endpoint, variables, says):
    with fetching(tmp_path, endpoint, **variables) as fetch:
        code, out, err = fetch("owner/model")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert says in err


def test_a_proxy_that_refuses_is_named(tmp_path, repository):
    with (
        hub_server.serve(repository) as (proxy, _),
        fetching(tmp_path, "https://hub.invalid", HTTPS_PROXY=proxy) as fetch,
    ):
        _, _, err = fetch("owner/model")
    assert "the proxy failed" in err and "HTTPS_PROXY" in err


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: free space in"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk is full"),
        (RuntimeError("Data processing error: No space left on device"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/cache/hub"), "can't write /cache"),
        (OSError(errno.EROFS, "Read-only file system", "/cache/hub"), "set HF_HOME"),
    ],
)
def test_what_the_disk_refuses_is_said(monkeypatch, error, says):
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(CheckpointError, match=says):
        hub.fetch("owner/model")


@pytest.mark.parametrize("name", ["owner/na me", "owner/model/part", "-owner/model"])
def test_what_is_no_name_is_told_before_the_network_is_asked(name):
    with pytest.raises(CheckpointError, match="a name on the Hub is owner/name"):
        hub.fetch(name)


@pytest.mark.parametrize("files", [["config.json"], ["config.json", "pytorch_model.bin"], []])
def test_a_repository_without_safetensors_is_told(tmp_path, repository, files):
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in files:
        (bare / file).write_bytes((repository / file).read_bytes())
    with hub_server.serve(bare) as (address, _), fetching(tmp_path / "hub", address) as fetch:
        code, _, err = fetch("owner/model")
    assert code == 1
    assert ("model.safetensors" if files else "config.json") + " is missing" in err


@pytest.mark.parametrize("recipe", ["seg_zero_3b", "config/grpo/demo.yaml", "config/sft/demo.yaml"])
def test_fetching_a_recipe_names_the_command_for_recipes(the_hub, recipe):
    code, _, err = the_hub[0](recipe)
    assert code == 1
    assert f"python -m segzero_train.fetch {recipe}" in err
