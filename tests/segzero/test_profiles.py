from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from segzero.errors import CheckpointError
from segzero.profiles import load_profile, profile_names, resource_root

SHIPPED = (
    *("qwen2-vl-2b", "qwen2.5-vl-3b-box", "qwen2.5-vl-3b-no-thinking", "qwen2.5-vl-3b-points"),
    *("demo", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-8b", "seg-zero-7b", "vision-reasoner-7b"),
    *("seg-zero-7b-best-on-reasonseg-test", "vision-reasoner-7b-served"),
)
VALID = {
    "summary": "for tests",
    "reasoner": "owner/reasoner",
    "segmenter": "owner/segmenter",
    "prompt": "seg_zero",
    "answer_format": "seg_zero",
    "coordinates": "absolute_pixels",
    "rounding": "round",
}


def write(folder: Path, content: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_shipped_profiles():
    assert profile_names() == sorted(SHIPPED)


@pytest.mark.parametrize(
    ("name", "prompt", "convention", "rounding"),
    [
        ("seg-zero-7b", "seg_zero", "absolute_pixels", "round"),
        ("seg-zero-7b-best-on-reasonseg-test", "seg_zero", "absolute_pixels", "round"),
        ("vision-reasoner-7b", "vision_reasoner", "absolute_pixels", "half_up"),
        ("qwen2.5-vl-3b", "seg_zero", "absolute_pixels", "round"),
        ("qwen3-vl-8b", "vision_reasoner", "relative_1000", "half_up"),
        ("demo", "vision_reasoner", "relative_1000", "half_up"),
    ],
)
def test_each_profile_states_what_its_checkpoint_was_trained_with(
    name, prompt, convention, rounding
):
    profile = load_profile(name)
    assert (profile.name, profile.prompt, profile.answer_format) == (name, prompt, prompt)
    assert (profile.coordinates, profile.rounding) == (convention, rounding)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("seg-zero-7b", 1024),
        ("vision-reasoner-7b", 2048),
        ("vision-reasoner-7b-served", 2048),
        ("qwen2.5-vl-3b", 1024),
        ("qwen2.5-vl-7b", 2048),
        ("qwen3-vl-8b", 2048),
        ("demo", 256),
    ],
)
def test_a_completion_may_be_as_long_as_the_authors_evaluation_of_the_prompt_lets_it(name, tokens):
    assert load_profile(name).max_new_tokens == tokens


@pytest.mark.parametrize(
    ("name", "side"), [(name, 256 if name == "demo" else 840) for name in SHIPPED]
)
def test_each_profile_squashes_to_the_size_of_its_training(name, side):
    assert load_profile(name).image_size == side


def test_hub_names_stay_and_relative_folders_lie_under_the_resource_root():
    assert load_profile("seg-zero-7b").reasoner == "Ricky06662/Seg-Zero-7B"
    expected = resource_root() / "checkpoints" / "demo" / "reasoner"
    assert load_profile("demo").reasoner == str(expected)


def test_a_custom_profile_may_name_folders_relative_to_itself(tmp_path):
    (tmp_path / "weights" / "tuned").mkdir(parents=True)
    path = write(tmp_path, VALID | {"reasoner": "weights/tuned"})
    profile = load_profile(path)
    assert profile.name == str(path)
    assert profile.reasoner == str(tmp_path / "weights" / "tuned")
    assert profile.segmenter == "owner/segmenter"


@pytest.mark.parametrize("name", ["nonsense", "", "../demo", "demo.json"])
def test_an_unknown_profile_is_answered_with_the_known_ones(name):
    with pytest.raises(CheckpointError, match=r"demo, .*seg-zero-7b"):
        load_profile(name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.yaml"):
        load_profile(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "seg_one"}, "prompt .* not one of seg_zero, .*vision_reasoner"),
        ({"coordinates": "pixels"}, "coordinates"),
        ({"rounding": True}, "rounding .* must be a text"),
        ({"image_size": "840"}, "image_size .* must be a positive whole number"),
        ({"image_size": 0}, "image_size"),
        ({"reasoner_dtype": "int8"}, "reasoner_dtype"),
        ({"segmenter_adapter": "onnx"}, "transformers, meta"),
        ({"colour": "red"}, "unknown keys: colour"),
        ({"reasoner": ""}, "reasoner .* is empty"),
        ({"segmenter": "  "}, "segmenter .* is empty"),
        ({"reasoner": "a" * 5000}, "can't name weights"),
    ],
)
def test_wrong_values_are_named(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        load_profile(write(tmp_path, VALID | change))


def test_a_served_profile_differs_from_the_local_one_by_its_server_alone():
    served, local = load_profile("vision-reasoner-7b-served"), load_profile("vision-reasoner-7b")
    assert served.server == "http://localhost:8000/v1"
    assert replace(served, server="", name=local.name, summary=local.summary) == local


@pytest.mark.parametrize("name", ["plain", "owner/name", "/models/tuned", "./tuned"])
def test_a_name_on_a_server_stays_as_it_is(tmp_path, name):
    (tmp_path / "plain").mkdir()
    change = {"server": "https://gpu:8443/v1", "reasoner": name}
    assert load_profile(write(tmp_path, VALID | change)).reasoner == name


@pytest.mark.parametrize(
    "server",
    [
        "localhost:8000",
        "http://",
        "ftp://gpu/v1",
        "http://gpu:x/v1",
        " http://gpu/v1",
        "http://gpu/v1\n",
        "http://gpu/v1#here",
        "http://gpu/v1/chat/completions",
    ],
)
def test_a_server_needs_an_address(tmp_path, server):
    with pytest.raises(CheckpointError, match="not an address such as http://localhost:8000/v1"):
        load_profile(write(tmp_path, VALID | {"server": server}))


def test_a_key_in_an_address_is_refused_and_not_shown(tmp_path):
    with pytest.raises(CheckpointError, match="not an address such as") as error:
        load_profile(write(tmp_path, VALID | {"server": "http://gpu/v1?key=pa55word"}))
    assert "pa55word" not in str(error.value)


def test_pixels_of_a_server_are_counted_only_in_sizes_that_it_keeps(tmp_path):
    change = {"server": "http://gpu:8000/v1", "image_size": 850}
    with pytest.raises(CheckpointError, match=r"850: .* multiple of 28"):
        load_profile(write(tmp_path, VALID | change))
    assert load_profile(write(tmp_path, VALID | change | {"coordinates": "relative_1000"}))


@pytest.mark.parametrize("missing", VALID)
def test_missing_keys_are_named(tmp_path, missing):
    content = {key: value for key, value in VALID.items() if key != missing}
    with pytest.raises(CheckpointError, match=missing):
        load_profile(write(tmp_path, content))


@pytest.mark.parametrize("content", [b"", b"- a\n- b", b"a: [", b"\xff\xfe\xfa"])
def test_what_is_no_mapping_is_refused(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken\.yaml"):
        load_profile(path)
