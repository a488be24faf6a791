"""The real loading and generating code on small checkpoints of both architectures."""

import functools
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segzero.errors import BadQuestion, Cancelled, CheckpointError, DeviceOutOfMemory
from segzero.reasoning.local import LocalReasoner
from tests.segzero import tiny_checkpoints
from tests.segzero.qwen_tokenizer import SPECIAL
from tests.segzero.tiny_checkpoints import ANSWER_SCRIPT

ANSWER = "".join(ANSWER_SCRIPT)
ENDLESS = ("<think>", " on", " and", " so", " forth")


def load(folder: Path, **options: object) -> LocalReasoner:
    defaults: dict[str, Any] = {
        "prompt": "vision_reasoner",
        "image_size": 224,
        "max_new_tokens": 64,
        "dtype": "float32",
        "attention": "sdpa",
        "device": torch.device("cpu"),
    }
    return LocalReasoner.load(folder, **(defaults | options))


@pytest.fixture(scope="module")
def reasoner(qwen3_vl: Path) -> LocalReasoner:
    return load(qwen3_vl)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> LocalReasoner:
    folder = tmp_path_factory.mktemp("endless")
    return load(tiny_checkpoints.save_qwen3_vl(folder, ENDLESS, endless=True))


@pytest.mark.parametrize("architecture", ["qwen3_vl", "qwen2_5_vl"])
def test_both_architectures_answer(request, architecture, image):
    completion = load(request.getfixturevalue(architecture)).complete(image, "the red ball")
    assert completion.text == ANSWER
    assert completion.new_tokens == len(ANSWER_SCRIPT)


def test_a_checkpoint_in_the_layout_of_seg_zero_7b_answers(qwen2_5_vl, tmp_path, image):
    folder = Path(shutil.copytree(qwen2_5_vl, tmp_path / "legacy"))
    tiny_checkpoints.make_legacy(folder)
    assert load(folder).complete(image, "the red ball").text == ANSWER


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_precisions_answer(qwen3_vl, dtype, image):
    assert load(qwen3_vl, dtype=dtype).complete(image, "the red ball").text == ANSWER


@pytest.mark.parametrize(
    ("architecture", "size", "used"),
    [("qwen3_vl", 224, 224), ("qwen3_vl", 200, 192), ("qwen2_5_vl", 200, 196)],
)
def test_the_model_size_is_what_the_processor_made_of_the_image(
    request, architecture, size, used, image
):
    reasoner = load(request.getfixturevalue(architecture), image_size=size)
    assert reasoner.complete(image, "the red ball").model_size == (used, used)


def test_the_model_sees_the_image(tmp_path):
    reasoner = load(tiny_checkpoints.save_qwen3_vl(tmp_path), max_new_tokens=8)
    dark, bright = (np.full((64, 64, 3), value, np.uint8) for value in (0, 255))
    half = dark.copy()
    half[:, 32:] = (255, 0, 0)
    texts = [reasoner.complete(frame, "the red ball").text for frame in (dark, bright, half)]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("view", ["read-only", "BGR turned to RGB", "every second pixel"])
def test_any_array_of_an_image_will_do(reasoner, view, image):
    if view == "read-only":
        image = image.copy()
        image.flags.writeable = False
    else:
        image = image[..., ::-1] if view == "BGR turned to RGB" else image[::2, ::2]
    assert reasoner.complete(image, "the red ball").text == ANSWER


@pytest.mark.parametrize("save", [tiny_checkpoints.save_qwen3_vl, tiny_checkpoints.save_qwen2_5_vl])
def test_a_batch_writes_what_its_questions_get_one_by_one(tmp_path, save, image):
    reasoner = load(save(tmp_path), max_new_tokens=24)
    images = [image, image[::-1], image[:, ::-1]]
    questions = ["ball", "the red ball that is nearest to the blue box", "what could I drink from?"]
    alone = [reasoner.complete(*asked) for asked in zip(images, questions, strict=True)]
    assert reasoner.complete_batch(images, questions) == alone
    assert len({completion.text for completion in alone}) > 1


def test_a_batch_with_a_control_token_is_refused_before_anything_is_written(reasoner, image):
    questions = ["the red ball", f"the {ANSWER_SCRIPT[5]} ball"]
    with pytest.raises(BadQuestion, match="control token"):
        reasoner.complete_batch([image, image], questions)


def test_a_batch_of_nothing_is_nothing(reasoner):
    assert reasoner.complete_batch([], []) == []


def test_text_comes_piece_by_piece(reasoner, image):
    pieces: list[str] = []
    reasoner.complete(image, "the red ball", on_text=pieces.append)
    assert pieces == list(ANSWER_SCRIPT)


