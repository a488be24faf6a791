"""Following with a small random SAM2 video checkpoint, whose results mean nothing but are exact."""

import gc
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segzero.errors import BadImage, CheckpointError, DeviceOutOfMemory
from segzero.pipeline import SegZero
from segzero.segmentation.sam2_transformers import TransformersSegmenter
from segzero.segmentation.tracker import Tracker, bounding_box
from segzero.segmentation.video_memory import Memory
from segzero.types import Box, GroundedObject, Point, SegmentedObject
from tests.segzero import tiny_checkpoints

HEIGHT, WIDTH = 48, 64
FRAMES = np.random.default_rng(0).integers(0, 256, (24, HEIGHT, WIDTH, 3), dtype=np.uint8)
START, STREAM = FRAMES[0], FRAMES[1:]


def found(number: int, left: int, top: int) -> SegmentedObject:
    """A square of 16 pixels."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + 16, left : left + 16] = True
    return SegmentedObject(number, Box(left, top, left + 16, top + 16), (), mask, 0.9)


OBJECTS = (found(1, 4, 4), found(2, 24, 20), found(3, 40, 8))


@pytest.fixture(scope="module")
def shared(sam2: Path) -> TransformersSegmenter:
    return TransformersSegmenter.load(sam2, dtype="float32", device=torch.device("cpu"))


@pytest.fixture
def score_head(shared: TransformersSegmenter) -> Iterator[torch.nn.Linear]:
    """The head of the object score logit; a bias of 100 makes every object present."""
    assert shared._video
    head = shared._video.mask_decoder.pred_obj_score_head.proj_out
    before = {name: value.clone() for name, value in head.state_dict().items()}
    yield head
    head.load_state_dict(before)


@pytest.fixture
def seen(score_head: torch.nn.Linear) -> None:
    score_head.bias.data.fill_(100)


@pytest.fixture
def model(profile: Path) -> Iterator[SegZero]:
    model = SegZero.load(profile, device="cpu")
    yield model
    model.close()


def tensors() -> tuple[int, int]:
    """The number of live tensors, and their bytes."""
    gc.collect()
    held = [item for item in gc.get_objects() if type(item) is torch.Tensor]
    storages = {item.untyped_storage().data_ptr(): item.untyped_storage() for item in held}
    return len(held), sum(storage.nbytes() for storage in storages.values())


def run(tracker: Tracker, frames: Iterable[NDArray[np.uint8]] = STREAM[:4]) -> list[list[float]]:
    return [[item.score, *np.flatnonzero(item.mask)] for f in frames for item in tracker.step(f)]


def test_every_object_comes_back_in_order_with_its_id(shared, seen):
    ids = [7, 3, 5]
    objects = [
        SegmentedObject(number, item.box, (), item.mask, 0.9)
        for number, item in zip(ids, OBJECTS, strict=True)
    ]
    tracker = shared.track(START, objects)
    for frame in STREAM[:3]:
        assert [item.id for item in tracker.step(frame)] == ids


def test_a_seen_object_has_a_mask_of_the_images_size_and_the_box_around_it(shared, seen):
    for item in shared.track(START, OBJECTS[:2]).step(STREAM[0]):
        assert (item.mask.shape, item.mask.dtype) == ((HEIGHT, WIDTH), np.dtype(bool))
        assert item.mask.any()
        assert item.box == bounding_box(item.mask)
        assert item.score == pytest.approx(1)


def test_an_object_that_is_not_seen_has_no_box_and_an_empty_mask(shared, score_head):
    score_head.bias.data.fill_(-100)
    for item in shared.track(START, OBJECTS).step(STREAM[0]):
        assert item.box is None
        assert item.mask.shape == (HEIGHT, WIDTH) and not item.mask.any()
        assert item.score == pytest.approx(0)


def test_presence_changes_only_when_the_logit_passes_two(shared, score_head):
    tracker = shared.track(START, OBJECTS[:1])
    present = []
    logits = (-1.9, -6.1, 0.1, 1.9, 2.1, -1.9, -7.0, 1.9)
    for frame, logit in zip(STREAM, logits, strict=False):
        score_head.weight.data.zero_()
        score_head.bias.data.fill_(logit)
        (item,) = tracker.step(frame)
        assert (item.score > 0.5) == (item.box is not None) == item.mask.any()
        present.append(item.box is not None)
    assert present == [True, False, False, False, True, True, False, False]


def test_a_doubtful_frame_enters_the_memory_as_an_absence(shared, score_head):
    def memory_of(doubt: float) -> Memory:
        tracker = shared.track(START, OBJECTS[:1])
        for frame, logit in zip(STREAM, (-5.0, doubt), strict=False):
            score_head.weight.data.zero_()
            score_head.bias.data.fill_(logit)
            tracker.step(frame)
        return tracker._groups[0].memory._recent[-1]

    doubtful, absent, present = memory_of(1.0), memory_of(-5.0), memory_of(3.0)
    for name in ("maskmem_features", "object_pointer"):
        assert torch.equal(getattr(doubtful, name), getattr(absent, name))
        assert not torch.equal(getattr(doubtful, name), getattr(present, name))


def test_masks_of_different_objects_do_not_overlap(shared, seen):
    alone = [shared.track(START, [item]).step(STREAM[0])[0].mask for item in OBJECTS]
    together = [item.mask for item in shared.track(START, OBJECTS).step(STREAM[0])]
    assert np.sum(alone, axis=0).max() > 1
    assert np.sum(together, axis=0).max() == 1
    assert (np.any(together, axis=0) == np.any(alone, axis=0)).all()


@pytest.mark.slow
def test_what_it_holds_does_not_grow(shared):
    tracker = shared.track(START, OBJECTS[:2])
    held = {}
    for number in range(40):
        tracker.step(STREAM[number % len(STREAM)])
        if number in (0, 10, 20, 21, 25, 32, 39):  # looking at all tensors takes long
            held[number] = tensors()
    assert held[0] < held[10] < held[20]
    assert set(held.values()) == {held[0], held[10], held[20]}


def test_frame_numbers_of_days_are_fine(shared, seen):
    tracker = shared.track(START, OBJECTS[:1])
    tracker._groups[0].memory._frames = 30 * 60 * 60 * 24 * 3  # three days at 30 frames a second
    for frame in STREAM[:3]:
        (item,) = tracker.step(frame)
        assert item.mask.any() and np.isfinite(item.score)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8), id="wider"),
        pytest.param(np.zeros((HEIGHT, WIDTH), np.uint8), id="grey"),
        pytest.param(np.zeros((HEIGHT, WIDTH, 3), np.float32), id="float"),
        pytest.param(None, id="none"),
    ],
)
def test_frames_unlike_the_first_are_refused_and_the_next_good_one_followed(shared, image):
    expected = run(shared.track(START, OBJECTS[:1]))
    tracker = shared.track(START, OBJECTS[:1])
    with pytest.raises(BadImage, match=f"{WIDTH}x{HEIGHT}.*start another tracker"):
        tracker.step(image)
    assert run(tracker) == expected


def test_views_and_read_only_arrays_are_fine(shared, recwarn):
    expected = run(shared.track(START, OBJECTS[:1]), [STREAM[0]])
    item = OBJECTS[0]
    flipped = item.mask[::-1].copy()
    flipped.flags.writeable = False
    view = SegmentedObject(item.id, item.box, (), flipped[::-1], 0.9)
    frame = STREAM[0].copy()
    frame.flags.writeable = False
    assert run(shared.track(START[:, ::-1].copy()[:, ::-1], [view]), [frame]) == expected
    assert [str(warning.message) for warning in recwarn] == []


def test_two_trackers_do_not_disturb_each_other(shared):
    expected = run(shared.track(START, OBJECTS[:1]))
    others = run(shared.track(STREAM[5], OBJECTS[1:]))
    one, other = shared.track(START, OBJECTS[:1]), shared.track(STREAM[5], OBJECTS[1:])
    steps = [(run(one, [frame]), run(other, [frame])) for frame in STREAM[:4]]
    assert [line for lines, _ in steps for line in lines] == expected
    assert [line for _, lines in steps for line in lines] == others


@pytest.mark.parametrize("ahead", [1, 20], ids=["unequal memories", "full memories"])
def test_objects_that_join_later_are_followed_as_by_two_trackers(shared, seen, ahead):
    """In one pass: a group's memory differs by rounding at most, a mask at its border at most."""
    frames = [STREAM[number % len(STREAM)] for number in range(30)]
    alone, late = shared.track(START, OBJECTS[:1]), shared.track(STREAM[0], OBJECTS[1:])
    joined, joining = shared.track(START, OBJECTS[:1]), shared.track(STREAM[0], OBJECTS[1:])
    for frame in frames[:ahead]:
        for tracker in (alone, late, joined, joining):
            tracker.step(frame)
    joined.join(joining)
    assert joined.ids == [1, 2, 3]
    for frame in frames[ahead : ahead + 5]:
        expected = (*alone.step(frame), *late.step(frame))
        for one, other in zip(joined.step(frame), expected, strict=True):
            assert (one.id, one.score) == (other.id, pytest.approx(other.score, abs=1e-3))
            assert np.mean(one.mask != other.mask) < 0.01
    with pytest.raises(RuntimeError, match="closed"):
        joining.step(STREAM[0])


