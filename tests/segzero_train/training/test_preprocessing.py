import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, Value
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture
from transformers import AutoProcessor

from segzero.profiles import load_profile
from segzero.reasoning import coordinates
from segzero.reasoning.answers import parse
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.squash import squash
from segzero.types import Answer
from segzero_train.datasets.solutions import format_solution, parse_solution
from segzero_train.errors import BadData
from segzero_train.grpo import build_trainer
from segzero_train.training.preprocessing import (
    ModelSpace,
    model_space,
    training_row,
    training_rows,
)
from tests.segzero_train.tiny_runs import recipe

FAMILIES = ("qwen2_5_vl", "qwen3_vl")
SINGLE = "<box>(10,8),(60,40)</box><points>(20,15),(50,30)</points>"
SEVERAL = '[{"bbox_2d": [10, 8, 60, 40], "point_2d": [20, 15]}]'
WIDTH, HEIGHT = 97, 61


def png(pixels: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    Picture.fromarray(pixels).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A good row of 97 x 61 pixels."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[8:40, 10:60] = 1
    return {
        "id": f"row-{number}",
        "problem": "the red thing",
        "solution": SEVERAL,
        "image": png(noise(number)),
        "mask": png(ids),
    } | changes


def dataset(*rows: dict[str, Any]) -> Dataset:
    kinds = {"image": Image(), "mask": Image()}
    features = Features({key: kinds.get(key, Value("string")) for key in rows[0]})
    return Dataset.from_list(list(rows), features)


@pytest.fixture(scope="module", params=FAMILIES)
def profile(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def load(profile: Path) -> tuple[ModelSpace, Any]:
    loaded = load_profile(profile)
    processor = AutoProcessor.from_pretrained(loaded.reasoner, padding_side="left")
    return model_space(loaded, processor), processor


def check(profile: Path, *rows: dict[str, Any], max_prompt_length: int = 5000) -> Dataset:
    space, processor = load(profile)
    return training_rows(dataset(*rows), space, processor, max_prompt_length)


@pytest.fixture(scope="module")
def prepared(
    profile: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """A trainer, two rows with questions of different lengths, and the batch made of them."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "data").mkdir()
    long = "the small red thing on the left that lies behind everything else"
    dataset(row(0), row(1, problem=long)).to_parquet(str(folder / "data" / "train-00000.parquet"))
    changes = {"max_completion_length": 8, "dataset_size": 2, "num_generations": 2}
    trainer: Any = build_trainer(
        *recipe(profile, folder, folder / "run", per_device_train_batch_size=4, **changes)
    )
    rows = [trainer.train_dataset[number] for number in (0, 0, 1, 1)]
    return trainer, rows, trainer._generate_and_score_completions(rows)


def test_prompts_end_together(prepared: tuple) -> None:
    trainer, _, batch = prepared
    mask = batch["prompt_mask"]
    padding = (1 - mask).sum(1)
    assert padding[0] > 0 == padding[2]
    for number, missing in enumerate(padding.tolist()):
        assert mask[number].tolist() == [0] * missing + [1] * (mask.shape[1] - missing)
        pad = trainer.processing_class.tokenizer.pad_token_id
        assert (batch["prompt_ids"][number, :missing] == pad).all()


def test_a_prompt_has_the_tokens_that_its_image_has_features(prepared: tuple) -> None:
    trainer, _, batch = prepared
    image_token = trainer.processing_class.image_token_id
    merged = trainer.processing_class.image_processor.merge_size**2
    tokens = (batch["prompt_ids"] == image_token).sum(1)
    assert tokens.tolist() == (batch["image_grid_thw"].prod(1) // merged).tolist()
    assert len(batch["pixel_values"]) == batch["image_grid_thw"].prod(1).sum()


def test_image_tokens_are_marked_as_such(prepared: tuple) -> None:
    trainer, _, batch = prepared
    image_token = trainer.processing_class.image_token_id
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    assert batch["mm_token_type_ids"].tolist() == (ids == image_token).long().tolist()


def test_prompts_read_as_at_inference(prepared: tuple) -> None:
    trainer, rows, batch = prepared
    processor = trainer.processing_class
    for number, made in enumerate(rows):
        kept = batch["prompt_ids"][number][batch["prompt_mask"][number].bool()]
        chat = processor.apply_chat_template(
            made["prompt"], tokenize=False, add_generation_prompt=True
        )
        expected = processor(text=[chat], images=[made["image"]])["input_ids"][0]
        assert kept.tolist() == list(expected)


def test_the_model_sees_the_image_squashed_as_at_inference(prepared: tuple) -> None:
    trainer, _, batch = prepared
    side = 224
    squashed = [squash(noise(number), side) for number in (0, 0, 1, 1)]
    expected = trainer.processing_class.image_processor(images=squashed, return_tensors="pt")
    assert torch.equal(batch["pixel_values"], expected["pixel_values"])
    assert torch.equal(batch["image_grid_thw"], expected["image_grid_thw"])


def test_the_models_size_is_that_of_the_processed_image(prepared: tuple, profile: Path) -> None:
    _, _, batch = prepared
    space, processor = load(profile)
    _, rows, columns = batch["image_grid_thw"][0].tolist()
    patch = processor.image_processor.patch_size
    assert space.size == (columns * patch, rows * patch)


def test_rewards_compare_numbers_of_the_model(prepared: tuple, profile: Path) -> None:
    _, rows, _ = prepared
    space, _ = load(profile)
    width, height = {"absolute_pixels": space.size, "relative_1000": (1000, 1000)}[
        space.completion_format.coordinates
    ]
    (box,) = [item.box for item in parse_solution(rows[0]["solution"])]
    expected = [10 / WIDTH * width, 8 / HEIGHT * height, 60 / WIDTH * width, 40 / HEIGHT * height]
    assert [box.x1, box.y1, box.x2, box.y2] == pytest.approx(expected, abs=0.5)


@st.composite
def placed(draw: st.DrawFn) -> tuple[tuple[int, int], str, str]:
    """An image's size, an answer format and a solution with one object in it."""
    width, height = draw(st.tuples(st.integers(8, 2000), st.integers(8, 2000)))
    x1, y1 = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    x2, y2 = draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))
    points = [(draw(st.integers(x1, x2 - 1)), draw(st.integers(y1, y2 - 1))) for _ in "ab"]
    if draw(st.booleans()):
        (ax, ay), (bx, by) = points
        solution = f"<box>({x1},{y1}),({x2},{y2})</box><points>({ax},{ay}),({bx},{by})</points>"
        return (width, height), "seg_zero", solution
    x, y = points[0]
    solution = f'[{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}], "point_2d": [{x}, {y}]}}]'
    return (width, height), "vision_reasoner", solution


@given(
    case=placed(),
    convention=st.sampled_from(coordinates.CONVENTIONS),
    rounding=st.sampled_from(sorted(coordinates.ROUNDINGS)),
)
def test_coordinates_come_back(
    case: tuple, convention: coordinates.Coordinates, rounding: coordinates.Rounding
) -> None:
    image_size, style, solution = case
    width, height = image_size
    format_ = CompletionFormat(style, convention, rounding)
    space = ModelSpace(style, format_, side=840, size=(840, 840))
    picture = Picture.new("RGB", image_size)
    made = training_row({"problem": "it", "solution": solution, "image": picture}, space)
    units = 840 if convention == "absolute_pixels" else 1000
    ground_truth, moved = parse_solution(solution), parse_solution(made["solution"])
    if any(item.box.x1 == item.box.x2 or item.box.y1 == item.box.y2 for item in moved):
        return  # narrower than the model can write
    answer = Answer("", moved, "")
    back = coordinates.to_image(answer, convention, space.size, image_size, rounding).objects
    # Half a unit of the model, then half a pixel.
    near_x, near_y = width / units / 2 + 0.5, height / units / 2 + 0.5
    for one, other in zip(ground_truth, back, strict=True):
        for edge in ("x1", "x2"):
            assert abs(getattr(one.box, edge) - getattr(other.box, edge)) <= near_x + 1e-6
        for edge in ("y1", "y2"):
            assert abs(getattr(one.box, edge) - getattr(other.box, edge)) <= near_y + 1e-6
        for point, again in zip(one.points, other.points, strict=True):
            assert abs(point.x - again.x) <= near_x + 1e-6
            assert abs(point.y - again.y) <= near_y + 1e-6


def test_solutions_are_in_the_style_that_the_model_answers_in(profile: Path) -> None:
    space, _ = load(profile)
    made = training_row(row(solution=SINGLE), space)
    assert parse(f"<answer>{made['solution']}</answer>", "vision_reasoner").objects
    assert made["solution"] == format_solution(parse_solution(made["solution"]), "vision_reasoner")


def test_masks_keep_their_ids_when_squashed(profile: Path) -> None:
    space, _ = load(profile)
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[8:40, 10:60], ids[8:12, 70:] = 2, 255
    squashed = np.asarray(training_row(row(mask=png(ids)), space)["mask"])
    assert squashed.shape == (space.side, space.side)
    assert set(np.unique(squashed)) == {0, 2, 255}
    assert (squashed == 2).mean() == pytest.approx((ids == 2).mean(), rel=0.02)


def test_rows_without_masks_are_fine(profile: Path) -> None:
    plain = {key: value for key, value in row().items() if key != "mask"}
    assert "mask" not in check(profile, plain)[0]


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "corrupt image": ({"image": {"bytes": png(noise(0))["bytes"][:300], "path": None}}, "image"),
    "no image": ({"image": {"bytes": b"", "path": None}}, "image"),
    "corrupt mask": ({"mask": {"bytes": b"PNG?", "path": None}}, "mask"),
    "no mask": ({"mask": None}, "its mask is missing"),
    "empty mask": ({"mask": png(np.zeros((HEIGHT, WIDTH), np.uint8))}, "the mask is empty"),
    "mask of another size": ({"mask": png(np.ones((WIDTH, HEIGHT), np.uint8))}, "61x97 pixels"),
    "wrong solution": ({"solution": "(10,8),(60,40)"}, "solution can't be read"),
    "solution in words": ({"solution": '[{"bbox_2d": "left"}]'}, "solution can't be read"),
    "no solution": ({"solution": None}, "solution can't be read"),
    "blank question": ({"problem": " . "}, "the question is empty"),
    "no question": ({"problem": None}, "the question must be text"),
    "binary question": ({"problem": "the \x00 thing"}, "U+0000"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_row_is_named(case: str, qwen3_vl: Path) -> None:
    change, reason = BROKEN[case]
    with pytest.raises(BadData, match=r"1 of 3 rows can't be used: row row-1: ") as error:
        check(qwen3_vl, row(0), row(1, **change), row(2))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_only_some_of_many_bad_rows_are_named(qwen3_vl: Path) -> None:
    bad = [row(number, problem="") for number in range(8)]
    with pytest.raises(BadData, match=r"8 of 9 rows can't be used: .*; and 3 more\. ") as error:
        check(qwen3_vl, row(8), *bad)
    assert str(error.value).count("row row-") == 5


@pytest.mark.parametrize("column", ["problem", "solution", "image"])
def test_a_missing_column_is_named(column: str, qwen3_vl: Path) -> None:
    rest = {key: value for key, value in row().items() if key != column}
    with pytest.raises(BadData, match=f"lacks the columns {column}; it has id, "):
        check(qwen3_vl, rest)


def test_a_dataset_without_rows_is_refused(qwen3_vl: Path) -> None:
    space, processor = load(qwen3_vl)
    with pytest.raises(BadData, match="no rows"):
        training_rows(dataset(row()).select([]), space, processor, 5000)


def test_several_objects_are_refused_for_a_model_that_answers_with_one(qwen3_vl: Path) -> None:
    space, _ = load(qwen3_vl)
    format_ = CompletionFormat("seg_zero", "absolute_pixels", "round")
    single = ModelSpace("seg_zero", format_, 224, space.size)
    two = '[{"bbox_2d": [10, 8, 60, 40], "point_2d": [20, 15]}, ' + SEVERAL[1:]
    with pytest.raises(BadData, match=r"row row-0: .* one object with two points"):
        training_row(row(solution=two), single)


def test_long_prompts_are_left_out_and_counted(
    prepared: tuple, profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longest = prepared[2]["prompt_mask"].sum(1).tolist()[0]
    rows = [row(0), row(1, problem="the red thing 2"), row(2), row(3, problem="the red thing 33")]
    kept = check(profile, *rows, max_prompt_length=longest)
    assert [made["id"] for made in kept] == ["row-0", "row-2"]
    assert "2 of 4 rows left out: prompt too long" in capsys.readouterr().err


def test_nothing_left_after_long_prompts_is_an_error(prepared: tuple, profile: Path) -> None:
    shortest = prepared[2]["prompt_mask"].sum(1).tolist()[0]
    with pytest.raises(BadData, match=f"longer than 40 tokens .the shortest has {shortest}.: "):
        check(profile, row(0), max_prompt_length=40)


@pytest.mark.parametrize("prompt", ["vision_reasoner", "seg_zero"])
def test_published_evaluation_rows_are_usable(prompt: Any, qwen3_vl: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 20:50] = True
    picture = Picture.new("RGB", (WIDTH, HEIGHT))
    row = {"image": picture, "mask": mask.tolist(), "text": "what is hot?"}
    written = CompletionFormat(prompt, "absolute_pixels", "half_up")
    space = ModelSpace(prompt, written, 224, (224, 224))
    made = training_row(row | {"image_id": "7", "ann_id": "3"}, space)
    (found,) = parse_solution(made["solution"])
    assert found.box.x1 == pytest.approx(20 * 224 / WIDTH, abs=1)
    assert np.asarray(made["mask"]).max() == 1
    assert "what is hot" in str(made["prompt"])
