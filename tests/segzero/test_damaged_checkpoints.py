"""Every file of a checkpoint, damaged in every way that people meet: a CheckpointError, one line.

Or no error at all, where the damage doesn't matter. Never another exception, never a hang, never
gigabytes of memory.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segzero.cli import main
from segzero.errors import CheckpointError, MalformedAnswer
from segzero.pipeline import SegZero

pytestmark = pytest.mark.slow

LFS_POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
WEB_PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"
FILES = [
    ("reasoner", "config.json"),
    ("reasoner", "generation_config.json"),
    ("reasoner", "model.safetensors"),
    ("reasoner", "processor_config.json"),
    ("reasoner", "tokenizer.json"),
    ("reasoner", "tokenizer_config.json"),
    ("segmenter", "config.json"),
    ("segmenter", "model.safetensors"),
    ("segmenter", "processor_config.json"),
]
IMAGES = ("image_processor",)
JUNK: list[Any] = [None, "junk", -1, 0, 10**9, 0.5, True, [], {}, [1, 2, 3], {"a": 1}]


@pytest.fixture(scope="module")
def pristine(
    tmp_path_factory: pytest.TempPathFactory, profile: Path, qwen3_vl: Path, sam2: Path
) -> Path:
    """The tiny profile over copies of its weights: `reasoner` and `segmenter` beside it."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(qwen3_vl, folder / "reasoner")
    shutil.copytree(sam2, folder / "segmenter")
    text = profile.read_text().replace(str(qwen3_vl), "reasoner").replace(str(sam2), "segmenter")
    (folder / "tiny.yaml").write_text(text)
    return folder


@pytest.fixture
def damage(pristine: Path) -> Iterator[Callable[[str, str, bytes], Path]]:
    """Writes a file of a checkpoint and returns the profile; the file comes back afterwards."""
    before: dict[Path, bytes] = {}

    def write(folder: str, name: str, content: bytes) -> Path:
        path = pristine / folder / name
        before.setdefault(path, path.read_bytes())
        path.write_bytes(content)
        return pristine / "tiny.yaml"

    yield write
    for path, content in before.items():
        path.write_bytes(content)


def first_error(profile: Path, image: NDArray[np.uint8] | None = None) -> str:
    """What loading or the warm-up says; if they succeed, empty, and an image is asked about."""
    try:
        segzero = SegZero.load(profile, "cpu")
        segzero.warm_up()
    except CheckpointError as error:
        assert "\n" not in str(error)
        return str(error)
    try:
        if image is not None:
            segzero.ask(image, "the red ball")
    except MalformedAnswer as error:
        assert error.text is not None
    finally:
        segzero.close()
    return ""


@pytest.mark.parametrize(("folder", "name"), FILES)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is damaged (it is empty)"),
        (LFS_POINTER.encode(), "is only a pointer of Git LFS: run `git lfs pull`"),
        (WEB_PAGE.encode(), "is damaged (it is a web page)"),
        (b"\x00\xff\xfe" * 50, "is damaged"),
        (b"[" * 100_000, "is damaged"),
    ],
    ids=["empty", "LFS pointer", "web page", "noise", "endless list"],
)
def test_what_downloads_leave_in_place_of_a_file_is_named(damage, folder, name, content, says):
    profile = damage(folder, name, content)
    assert f"{folder}/{name} {says}" in first_error(profile)


@pytest.mark.parametrize(("folder", "name"), [pair for pair in FILES if pair[1].endswith(".json")])
@pytest.mark.parametrize("content", ["[]", "null", '"text"', "1"])
def test_json_that_is_no_object_is_named(damage, folder, name, content):
    profile = damage(folder, name, content.encode())
    assert f"{folder}/{name} is damaged (it isn't a JSON object)" in first_error(profile)


@pytest.mark.parametrize(
    ("folder", "name", "keys", "value", "says"),
    [
        ("reasoner", "config.json", ("text_config",), None, "describes a model of"),
        ("reasoner", "config.json", ("text_config", "num_hidden_layers"), 10**9, "is 1000000000"),
        ("reasoner", "config.json", ("text_config", "num_hidden_layers"), 3, "lack "),
        (
            "reasoner",
            "config.json",
            ("text_config", "intermediate_size"),
            32,
            "don't fit its config",
        ),
        ("reasoner", "config.json", ("text_config", "hidden_size"), "wide", "can't load"),
        ("reasoner", "config.json", ("model_type",), "sam2", "of type sam2: a reasoner is"),
        ("reasoner", "config.json", ("image_token_id",), 7, "doesn't fit the model"),
        ("reasoner", "generation_config.json", ("eos_token_id",), "</s>", "can't load"),
        ("reasoner", "generation_config.json", ("repetition_penalty",), -1, "strictly positive"),
        ("reasoner", "processor_config.json", (*IMAGES, "patch_size"), 10**9, "is 1000000000"),
        ("reasoner", "processor_config.json", (*IMAGES, "size"), {"shortest_edge": 10**12}, "is "),
        ("reasoner", "processor_config.json", (*IMAGES, "image_mean"), "grey", "can't compute"),
        ("reasoner", "tokenizer.json", ("model", "vocab"), [], "doesn't fit the model"),
        ("segmenter", "config.json", ("vision_config",), None, "the weights in"),
        ("segmenter", "config.json", ("prompt_encoder_config", "image_size"), 10**9, "is 10000"),
        (
            "segmenter",
            "config.json",
            ("mask_decoder_config", "num_multimask_outputs"),
            10**9,
            "is 1000000000",
        ),
        ("segmenter", "processor_config.json", (*IMAGES, "size"), {"height": 10**6}, "is 1000000"),
        ("segmenter", "processor_config.json", (*IMAGES, "size"), {"height": 0}, "can't"),
    ],
)
def test_a_setting_that_makes_no_sense_is_an_error_of_the_checkpoint(
    damage, pristine, folder, name, keys, value, says
):
    content = json.loads((pristine / folder / name).read_text())
    profile = damage(folder, name, json.dumps(changed(content, keys, value)).encode())
    error = first_error(profile)
    assert error and says in error