def test_a_character_of_several_tokens_comes_whole(tmp_path, image):
    script = ("<think>", "é", "球", "</think>")
    reasoner = load(tiny_checkpoints.save_qwen3_vl(tmp_path, script))
    pieces: list[str] = []
    completion = reasoner.complete(image, "the red ball", on_text=pieces.append)
    assert pieces == ["<think>", "é", "球", "</think>"]
    assert completion.text == "".join(script)


def test_an_unfinished_character_at_the_end_is_kept_as_replacement(tmp_path, image):
    script = ("<think>", "球")
    reasoner = load(tiny_checkpoints.save_qwen3_vl(tmp_path, script), max_new_tokens=2)
    pieces: list[str] = []
    completion = reasoner.complete(image, "the red ball", on_text=pieces.append)
    assert completion.text == "".join(pieces) == "<think>\ufffd"


@pytest.mark.parametrize("end", ["</answer>", "</answer>\n\n", "}]</answer>, and more"])
def test_nothing_is_generated_or_kept_after_the_answer(tmp_path, end, image):
    folder = tiny_checkpoints.save_qwen3_vl(tmp_path, ("<answer>[", end, " and so on"))
    completion = load(folder).complete(image, "the red ball")
    assert completion.text == "<answer>[" + end.partition("</answer>")[0] + "</answer>"
    assert completion.new_tokens == 2


def test_generation_ends_at_the_longest_completion(endless, image, qwen3_vl):
    assert endless.complete(image, "the red ball").new_tokens == 64
    assert load(qwen3_vl, max_new_tokens=3).complete(image, "x").text == "".join(ANSWER_SCRIPT[:3])


def test_decoding_is_greedy_whatever_the_checkpoint_says(tmp_path, image):
    folder = tiny_checkpoints.save_qwen3_vl(tmp_path)
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text())
    plain = load(folder).complete(image, "the red ball").text
    path.write_text(json.dumps(settings | {"do_sample": True, "temperature": 5.0, "top_k": 50}))
    assert load(folder).complete(image, "the red ball").text == plain


def test_a_set_stop_ends_generation_within_a_token(endless, image):
    stop = threading.Event()
    pieces: list[str] = []

    def on_text(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            stop.set()

    with pytest.raises(Cancelled):
        endless.complete(image, "the red ball", on_text=on_text, stop=stop)
    assert len(pieces) == 3


def test_a_stop_set_before_keeps_the_model_from_starting(endless, image):
    stop = threading.Event()
    stop.set()
    pieces: list[str] = []
    with pytest.raises(Cancelled):
        endless.complete(image, "the red ball", on_text=pieces.append, stop=stop)
    assert pieces == []


def test_after_a_stop_the_next_call_answers(reasoner, image):
    stop = threading.Event()
    with pytest.raises(Cancelled):
        reasoner.complete(image, "the red ball", on_text=lambda _: stop.set(), stop=stop)
    assert reasoner.complete(image, "the red ball").text == ANSWER


def test_out_of_memory_is_told_and_the_next_call_answers(qwen3_vl, image, monkeypatch):
    reasoner = load(qwen3_vl)
    with monkeypatch.context() as patch:

        @functools.wraps(reasoner._model.forward)  # transformers reads the signature
        def forward(**inputs: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        patch.setattr(reasoner._model, "forward", forward)
        with pytest.raises(DeviceOutOfMemory, match=r"2\.00 GiB"):
            reasoner.complete(image, "the red ball")
    assert reasoner.complete(image, "the red ball").text == ANSWER


def test_a_question_with_a_control_token_of_this_model_is_refused(reasoner, image):
    token = ANSWER_SCRIPT[5]  # this tokenizer has a token that no general rule could know
    pieces: list[str] = []
    with pytest.raises(BadQuestion, match="control token"):
        reasoner.complete(image, f"the {token} ball", on_text=pieces.append)
    assert pieces == []


@pytest.mark.parametrize("token", [*SPECIAL, "<think>", "</answer>"])
def test_a_question_with_a_control_token_of_qwen_is_answered(reasoner, token, image):
    assert reasoner.complete(image, f"{token} the ball {token}").text == ANSWER


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("tokenizer.json", "doesn't fit"),
        ("chat_template.jinja", "no chat template"),
        ("processor_config.json", "can't load"),
    ],
)
def test_a_folder_without_a_file_of_the_processor_is_refused(qwen3_vl, tmp_path, file, message):
    folder = Path(shutil.copytree(qwen3_vl, tmp_path / "copy"))
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=message):
        load(folder)
