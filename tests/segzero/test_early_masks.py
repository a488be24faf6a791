"""Masks of the first objects come while the model writes the next ones, and are the same."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segzero.errors import Cancelled
from segzero.pipeline import SegZero
from segzero.types import Box, SegmentedObject
from tests.segzero.profile_files import write_profile
from tests.segzero.tiny_checkpoints import save_qwen3_vl

OBJECT = '{{"bbox_2d": [{0},200,{1},600], "point_2d": [{2},400]}}'


def pieces(*lefts: int, sparse: bool = False) -> tuple[str, ...]:
    objects = [OBJECT.format(left, left + 200, left + 100) for left in lefts]
    if sparse:  # the first has no point: that it is none shows only when another has one
        objects[0] = '{"bbox_2d": [100,200,300,600]}'
    listed = [", " * bool(place) + item for place, item in enumerate(objects)]
    return ("<think>", " things ", "</think>", "<answer>", "[", *listed, "]", "</answer>")


@pytest.fixture
def make_model(tmp_path: Path, sam2: Path) -> Callable[[tuple[str, ...]], SegZero]:
    def make(script: tuple[str, ...]) -> SegZero:
        reasoner = save_qwen3_vl(tmp_path / "reasoner", script)
        return SegZero.load(
            write_profile(tmp_path / "p.yaml", reasoner, sam2, image_size=224), device="cpu"
        )

    return make


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_object_comes_as_soon_as_it_is_written(make_model, image, count: int) -> None:
    model = make_model(pieces(*(100 + 250 * place for place in range(count))))
    written: list[str] = []
    came: list[tuple[SegmentedObject, ...]] = []
    result = model.ask(image, "things", on_text=written.append, on_objects=came.append)
    assert [len(objects) for objects in came] == list(range(1, count + 1))
    plain = model.ask(image, "things")
    for objects in (came[-1], result.objects):
        for early, late in zip(objects, plain.objects, strict=True):
            assert (early.id, early.box) == (late.id, late.box)
            # One by one or in a batch: the same but for rounding.
            assert early.score == pytest.approx(late.score, abs=1e-3)
            assert np.mean(early.mask != late.mask) < 0.01
    model.close()


def test_the_first_mask_comes_before_the_model_has_ended(make_model, image) -> None:
    model = make_model(pieces(100, 350, 600))
    first = threading.Event()
    written: list[str] = []

    def receive(piece: str) -> None:
        written.append(piece)
        if "".join(written).count("}") == 2:
            assert first.wait(30)  # the model waits for the mask: it never comes if it waits, too

    result = model.ask(image, "things", on_text=receive, on_objects=lambda _: first.set())
    assert len(result.objects) == 3
    model.close()


def test_after_a_stop_no_more_objects_come(make_model, image) -> None:
    model = make_model(pieces(100, 350, 600))
    stop, ended = threading.Event(), threading.Event()
    written: list[str] = []
    late: list[tuple[SegmentedObject, ...]] = []

    def receive(piece: str) -> None:
        written.append(piece)
        if "".join(written).count("}") == 2:
            assert stop.wait(30)

    def come(objects: tuple[SegmentedObject, ...]) -> None:
        stop.set()
        if ended.is_set():
            late.append(objects)

    with pytest.raises(Cancelled):
        model.ask(image, "things", on_text=receive, on_objects=come, stop=stop)
    ended.set()
    model.ask(image, "things")  # whatever was queued has run
    assert not late
    model.close()


def test_what_turned_out_to_be_no_object_is_not_in_the_answer(make_model, image) -> None:
    model = make_model(pieces(100, 350, sparse=True))
    came: list[tuple[SegmentedObject, ...]] = []
    result = model.ask(image, "things", on_objects=came.append)
    assert result.objects[0].id == 1
    assert [item.box for item in result.objects] == [
        item.box for item in model.ask(image, "things").objects
    ]
    assert result.dropped
    assert all(isinstance(item.box, Box) for objects in came for item in objects)
    model.close()