@pytest.mark.parametrize(
    "template", ["", LFS_POINTER, WEB_PAGE, "{% if", "{{ messages.junk() }}", "{{ 1 / 0 }}"]
)
def test_a_chat_template_that_makes_no_prompt_is_an_error_of_the_checkpoint(damage, template):
    profile = damage("reasoner", "chat_template.jinja", template.encode())
    assert first_error(profile).startswith(("can't load", "the models can't", "the processor in"))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 4, "num_return_sequences": 2},
        {"max_time": 1e-9, "stop_strings": ["<think>"], "max_length": 5},
        {"do_sample": True, "temperature": 9.0, "penalty_alpha": 0.6, "use_cache": False},
    ],
)
def test_generation_settings_of_other_searches_change_no_answer(damage, pristine, image, settings):
    with_them = damage("reasoner", "generation_config.json", json.dumps(settings).encode())
    segzero = SegZero.load(with_them, "cpu")
    (found,) = segzero.ask(image, "the red ball").objects
    segzero.close()
    assert (found.points[0].x, found.points[0].y) == (48, 48)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("image_size", 10**9, "image_size .* is 1000000000: at most 4096"),
        ("image_size", 0, "image_size .* must be a positive whole number"),
        ("max_new_tokens", 10**12, "max_new_tokens .* at most 32768"),
        ("reasoner_dtype", "float8", "reasoner_dtype .* not one of"),
        ("attention", "flash_attention_9", "can't load"),
    ],
)
def test_junk_in_a_profile_is_refused(pristine, tmp_path, key, value, says):
    lines = (pristine / "tiny.yaml").read_text().splitlines()
    lines = [line for line in lines if not line.startswith(f"{key}:")]
    text = "\n".join([*lines, f"{key}: {value}"])
    profile = tmp_path / "junk.yaml"
    profile.write_text(
        text.replace(": reasoner", f": {pristine / 'reasoner'}").replace(
            ": segmenter", f": {pristine / 'segmenter'}"
        )
    )
    with pytest.raises(CheckpointError, match=says):
        SegZero.load(profile, "cpu")


@pytest.mark.parametrize("device", ["meta", "cuda:99", "xla", "vulkan", "gpu", "", "cpu:x", "mps"])
def test_a_device_that_cannot_compute_is_refused(pristine, device):
    with pytest.raises(CheckpointError, match=r"can't use device .*try auto or cpu"):
        SegZero.load(pristine / "tiny.yaml", device)


def test_the_command_says_the_same_without_a_warm_up(damage, pristine, tmp_path, image, capsys):
    import cv2

    content = json.loads((pristine / "reasoner" / "processor_config.json").read_text())
    content = changed(content, ("image_processor", "image_mean"), "grey")
    profile = damage("reasoner", "processor_config.json", json.dumps(content).encode())
    cv2.imwrite(str(tmp_path / "frame.png"), image)
    words = ["ask", str(tmp_path / "frame.png"), "the red ball", "--profile", str(profile)]
    assert main([*words, "--device", "cpu"]) == 1
    assert "segzero: the models can't compute" in capsys.readouterr().err


@pytest.mark.parametrize(("folder", "name"), [pair for pair in FILES if pair[1].endswith(".json")])
def test_any_value_of_any_key_is_harmless_or_an_error_of_the_checkpoint(
    damage, pristine, image, folder, name
):
    content = json.loads((pristine / folder / name).read_text())
    drawn = random.Random(name)
    places = list(keys_of(content))
    for keys in drawn.sample(places, min(12, len(places))):
        damaged = changed(content, keys, drawn.choice(JUNK))
        first_error(damage(folder, name, json.dumps(damaged).encode()), image)


def keys_of(content: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value; of long lists and vocabularies only the first values."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(pairs)[:40]:
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from keys_of(value, (*before, key))


def changed(content: Any, keys: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(content))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return copy
