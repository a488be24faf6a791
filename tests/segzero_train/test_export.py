import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerState

from segzero.errors import CheckpointError
from segzero.pipeline import SegZero
from segzero.profiles import Profile, load_profile, resource_root
from segzero.reasoning.local import LocalReasoner
from segzero_train import export, sft
from segzero_train.datasets import tabletop
from segzero_train.datasets.sample import Sample
from segzero_train.runs import BadRun
from tests.segzero_train.small_disk import files_of_at_most

LANGUAGE = r".*language_model\..*\.(q_proj|v_proj|down_proj)"


@pytest.fixture(scope="module")
def demo() -> Profile:
    return load_profile("demo")


@pytest.fixture(scope="module")
def sample() -> Sample:
    return next(tabletop.samples("test", 1))


def load_demo(demo: Profile):
    return AutoModelForImageTextToText.from_pretrained(demo.reasoner)


def save_checkpoint(model, demo: Profile, folder: Path) -> Path:
    """What a Trainer writes to a checkpoint's folder, as far as the model is concerned."""
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(demo.reasoner).save_pretrained(folder)
    TrainerState().save_to_json(str(folder / "trainer_state.json"))
    return folder


@pytest.fixture(scope="module")
def trained(demo: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the demo's reasoner with every weight moved."""
    model = load_demo(demo)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + 0.02 * torch.randn_like(parameter))
    return save_checkpoint(model, demo, tmp_path_factory.mktemp("trained") / "checkpoint-7")