def test_trackers_of_other_sizes_or_with_equal_ids_do_not_join(shared):
    tracker = shared.track(START, OBJECTS[:1])
    with pytest.raises(ValueError, match="equal ids"):
        tracker.join(shared.track(START, OBJECTS))
    half = SegmentedObject(9, OBJECTS[1].box, (), OBJECTS[1].mask[:, :48], 0.9)
    with pytest.raises(ValueError, match="one size"):
        tracker.join(shared.track(START[:, :48], [half]))
    assert tracker.ids == [1]


@pytest.mark.parametrize(
    ("removed", "left"), [([2], [1, 3]), ([1, 3], [2]), ([9], [1, 2, 3]), ([1, 2, 3], [])]
)
def test_removed_objects_are_followed_no_longer(shared, seen, removed, left):
    tracker = shared.track(START, OBJECTS)
    tracker.step(STREAM[0])
    tracker.remove(removed)
    assert [item.id for item in tracker.step(STREAM[1])] == left == tracker.ids


def test_what_is_left_after_a_removal_is_followed_as_if_it_had_been_alone(shared, seen):
    alone = shared.track(START, OBJECTS[2:])
    tracker = shared.track(START, OBJECTS[2:])
    tracker.join(shared.track(START, OBJECTS[:2]))
    tracker.step(STREAM[0])
    tracker.remove([1, 2])
    assert run(alone, STREAM[:1]) and run(tracker, STREAM[1:4]) == run(alone, STREAM[1:4])


