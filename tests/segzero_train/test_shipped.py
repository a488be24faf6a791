"""Recipes and launch configurations by name, from the source tree and as installed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from accelerate.utils import DeepSpeedPlugin

from segzero_train import grpo, sft
from segzero_train import shipped as shipped_module
from segzero_train.errors import BadRecipe
from segzero_train.shipped import KINDS, Kind, find, find_deepspeed_file, listing, main, shipped
from tests.segzero_train.tiny_runs import ROOT


def command(*words: str, cwd: Path) -> str:
    """What `python -m` prints in another folder, which doesn't hold the source tree."""
    made = subprocess.run(
        [sys.executable, "-m", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration inside the package, as a wheel has it; returns the package's folder."""
    package = tmp_path / "site-packages" / "segzero_train"
    shutil.copytree(ROOT / "config", package / "config")
    monkeypatch.setattr(shipped_module, "__file__", str(package / "shipped.py"))
    return package


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_has_a_name(kind: Kind) -> None:
    files = [path for path in (ROOT / "config" / kind).iterdir() if path.is_file()]
    assert sorted(shipped(kind).values()) == sorted(files)
    assert all(find(kind, name) == path for name, path in shipped(kind).items())


def test_an_installed_package_has_its_own_files(installed: Path) -> None:
    assert find("grpo", "seg_zero_7b") == installed / "config" / "grpo" / "seg_zero_7b.yaml"


@pytest.mark.parametrize("given", ["absent.yaml", "folder/absent.yml", "zero2.json"])
def test_a_path_is_taken_as_it_is(given: str) -> None:
    assert find("grpo", given) == Path(given)


def test_an_unknown_name_lists_all_names() -> None:
    names = ", ".join(shipped("grpo"))
    assert {"demo", "seg_zero_7b"} < set(shipped("grpo"))
    with pytest.raises(BadRecipe, match=f"no grpo/seg_zero_8b: name one of {names}, or the path"):
        find("grpo", "seg_zero_8b")


@pytest.mark.parametrize("kind", ["grpo", "sft", "accelerate"])
def test_the_list_has_a_sentence_for_every_name(kind: Kind) -> None:
    lines = listing(kind).splitlines()
    assert [line.split()[0] for line in lines] == list(shipped(kind))
    assert all(line.endswith(".") and len(line) <= 100 for line in lines)


@pytest.mark.parametrize(("kind", "run"), [("grpo", grpo.main), ("sft", sft.main)])
def test_the_commands_list_their_recipes_from_any_folder(
    kind: Kind,
    run: Callable[[list[str]], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(["--list"])
    assert not ended.value.code
    assert capsys.readouterr().out.strip() == listing(kind)


def test_the_path_of_a_launch_configuration_is_printed(tmp_path: Path) -> None:
    printed = command("segzero_train.shipped", "accelerate/8gpu_zero3", cwd=tmp_path)
    assert printed.strip() == str(ROOT / "config" / "accelerate" / "8gpu_zero3.yaml")


def test_without_a_name_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == "\n\n".join(f"{k}:\n{listing(k)}" for k in KINDS) + "\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [("zero3", "isn't KIND/NAME; kinds are grpo, sft"), ("sft/none", "no sft/none: name one of")],
)
def test_a_name_that_isnt_there_is_said_in_one_line(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("name", ["8gpu_zero2", "8gpu_zero3", "2nodes_zero3"])
def test_accelerate_finds_its_deepspeed_file_from_any_folder(
    name: str, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = yaml.safe_load(find("accelerate", name).read_text())
    named = launch["deepspeed_config"]["deepspeed_config_file"]
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", named)
    monkeypatch.chdir(tmp_path)
    find_deepspeed_file()
    stage = json.loads((ROOT / named).read_text())["zero_optimization"]["stage"]
    assert DeepSpeedPlugin().zero_stage == stage
    assert os.environ["ACCELERATE_DEEPSPEED_CONFIG_FILE"].startswith(str(installed))


def test_a_deepspeed_file_of_the_users_own_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path("config/deepspeed/zero3.json")
    (tmp_path / own).parent.mkdir(parents=True)
    (tmp_path / own).write_text("{}")
    monkeypatch.chdir(tmp_path)
    for given in (str(own), "config/deepspeed/mine.json", "zero3.json"):
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", given)
        find_deepspeed_file()
        assert os.environ["ACCELERATE_DEEPSPEED_CONFIG_FILE"] == given
