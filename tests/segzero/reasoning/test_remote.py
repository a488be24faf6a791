"""Against a real server: a process of its own that speaks the OpenAI chat API on loopback."""

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segzero.errors import BadQuestion, Cancelled, ServerError
from segzero.loading import load_reasoner
from segzero.pipeline import SegZero
from segzero.profiles import load_profile
from segzero.reasoning import chat_client, remote
from segzero.reasoning.chat_client import KEY_VARIABLE, Timeouts
from segzero.reasoning.prompts import PROMPTS, build_messages
from segzero.reasoning.reasoner import Completion, Reasoner, Sampling
from segzero.reasoning.remote import RemoteReasoner
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import TabletopRenderer
from tests.segzero import qwen_tokenizer
from tests.segzero.openai_server import SECRET, ServerProcess

DEMO = load_profile("demo")
QUESTIONS = ["the red ball", "the leftmost object.", "What could I drink from?", "all the boxes"]
HANGING = 60.0
"""Seconds after which a stop counts as ignored."""
PATIENT = Timeouts(connect=600.0, first_token=600.0, next_token=600.0)
"""With these, a call that ignores a stop hangs."""
IMPATIENT = {"silent": Timeouts(first_token=0.5), "hung": Timeouts(next_token=0.5)}
"""For the servers that have to be given up."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    server = ServerProcess()
    yield server
    server.close()


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    with TabletopRenderer() as renderer:
        return [renderer.render(sample_scene(seed), depth=False).rgb for seed in range(4)]


@pytest.fixture(scope="module")
def local() -> Reasoner:
    return load_reasoner(DEMO, torch.device("cpu"))


@pytest.fixture
def connect(server: ServerProcess) -> Callable[..., RemoteReasoner]:
    """Make a reasoner from the name of one of the server's behaviours."""

    def make(model: str = "demo", url: str = server.url, **options: object) -> RemoteReasoner:
        defaults: dict[str, Any] = {
            "prompt": DEMO.prompt,
            "image_size": DEMO.image_size,
            "max_new_tokens": DEMO.max_new_tokens,
        }
        return RemoteReasoner(url, model, **(defaults | options))

    return make


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_client, "_PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture
def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def wait_for(condition: Callable[[], bool], seconds: float = HANGING) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


# what it writes


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_a_completion_is_the_local_one(connect, local, pictures, number):
    asked = (pictures[number], QUESTIONS[number])
    assert connect().complete(*asked) == local.complete(*asked)


@pytest.mark.parametrize("seed", [0, 5])
def test_a_sampled_completion_is_the_local_one(connect, local, pictures, seed):
    asked = ([pictures[0]], [QUESTIONS[0]], Sampling(1.0, seed))
    (served_one,), (local_one,) = connect().complete_batch(*asked), local.complete_batch(*asked)
    assert served_one.text == local_one.text


def test_a_served_profile_finds_the_same_masks(server, pictures):
    here, there = SegZero.load(DEMO, "cpu"), served(server, "demo")
    for picture, question in list(zip(pictures, QUESTIONS, strict=True))[:2]:
        ours, theirs = here.ask(picture, question), there.ask(picture, question)
        assert (theirs.text, theirs.reasoning) == (ours.text, ours.reasoning)
        assert np.array_equal(theirs.mask(), ours.mask())


def served(server: ServerProcess, model: str) -> SegZero:
    return SegZero.load(replace(DEMO, server=server.url, reasoner=model), "cpu")


@pytest.mark.slow
def test_the_text_comes_in_pieces(connect, pictures):
    pieces: list[str] = []
    completion = connect("slow").complete(pictures[0], "the red ball", on_text=pieces.append)
    assert "".join(pieces) == completion.text
    assert len(pieces) > 10


def test_a_piece_comes_before_the_server_has_ended(connect, pictures):
    stop, pieces = threading.Event(), []

    def on_text(piece: str) -> None:
        pieces.append(piece)
        stop.set()

    with pytest.raises(Cancelled):  # this server never ends
        connect("hung", timeouts=PATIENT).complete(
            pictures[0], "the red ball", on_text=on_text, stop=stop
        )
    assert pieces == ["<think>the red"]


def test_a_server_that_writes_on_is_left_at_the_end_of_the_answer(server, connect, local, pictures):
    model = "stop string included"
    pieces: list[str] = []
    completion = connect(model).complete(pictures[0], "the red ball", on_text=pieces.append)
    assert completion.text == "".join(pieces) == local.complete(pictures[0], "the red ball").text
    assert completion.new_tokens == len(pieces)
    assert wait_for(lambda: server.seen(f"{model} given up") == 1)


def test_the_longest_completion_is_the_profiles(connect, pictures):
    with pytest.raises(ServerError):  # the server insists on the profile's
        connect(max_new_tokens=5).complete(pictures[0], "the red ball")


def test_line_separators_in_the_text_break_no_event(connect, pictures):
    assert connect("line breaks").complete(pictures[0], "the red ball").text == "a\u2028b\x85c\r\n"