@pytest.fixture(scope="module")
def adapter(demo: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA checkpoint with random adapters that change what the model writes."""
    model = get_peft_model(load_demo(demo), LoraConfig(r=4, target_modules=LANGUAGE))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return save_checkpoint(model, demo, tmp_path_factory.mktemp("adapter") / "checkpoint-7")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run of the demo with two checkpoints and a best one, told apart by a bias."""
    folder = tmp_path / "run"
    weights = load_file(trained / "model.safetensors")
    key = min(weights)
    for number, name in enumerate(("checkpoint-50", "checkpoint-100", "best")):
        shutil.copytree(trained, folder / name)
        weights[key] = torch.full_like(weights[key], number)
        save_file(weights, folder / name / "model.safetensors", {"format": "pt"})
    (folder / "recipe.yaml").write_text("profile: demo\nlearning_rate: 1.0e-6\n")
    return folder


def number_of(exported: Path) -> float:
    weights = load_file(exported / "reasoner" / "model.safetensors")
    return weights[min(weights)].flatten()[0].item()


def written(profile: Profile | Path, sample: Sample) -> str:
    return SegZero.load(profile, "cpu").reason(sample.image, sample.question).text


def test_an_exported_model_writes_what_the_checkpoint_writes(
    trained: Path, demo: Profile, sample: Sample, tmp_path: Path
) -> None:
    profile = export.export(trained, demo, tmp_path / "out")
    assert profile == tmp_path / "out" / "profile.yaml"
    text = written(profile, sample)
    assert text == written(replace(demo, reasoner=str(trained)), sample)
    assert text != written(demo, sample)


def test_the_folder_holds_weights_processor_and_settings_and_nothing_else(
    trained: Path, demo: Profile, tmp_path: Path
) -> None:
    export.export(trained, demo, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "profile.yaml",
        "reasoner",
    ]
    assert sorted(path.name for path in (tmp_path / "out" / "reasoner").iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_profile_is_the_base_with_other_weights_wherever_the_folder_goes(
    trained: Path, demo: Profile, tmp_path: Path
) -> None:
    export.export(trained, demo, tmp_path / "out")
    moved = (tmp_path / "out").rename(tmp_path / "robot")
    profile = load_profile(moved / "profile.yaml")
    assert profile.reasoner == str(moved / "reasoner")
    same = replace(profile, name=demo.name, summary=demo.summary, reasoner=demo.reasoner)
    assert same == demo
    text = (moved / "profile.yaml").read_text()
    assert yaml.safe_load(text)["segmenter"] == "checkpoints/demo/segmenter"


def test_weights_are_saved_in_the_precision_of_the_profile(
    trained: Path, demo: Profile, tmp_path: Path
) -> None:
    export.export(trained, replace(demo, reasoner_dtype="bfloat16"), tmp_path / "out")
    weights = load_file(tmp_path / "out" / "reasoner" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_a_merged_adapter_writes_what_the_adapted_model_writes(
    adapter: Path, demo: Profile, sample: Sample, tmp_path: Path
) -> None:
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(load_demo(demo), str(adapter)).eval()
    reasoner = LocalReasoner(
        adapted,
        AutoProcessor.from_pretrained(adapter),
        prompt=demo.prompt,
        image_size=demo.image_size,
        max_new_tokens=demo.max_new_tokens,
    )
    profile = export.export(adapter, demo, tmp_path / "out")
    text = written(profile, sample)
    assert text == reasoner.complete(sample.image, sample.question).text
    assert text != written(demo, sample)
    merged = load_file(tmp_path / "out" / "reasoner" / "model.safetensors")
    assert merged.keys() == load_file(Path(demo.reasoner) / "model.safetensors").keys()


@pytest.mark.parametrize(
    ("which", "number"), [(None, 2), ("best", 2), ("last", 1), ("50", 0), ("100", 1)]
)
def test_of_a_run_the_checkpoint_that_is_asked_for_is_taken(
    run: Path, which: str | None, number: int, tmp_path: Path
) -> None:
    choice = ["--checkpoint", which] if which else []
    assert export.main([str(run), "--out", str(tmp_path / "out"), *choice]) == 0
    assert number_of(tmp_path / "out") == number


def test_a_run_without_a_best_checkpoint_gives_its_last(run: Path) -> None:
    shutil.rmtree(run / "best")
    assert export.find_checkpoint(run) == run / "checkpoint-100"


def test_a_checkpoint_without_a_trainers_state_is_passed_over_as_the_last(run: Path) -> None:
    (run / "checkpoint-100" / "trainer_state.json").unlink()
    assert export.find_checkpoint(run, "last") == run / "checkpoint-50"


def test_a_checkpoints_folder_is_taken_as_it_is(run: Path, tmp_path: Path) -> None:
    folder = run / "checkpoint-50"
    assert export.main([str(folder), "--out", str(tmp_path / "out")]) == 0
    assert number_of(tmp_path / "out") == 0


@pytest.mark.parametrize("which", ["75", "newest", "-1", "¾"])
def test_a_checkpoint_that_is_not_there_is_answered_with_those_that_are(
    run: Path, which: str
) -> None:
    with pytest.raises(BadRun, match=f"'{which}'; it has best, 50, 100"):
        export.find_checkpoint(run, which)


def test_the_recipe_names_profile_and_weights_unless_the_caller_does(run: Path) -> None:
    assert export.starting_point(run) == load_profile("demo")
    assert export.starting_point(run / "best") == load_profile("demo")
    assert export.starting_point(run, "seg-zero-7b") == load_profile("seg-zero-7b")
    (run / "recipe.yaml").write_text("profile: seg-zero-7b\nweights: owner/other\n")
    assert export.starting_point(run) == replace(
        load_profile("seg-zero-7b"), reasoner="owner/other"
    )


@pytest.mark.parametrize("recipe", [None, "learning_rate: 1.0", "[", "- a", "profile: nonsense"])
def test_a_run_without_a_usable_recipe_is_one_line(
    run: Path, recipe: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if recipe is None:
        (run / "recipe.yaml").unlink()
    else:
        (run / "recipe.yaml").write_text(recipe)
    assert export.main([str(run), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("model.safetensors", Path.unlink, "model.safetensors is missing"),
        ("model.safetensors", cut, "model.safetensors is damaged"),
        ("config.json", cut, "config.json is damaged"),
        ("tokenizer.json", cut, "tokenizer.json is damaged"),
        ("tokenizer.json", Path.unlink, "tokenizer.json is missing"),
    ],
)
def test_a_half_written_checkpoint_is_named_and_nothing_is_written(
    trained: Path, demo: Profile, tmp_path: Path, file: str, damage, message: str
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "checkpoint-9"))
    damage(folder / file)
    with pytest.raises(CheckpointError, match=message):
        export.export(folder, demo, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-9"]


def lose_a_tensor(file: Path) -> None:
    weights = load_file(file)
    weights.pop(min(weights))
    save_file(weights, file)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "adapter_model.safetensors is missing"),
        (cut, "can't be merged"),
        (lose_a_tensor, "lacks 1 tensors"),
    ],
)
def test_a_half_written_adapter_is_named(
    adapter: Path, demo: Profile, tmp_path: Path, damage, message: str
) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "checkpoint-9"))
    damage(folder / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        export.export(folder, demo, tmp_path / "out")


def test_what_is_there_already_is_not_overwritten(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    assert export.main([str(run), "--out", str(tmp_path / "out")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "out" / "mine").read_text() == "keep"


def test_a_full_disk_is_one_line_and_leaves_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with files_of_at_most(2_000_000):
        assert export.main([str(run), "--out", str(tmp_path / "out")]) == 1
    assert "File too large" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_lost_deepspeed_shards_are_named(trained: Path, demo: Profile, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "checkpoint-9"))
    (folder / "model.safetensors").unlink()
    (folder / "latest").write_text("global_step9")
    with pytest.raises(CheckpointError, match=r"shards in .*checkpoint-9 can't be joined"):
        export.export(folder, demo, tmp_path / "out")


DEMO = resource_root() / "config" / "sft" / "demo.yaml"
ZERO_3 = """{
  "zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": false},
  "zero_allow_untested_optimizer": true, "zero_force_ds_cpu_optimizer": false,
  "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
  "gradient_accumulation_steps": "auto", "gradient_clipping": "auto"
}"""
SHARDED = """
import sys, deepspeed
# Gloo does without this extension, which would take a compiler a minute to build.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
from segzero_train import sft
sys.exit(sft.main())
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
def test_shards_of_zero_3_are_joined(tmp_path: Path) -> None:
    """Two real steps under DeepSpeed, one process on the CPU, end where two plain steps end."""
    (tmp_path / "zero3.json").write_text(ZERO_3)

    def recipe(name: str, options: str = "") -> list[str]:
        where = f"--config {DEMO} --output_dir {tmp_path}/{name} --report_to none"
        size = "--dataset_size 8 --per_device_train_batch_size 4 --max_steps 2"
        return f"{where} {size} {options}".split()

    assert sft.main(recipe("plain")) == 0
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    options = f"--deepspeed {tmp_path}/zero3.json --ddp_backend gloo"
    subprocess.run(
        [sys.executable, "-c", SHARDED, *recipe("sharded", options)],
        check=True,
        env=os.environ | alone | {"MASTER_PORT": str(free_port()), "DS_ACCELERATOR": "cpu"},
    )
    for name in ("plain", "sharded"):
        assert export.main([f"{tmp_path}/{name}", "--out", f"{tmp_path}/{name}-out"]) == 0
    assert not list((tmp_path / "sharded" / "checkpoint-2").glob("*.safetensors"))
    plain, sharded, base = (
        load_file(folder / "model.safetensors")
        for folder in (
            tmp_path / "plain-out" / "reasoner",
            tmp_path / "sharded-out" / "reasoner",
            Path(load_profile("demo").reasoner),
        )
    )
    assert sharded.keys() == plain.keys()
    for key, tensor in plain.items():
        assert torch.allclose(sharded[key], tensor, atol=2e-5), key
    moved = [key for key in base if not torch.equal(base[key], sharded[key])]
    assert moved
    assert not [key for key in moved if "visual" in key]