def test_asking_in_between_changes_neither_the_answer_nor_the_following(model):
    question = "the red thing"
    answer = model.ask(START, question)
    expected = run(model.track(START, answer.objects))
    tracker = model.track(START, answer.objects)
    lines = []
    for frame in STREAM[:4]:
        lines += run(tracker, [frame])
        (again,) = model.ask(START, question).objects
        assert (again.mask == answer.objects[0].mask).all()
    assert lines == expected


def test_a_step_that_lacks_memory_is_as_if_its_frame_had_not_been(shared, monkeypatch):
    expected = run(shared.track(START, OBJECTS[:2]), [STREAM[0], STREAM[2]])
    tracker = shared.track(START, OBJECTS[:2])
    lines = run(tracker, [STREAM[0]])
    with monkeypatch.context() as patched:
        # After the masks, when the frame enters the memory.
        patched.setattr(shared._video, "_encode_new_memory", out_of_memory)
        with pytest.raises(DeviceOutOfMemory):
            tracker.step(STREAM[1])
    assert lines + run(tracker, [STREAM[2]]) == expected


def out_of_memory(**_: object) -> None:
    raise torch.OutOfMemoryError("out of memory")


@pytest.mark.slow
def test_closing_frees_the_memory_of_the_stream(shared):
    for _ in range(2):  # the first leaves positions behind, which depend on sizes alone
        before = tensors()
        tracker = shared.track(START, OBJECTS)
        tracker.step(STREAM[0])
        assert tensors() > before
        tracker.close()
    tracker.close()
    tracker.close()
    assert tensors() == before
    with pytest.raises(RuntimeError, match="closed"):
        tracker.step(STREAM[1])


def test_a_closed_tracker_keeps_no_model_alive(sam2):
    segmenter = TransformersSegmenter.load(sam2, dtype="float32", device=torch.device("cpu"))
    tracker = segmenter.track(START, OBJECTS[:1])
    assert segmenter._video
    weights = weakref.ref(segmenter._video.no_memory_embedding)
    tracker.close()
    del segmenter
    gc.collect()
    assert weights() is None


def test_stills_and_streams_share_their_weights(shared):
    stills = {parameter.data_ptr() for parameter in shared._model.parameters()}
    assert stills < {parameter.data_ptr() for parameter in shared._video.parameters()}


def test_nothing_to_follow_is_refused(model):
    with pytest.raises(ValueError, match="no objects to follow"):
        model.track(START, ())


def test_objects_of_another_picture_are_refused(model):
    with pytest.raises(BadImage, match="object 1 was found in a picture of another size"):
        model.track(np.zeros((32, 32, 3), np.uint8), OBJECTS)


def test_a_segmenter_without_memory_says_so(tmp_path):
    folder = tiny_checkpoints.save_sam2(tmp_path, video=False)
    segmenter = TransformersSegmenter.load(folder, dtype="float32", device=torch.device("cpu"))
    assert segmenter.segment(START, [GroundedObject(Box(4, 4, 20, 20), (Point(9, 9),))])
    with pytest.raises(CheckpointError, match="no video memory: choose a profile"):
        segmenter.track(START, OBJECTS)


def test_metas_adapter_says_what_to_choose(sam2):
    pytest.importorskip("sam2", reason="Meta's sam2 package isn't installed")
    from segzero.segmentation.sam2_meta import MetaSegmenter

    segmenter = MetaSegmenter.load(sam2, dtype="float32", device=torch.device("cpu"))
    with pytest.raises(CheckpointError, match="segmenter_adapter: transformers"):
        segmenter.track(START, OBJECTS)
