"""Against a real server: a process of its own that speaks the OpenAI chat API on loopback."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from segzero.errors import BadQuestion, Cancelled, ServerError
from segzero.pipeline import SegZero
from segzero.profiles import load_profile
from segzero.reasoning import chat_client, remote
from segzero.reasoning.chat_client import KEY_VARIABLE, Timeouts
from segzero.reasoning.reasoner import Sampling
from tests.segzero.openai_server import SECRET, ServerProcess

DEMO = load_profile("demo")
QUESTIONS = ["the red ball", "the leftmost object.", "What could I drink from?", "all the boxes"]
HANGING = 60.0
"""Seconds after which a stop counts as ignored."""
PATIENT = Timeouts(connect=600.0, first_token=600.0, next_token=600.0)
"""With these, a call that ignores a stop hangs."""


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


def test_the_key_comes_from_the_environment(connect, local, pictures, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, f"{SECRET}\n")  # as files of keys end
    asked = (pictures[0], "the red ball")
    assert connect("locked").complete(*asked) == local.complete(*asked)
