"""What a recipe needs is fetched by one command; each error of training names one that helps."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from segzero.errors import CheckpointError
from segzero_train.recipe import GrpoOptions
from segzero_train.training.model import base_profile
from segzero_train.training.preflight import check_weights
from tests.segzero import hub_server
from tests.segzero.fetching import fetching
from tests.segzero_train.tiny_runs import ROOT

PROFILE = (
    "summary: for tests\nreasoner: owner/another\nsegmenter: owner/segmenter\n"
    "prompt: seg_zero\nanswer_format: seg_zero\ncoordinates: absolute_pixels\nrounding: round\n"
)


@pytest.fixture(scope="module")
def the_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """A Hub whose repositories all hold the files of a model and of a dataset."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "checkpoints" / "demo" / "segmenter", folder, dirs_exist_ok=True)
    rows = pyarrow.table({"image": [b"picture"], "problem": ["a cup"], "solution": ["[]"]})
    parquet.write_table(rows, folder / "train.parquet")
    with hub_server.serve(folder) as served:
        yield served


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Other weights than the profile's, and a dataset on the Hub."""
    (tmp_path / "mine.yaml").write_text(PROFILE)
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"profile: {tmp_path / 'mine.yaml'}\nweights: owner/started-from@v1.0\n"
        "dataset: owner/set\nheld_out: owner/set\nheld_out_split: train\nheld_out_size: 1\n"
        "learning_rate: 1.0e-6\n"
    )
    return path


def options(recipe: Path) -> GrpoOptions:
    return GrpoOptions(
        profile=str(recipe.with_name("mine.yaml")), weights="owner/started-from@v1.0"
    )


def test_each_error_of_training_names_the_command_that_fetches_what_is_missing(
    the_hub, recipe, tmp_path, monkeypatch
):
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache / "hub"))
    profile = base_profile(options(recipe))
    followed = []
    with fetching(cache, the_hub[0]) as fetch:
        for _ in range(2):
            with pytest.raises(CheckpointError) as error:
                check_weights(profile)
            found = re.search(r"`segzero fetch (.*)`", str(error.value))
            assert found, error.value
            (what,) = shlex.split(found[1])
            assert fetch(what)[0] == 0
            followed.append(what)
    assert followed == ["owner/started-from@v1.0", "owner/segmenter"]
    reasoner, segmenter = check_weights(profile)
    assert reasoner.name == hub_server.OTHER_COMMIT
    assert segmenter.name == hub_server.COMMIT


@pytest.mark.slow
def test_a_recipe_is_fetched_by_one_command(the_hub, recipe, tmp_path, monkeypatch):
    cache = tmp_path / "hub"
    command = [sys.executable, "-m", "segzero_train.fetch", str(recipe)]
    environment = os.environ | {"HF_HOME": str(cache), "HF_ENDPOINT": the_hub[0]}
    made = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("owner/set: 1 rows of train") == 2
    for name in ("started-from", "segmenter", "set"):
        assert f"licence of owner/{name}: not known here" in made.stdout
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache / "hub"))
    assert check_weights(base_profile(options(recipe)))
