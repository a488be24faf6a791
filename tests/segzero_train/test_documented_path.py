"""The documented paths from pictures to the robot, line by line, on tiny originals and weights."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import constants

from tests.segzero import tiny_checkpoints
from tests.segzero_train.documented import block, run
from tests.segzero_train.original_files import noise, rectangle, ref, save, write_refcoco
from tests.segzero_train.tiny_runs import ROOT

THE_PATH = ("docs/training.md", "## The whole path")
OWN_PICTURES = ("docs/own_pictures.md", "## 2. Prepare, train, watch, export")
TO_THE_ROBOT = ("docs/own_pictures.md", "## 3. To the robot")
ONE_OBJECT = ("<think>", " it ", "</think>", "<answer>")
SEG_ZERO = (*ONE_OBJECT, "{'bbox': [9,9,90,90], ", "'points_1': [30,40], 'points_2': [50,60]}")
SIZES = {
    "segzero_train.prepare": ["--workers", "1"],
    "segzero_train.grpo": [
        *("--max_steps", "1", "--save_steps", "1", "--held_out_size", "2", "--samples_every", "1"),
        *(
            "--prompts_per_step",
            "2",
            "--num_generations",
            "2",
            "--per_device_train_batch_size",
            "4",
        ),
        *("--max_completion_length", "12", "--bf16", "false", "--use_cpu", "true"),
        *("--model_init_kwargs", '{"dtype": "float32"}', "--dataloader_pin_memory", "false"),
        *("--gradient_checkpointing", "false", "--disable_tqdm", "true"),
    ],
    "segzero_train.evaluate": ["--device", "cpu", "--size", "2", "--worst", "1"],
    "segzero.cli": ["--device", "cpu"],
}
"""What is appended for want of GPUs and of time; nothing that a line needs of another."""


def to_cache(cache: Path, name: str) -> Path:
    """Where the Hub's cache has the files of a repository."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("a" * 40)
    return folder / "snapshots" / ("a" * 40)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Hub's cache with tiny weights under the published names."""
    cache = tmp_path_factory.mktemp("cache")
    scripts = {
        "Qwen/Qwen2.5-VL-7B-Instruct": (*SEG_ZERO, "</answer>"),
        "Ricky06662/VisionReasoner-7B": tiny_checkpoints.ANSWER_SCRIPT,
    }
    for name, script in scripts.items():
        tiny_checkpoints.save_qwen2_5_vl(to_cache(cache, name), script)
    tiny_checkpoints.save_sam2(to_cache(cache, "facebook/sam2-hiera-large"))
    return cache


@pytest.fixture
def workplace(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, without a network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    work = tmp_path / "work"
    work.mkdir()
    save(noise(), work / "photo.jpg")
    monkeypatch.chdir(work)
    return work


def write_originals(folder: Path) -> None:
    """RefCOCOg, COCO's pictures and ReasonSeg as the page on data lays them out."""
    refer = folder / "refer/refcocog"
    write_refcoco(
        refer, [ref(k, k) for k in (1, 2)], {k: [rectangle(5, 5, 20, 20)] for k in (1, 2)}
    )
    (refer / "train2014").rename(folder / "train2014")
    for k in range(2):
        save(noise(seed=k), folder / f"ReasonSeg/val/{k}.jpg")
        shape: dict[str, Any] = {"label": "target", "points": [[5, 5], [25, 5], [25, 25]]}
        content = {"text": ["what is hot?"], "is_sentence": True, "shapes": [shape]}
        (folder / f"ReasonSeg/val/{k}.json").write_text(json.dumps(content))


def write_own(folder: Path) -> None:
    """Four pictures labelled with LabelMe."""
    for k in range(4):
        save(noise(seed=k), folder / f"{k}.png")
        shape = {"label": "the cup", "points": [[5, 5], [25, 5], [25, 25]]}
        content = {"imagePath": f"{k}.png", "imageWidth": 60, "imageHeight": 40, "shapes": [shape]}
        (folder / f"{k}.json").write_text(json.dumps(content))


def test_the_readme_has_the_same_lines() -> None:
    assert block("README.md", "### On the server") == block(*THE_PATH)


@pytest.mark.slow
def test_the_whole_path_runs_as_documented(workplace: Path) -> None:
    write_originals(workplace)
    run(block(*THE_PATH), SIZES)
    scores = json.loads((workplace / "results/reasonseg-val/scores.json").read_text())
    assert (scores["n"], scores["lisa"]["malformed"]) == (2, 0)
    assert (workplace / "runs/seg_zero_7b/best/score.json").is_file()


@pytest.mark.slow
def test_the_path_of_own_pictures_runs_as_documented(workplace: Path) -> None:
    write_own(workplace / "my_pictures")
    run(block(*OWN_PICTURES) + block(*TO_THE_ROBOT), SIZES)
    for name in ("before", "after"):
        scores = json.loads((workplace / f"results/{name}/scores.json").read_text())
        assert (scores["n"], scores["lisa"]["malformed"]) == (1, 0)


@pytest.mark.parametrize("page", ["README.md", "docs/training.md", "docs/own_pictures.md"])
def test_no_line_trains_on_what_no_line_made(page: str) -> None:
    text = (ROOT / page).read_text()
    for made, command in (
        ("data/reasonseg", "prepare reasonseg"),
        ("data/mine", "prepare folder"),
        ("exported/profile.yaml", "segzero_train.export"),
    ):
        assert made not in text or text.index(command) < text.index(made)