@pytest.mark.parametrize("token", ["<|im_end|>", "<|image_pad|>", "<__media__>", "</answer>"])
def test_a_control_token_in_a_question_is_plain_text_as_locally(connect, local, pictures, token):
    asked = (pictures[0], f"{token} the red ball {token}")
    assert connect().complete(*asked) == local.complete(*asked)


def test_an_empty_question_is_refused_before_the_server_hears_of_it(connect, pictures, unused_url):
    with pytest.raises(BadQuestion):
        connect(url=unused_url).complete(pictures[0], " ")


# batches


def test_a_batch_is_written_in_order_and_several_at_once(
    server, connect, local, pictures, monkeypatch
):
    monkeypatch.setattr(remote, "CONCURRENT", 2)
    alone = [local.complete(*asked) for asked in zip(pictures, QUESTIONS, strict=True)]
    assert connect().complete_batch(pictures, QUESTIONS) == alone
    assert server.seen("most at once") == 2


def test_a_batch_of_nothing_is_nothing(connect, unused_url):
    assert connect(url=unused_url).complete_batch([], []) == []


def test_the_first_failure_ends_a_batch(connect, pictures):
    with pytest.raises(ServerError, match="CUDA error"):
        connect("broken").complete_batch(pictures, QUESTIONS)


# cancelling


def test_a_stop_ends_the_answer_within_a_piece_and_the_server_stops(server, connect, pictures):
    stop, pieces = threading.Event(), []

    def on_text(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            stop.set()

    before = server.seen("slow given up")
    with pytest.raises(Cancelled):
        connect("slow").complete(pictures[0], "the red ball", on_text=on_text, stop=stop)
    assert len(pieces) == 3
    assert wait_for(lambda: server.seen("slow given up") == before + 1)


class Stopper(threading.Event):
    """Set a moment after a condition holds; `set_at` is when."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        super().__init__()
        self.set_at = 0.0
        threading.Thread(target=self._set_after, args=(condition,)).start()

    def _set_after(self, condition: Callable[[], bool]) -> None:
        wait_for(condition)
        time.sleep(0.2)
        self.set_at = time.monotonic()
        self.set()


@pytest.mark.parametrize("model", ["silent", "hung"])
def test_a_stop_waits_for_no_token(server, connect, pictures, model):
    before, given_up = server.seen(model), server.seen(f"{model} given up")
    stop = Stopper(lambda: server.seen(model) > before)
    with pytest.raises(Cancelled):
        connect(model, timeouts=PATIENT).complete(pictures[0], "the red ball", stop=stop)
    assert time.monotonic() - stop.set_at < HANGING
    assert wait_for(lambda: server.seen(f"{model} given up") == given_up + 1)


def test_a_stop_ends_the_wait_for_a_server_that_is_away(connect, pictures, unused_url, monkeypatch):
    monkeypatch.setattr(chat_client, "_PAUSES", (600.0,))
    stop = Stopper(lambda: True)
    with pytest.raises(Cancelled):
        connect(url=unused_url).complete(pictures[0], "the red ball", stop=stop)
    assert time.monotonic() - stop.set_at < HANGING


def test_a_stop_set_before_keeps_the_server_from_being_asked(server, connect, pictures):
    stop = threading.Event()
    stop.set()
    before = server.seen("demo")
    with pytest.raises(Cancelled):
        connect().complete(pictures[0], "the red ball", stop=stop)
    assert server.seen("demo") == before


def test_after_a_stop_the_next_question_is_answered(connect, local, pictures):
    reasoner, stop = connect(), threading.Event()
    with pytest.raises(Cancelled):
        reasoner.complete(pictures[0], "the red ball", on_text=lambda _: stop.set(), stop=stop)
    asked = (pictures[0], "the red ball")
    assert reasoner.complete(*asked) == local.complete(*asked)


def test_an_error_of_the_listener_ends_the_answer(server, connect, pictures):
    def on_text(piece: str) -> None:
        raise ZeroDivisionError

    before = server.seen("slow given up")
    with pytest.raises(ZeroDivisionError):
        connect("slow").complete(pictures[0], "the red ball", on_text=on_text)
    assert wait_for(lambda: server.seen("slow given up") == before + 1)


def test_a_closed_segzero_leaves_no_thread(server, pictures):
    def threads() -> int:
        return sum(thread.name == "segzero-server" for thread in threading.enumerate())

    gc.collect()
    assert wait_for(lambda: threads() == 0)
    segzero = served(server, "demo")
    segzero.ask(pictures[0], "the red ball")
    assert threads() == 1
    segzero.close()
    assert wait_for(lambda: threads() == 0)


# what goes wrong


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
        DEMO,
        server=server.url,
        reasoner="500 prompt tokens",
        coordinates="absolute_pixels",
        image_size=840,
    )
    with pytest.raises(ServerError, match="made the picture smaller"):
        SegZero.load(profile, "cpu").ask(pictures[0], "the red ball")


def test_the_key_comes_from_the_environment(connect, local, pictures, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, f"{SECRET}\n")  # as files of keys end
    asked = (pictures[0], "the red ball")
    assert connect("locked").complete(*asked) == local.complete(*asked)
