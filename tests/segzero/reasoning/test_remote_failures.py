"""What goes wrong with a real server, and pictures that it has resized: said with what to do."""

from dataclasses import replace

import pytest

from segzero.errors import ServerError
from segzero.pipeline import SegZero
from segzero.profiles import load_profile
from segzero.reasoning import remote
from segzero.reasoning.chat_client import KEY_VARIABLE, Timeouts
from segzero.reasoning.prompts import PROMPTS, build_messages
from segzero.reasoning.reasoner import Completion
from tests.segzero import qwen_tokenizer

pytestmark = pytest.mark.slow

IMPATIENT = {"silent": Timeouts(first_token=0.5), "hung": Timeouts(next_token=0.5)}
"""For the servers that have to be given up."""


@pytest.mark.parametrize("model", ["loading", "dropping"])
def test_a_server_that_is_not_ready_is_asked_again(connect, local, pictures, model, no_pauses):
    asked = (pictures[0], "the red ball")
    assert connect(model).complete(*asked) == local.complete(*asked)


def test_a_busy_server_is_told_after_four_attempts(server, connect, pictures, no_pauses):
    with pytest.raises(ServerError, match=r"429 \(too many requests\).*ask again later"):
        connect("busy").complete(pictures[0], "the red ball")
    assert server.seen("busy") == 4


@pytest.mark.parametrize("model", ["dying", "short"])
def test_an_answer_that_breaks_off_is_not_begun_again(server, connect, pictures, model):
    pieces: list[str] = []
    with pytest.raises(ServerError, match="broke off after 14 characters"):
        connect(model).complete(pictures[0], "the red ball", on_text=pieces.append)
    assert pieces == ["<think>the red"]
    assert server.seen(model) == 1


def test_a_server_that_is_away_is_told_with_the_command_to_start_one(
    connect, pictures, unused_url, no_pauses
):
    port = unused_url.split(":")[2].removesuffix("/v1")
    with pytest.raises(ServerError, match=f"is away .*`vllm serve owner/name --port {port}`"):
        connect("owner/name", url=unused_url).complete(pictures[0], "the red ball")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("silent", r"wrote nothing within 0\.5 s: "),
        ("hung", r"wrote nothing within 0\.5 s for more: "),
        ("absent", "has no model 'absent'.*`reasoner`.*: demo, slow, "),
        ("locked", rf"401 \(Unauthorized\): set {KEY_VARIABLE}"),
        ("short context", "512 tokens.*start the server with a longer context.*--max-model-len"),
        ("text only", r"400 \(this model can't see\)"),
        ("broken", r"500 \(CUDA error\)"),
        ("no JSON", "something else than a chat completion: .*choices"),
        ("other JSON", "something else than a chat completion: .*delta"),
        ("error", "gave up: out of memory"),
        ("aborting", r"ended the answer early \(abort\)"),
        ("thinking apart", "without a reasoning parser"),
        ("page", "answered with text/html, not with an event stream"),
    ],
)
def test_what_goes_wrong_is_said_with_what_to_do(connect, pictures, model, message):
    with pytest.raises(ServerError, match=message):
        connect(model, timeouts=IMPATIENT.get(model)).complete(pictures[0], "the red ball")


def test_an_address_without_its_path_is_told(server, connect, pictures):
    with pytest.raises(ServerError, match="usually ends in /v1"):
        connect(url=server.url.removesuffix("/v1")).complete(pictures[0], "the red ball")


# "the red ball" in the prompt `vision_reasoner` is 180 tokens, 840 pixels square are 900.


@pytest.mark.parametrize(
    ("side", "tokens", "changed"),
    [
        (840, 500, "smaller"),
        (840, 909, "smaller"),  # 756 pixels square: with its text more than the whole picture
        (840, 1019, "smaller"),  # 812 pixels, one step
        (560, 300, "smaller"),
        (840, 1141, "larger"),  # 868 pixels, one step
        (840, 1204, "larger"),  # llama.cpp --image-min-tokens 1024
        (560, 909, "larger"),
    ],
)
def test_a_picture_that_the_server_resized_is_refused(connect, pictures, side, tokens, changed):
    reasoner = connect(f"{tokens} prompt tokens", image_size=side, coordinates="absolute_pixels")
    option = {"smaller": "max_pixels.*--image-max-tokens", "larger": "min_pixels.*-min-tokens"}
    message = (
        rf"picture {changed}: {side}x{side} pixels are {(side // 28) ** 2} tokens, .* had {tokens}"
        rf"\..*{option[changed]}"
    )
    with pytest.raises(ServerError, match=message):
        reasoner.complete(pictures[0], "the red ball")
    with pytest.raises(ServerError, match=message):
        reasoner.complete_batch(pictures[:1], ["the red ball"])


@pytest.mark.parametrize(
    ("side", "tokens", "coordinates"),
    [
        (840, 1080, "absolute_pixels"),
        (840, 1070, "absolute_pixels"),  # a shorter chat template
        (840, 1092, "absolute_pixels"),  # a longer one
        (840, 0, "absolute_pixels"),  # doesn't count
        (560, 580, "absolute_pixels"),
        (840, 500, "relative_1000"),  # the size makes no difference to the answer
    ],
)
def test_other_counts_of_the_prompt_are_an_answer(connect, pictures, side, tokens, coordinates):
    reasoner = connect(f"{tokens} prompt tokens", image_size=side, coordinates=coordinates)
    completion = reasoner.complete(pictures[0], "the red ball")
    assert completion == Completion("<answer>[]</answer>", (side, side), 3)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(
    "question",
    [
        "x",
        "the red ball",
        "which of the two mugs on the left would you take if your hands were cold and wet?",
        "左边第二个红色的杯子",
        "serial number 4711-0815-12345678901234567890",
        "🔴🥤 <|im_end|> ünïcödé zzzqqq",
    ],
)
def test_the_length_of_a_chat_is_known_well_enough_to_notice_one_step_of_size(
    qwen_tokenizer_file, prompt, question
):
    """By the published tokenizer and chat template."""
    tokenizer = qwen_tokenizer.load(qwen_tokenizer_file, "qwen2_5_vl")
    messages = build_messages(prompt, question)
    chat = qwen_tokenizer.processor(tokenizer, "qwen2_5_vl").apply_chat_template(
        messages, add_generation_prompt=True, tokenize=False
    )
    text = len(tokenizer(chat, add_special_tokens=False)["input_ids"]) - 1  # the picture's
    fewest, most = remote._text_tokens(prompt, messages[1]["content"][1]["text"])
    assert fewest <= text <= most
    assert 841 + text < 900 + fewest and 900 + most < 961 + text


def test_a_served_profile_says_what_its_coordinates_are(server, pictures):
    profile = replace(
        load_profile("demo"),
        server=server.url,
        reasoner="500 prompt tokens",
        coordinates="absolute_pixels",
        image_size=840,
    )
    with pytest.raises(ServerError, match="made the picture smaller"):
        SegZero.load(profile, "cpu").ask(pictures[0], "the red ball")
