import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segzero_train.evaluation import vqa
from segzero_train.evaluation.runner import SkippedRow
from tests.segzero_train.evaluations import answers, run, scores

PICTURE = Image.fromarray(np.full((48, 64, 3), 90, np.uint8))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Yes", "yes"),
        ("the red ball", "red ball."),
        ("Two dogs!", "2 dogs"),
        ("none", "0"),
        ("1,000", "1000"),
        ("it's", "its"),
        ("left/right", "left right"),
        ("cat , dog", "cat dog"),
        ("a  table\n", "table"),
        ("2.5", "2.5."),
    ],
)
def test_answers_that_mean_the_same_are_the_same(one: str, other: str) -> None:
    assert vqa.normalise(one) == vqa.normalise(other)


@pytest.mark.parametrize(
    ("one", "other"), [("2.5", "25"), ("red", "blue"), ("no", "none"), ("12", "1 2")]
)
def test_answers_that_differ_stay_apart(one: str, other: str) -> None:
    assert vqa.normalise(one) != vqa.normalise(other)


@given(st.text(max_size=40))
def test_any_text_can_be_normalised(text: str) -> None:
    words = vqa.normalise(text)
    assert words == words.strip()
    assert not set(words) & set("!?;,\n\t'")


@pytest.mark.parametrize(
    ("matching", "accuracy"), [(0, 0.0), (1, 1 / 3), (2, 2 / 3), (3, 1.0), (10, 1.0)]
)
def test_of_ten_people_three_must_agree(matching: int, accuracy: float) -> None:
    given_answers = ["A red ball"] * matching + ["blue"] * (10 - matching)
    assert vqa.accuracy("Red ball.", given_answers) == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("answers", "accuracy"), [(["Two"], 1.0), (["three"], 0.0), (["three", "2"], 1.0)]
)
def test_of_a_few_answers_one_must_be_it(answers: list[str], accuracy: float) -> None:
    assert vqa.accuracy("2", answers) == accuracy


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("blue", "blue"),
        ("<think> sky </think> blue", "blue"),
        ("<think> sky </think><answer>blue</answer>", "blue"),
        ("<answer>blue", "blue"),
    ],
)
def test_the_answer_is_what_follows_the_thinking(completion: str, answer: str) -> None:
    assert vqa.accuracy(vqa.short_answer(completion), [answer]) == 1.0


def test_the_report_is_the_mean_with_its_interval() -> None:
    results = [
        vqa.Answered(number, "?", ["yes"], "yes", accuracy)
        for number, accuracy in enumerate([1.0, 0.0, 1.0, 1.0])
    ]
    figures = vqa.report(results)
    assert (figures["n"], figures["accuracy"]) == (4, 0.75)
    low, high = figures["accuracy_95"]
    assert 0 <= low < 0.75 < high <= 1


def stored(folder: Path, rows: list[dict]) -> Path:
    """Save rows with a picture each."""
    (folder / "data").mkdir(parents=True)
    made = Dataset.from_list([{"image": PICTURE, **row} for row in rows])
    made.to_parquet(folder / "data" / "validation-00000.parquet")
    return folder


@pytest.mark.parametrize(
    "column",
    [
        {"answer": "grey"},
        {"answers": ["grey", "gray"]},
        {"answers": [{"answer": "grey", "answer_id": 1}, {"answer": "gray", "answer_id": 2}]},
        {"answers": {"answer": ["grey", "gray"], "answer_id": [1, 2]}},
        {"answers": [None, "grey", None]},
    ],
    ids=["one", "list", "vqa v2", "vqa v2 as columns", "missing ones"],
)
def test_the_usual_columns_of_answers_are_read(tmp_path: Path, column: dict) -> None:
    from segzero_train.datasets.loading import load_split

    folder = stored(tmp_path / "set", [{"question": "What colour?", **column}])
    (loaded,) = vqa.source(load_split(str(folder), "val")).load([0])
    assert isinstance(loaded, tuple)
    number, asked = loaded
    assert (number, asked.question) == (0, "What colour?")
    assert asked.answers[0] == "grey"
    assert asked.image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "What colour?", "answers": [None]}, "has no answers"),
        ({"question": "What colour?", "answer": None}, "has no answers"),
        ({"question": None, "answer": "grey"}, "the question must be text"),
        ({"question": 7, "answer": "grey"}, "the question must be text"),
    ],
)
def test_a_row_that_asks_or_answers_nothing_is_skipped_by_name(
    tmp_path: Path, row: dict, says: str
) -> None:
    from segzero_train.datasets.loading import load_split

    folder = stored(tmp_path / "set", [row])
    (skipped,) = vqa.source(load_split(str(folder), "val")).load([0])
    assert isinstance(skipped, SkippedRow) and says in skipped.reason


def test_the_demo_is_asked_for_short_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"question": "What is it?", "answers": ["nothing"]},
        {"question": "Who knows?", "answers": []},
        {"question": "How many balls are there?", "answers": ["0"] * 10},
    ]
    folder, out = stored(tmp_path / "set", rows), tmp_path / "out"
    options = ("--vqa", "--dataset", str(folder), "--split", "validation", "--out", str(out))
    assert run(*options, "--batch", "3") == 0
    content = scores(out)
    assert (content["n"], len(content["skipped"])) == (2, 1)
    assert "'Who knows?' has no answers" in content["skipped"][0]
    assert 0 <= content["accuracy"] <= 1
    kept = [json.loads(line) for line in answers(out)]
    assert [item["question"] for item in kept] == ["What is it?", "How many balls are there?"]
    for item in kept:
        assert item["accuracy"] == vqa.accuracy(vqa.short_answer(item["text"]), item["answers"])
    assert "2 questions, accuracy" in capsys.readouterr().out


class Shrinking(BaseHTTPRequestHandler):
    """A chat API that makes pictures smaller, which its count of prompt tokens tells."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        usage = {"prompt_tokens": 40, "completion_tokens": 1}
        choice = {"delta": {"content": "grey"}, "finish_reason": "stop"}
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for chunk in ({"choices": [choice]}, {"choices": [], "usage": usage}):
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass


def test_a_served_model_is_asked_without_a_segmenter_and_whatever_size_its_server_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = stored(tmp_path / "set", [{"question": "Colour?", "answer": "grey"}]), "out"
    profile = tmp_path / "served.yaml"
    with ThreadingHTTPServer(("127.0.0.1", 0), Shrinking) as server:
        profile.write_text(
            f"summary: served\nserver: http://127.0.0.1:{server.server_port}/v1\nreasoner: any\n"
            "segmenter: owner/never-fetched\nprompt: seg_zero\nanswer_format: seg_zero\n"
            "coordinates: absolute_pixels\nrounding: round\n"
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = ("--vqa", "--dataset", str(folder), "--split", "validation")
        code = run("--profile", str(profile), *words, "--out", str(tmp_path / out))
        server.shutdown()
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert "1 questions, accuracy 1.000" in captured.out


def test_missing_columns_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stored(tmp_path / "set", [{"question": "What colour?"}])
    assert run("--vqa", "--dataset", str(folder), "--split", "validation") == 1
    assert "needs the columns question, image, and answers" in capsys.readouterr().err
