"""Both SAM 2 adapters on the same small checkpoint; they must agree."""

import builtins
import importlib.util
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segzero.errors import CheckpointError
from segzero.profiles import load_profile
from segzero.segmentation.sam2_transformers import TransformersSegmenter
from segzero.segmentation.segmenter import Segmenter
from segzero.types import Box, GroundedObject, Point, SegmentedObject
from segzero_sim.motion import set_in_motion
from segzero_sim.tabletop import TabletopRenderer, draw_usable
from tests.segzero import tiny_checkpoints

needs_sam2 = pytest.mark.skipif(
    importlib.util.find_spec("sam2") is None, reason="Meta's sam2 package isn't installed"
)
ADAPTERS = ["transformers", pytest.param("meta", marks=needs_sam2)]
OBJECTS = (
    GroundedObject(Box(10, 10, 60, 60), (Point(30, 30),)),
    GroundedObject(Box(50, 20, 90, 100), (Point(60, 50), Point(70, 60))),
    GroundedObject(Box(100, 5, 150, 110), (Point(120, 50),)),
    GroundedObject(Box(15, 60, 70, 110), ()),  # untrained models give the box alone
)


def load(folder: Path, adapter: str, dtype: str = "float32") -> Segmenter:
    if adapter == "meta":
        from segzero.segmentation.sam2_meta import MetaSegmenter

        return MetaSegmenter.load(folder, dtype=dtype, device=torch.device("cpu"))
    return TransformersSegmenter.load(folder, dtype=dtype, device=torch.device("cpu"))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.fixture(scope="module", params=ADAPTERS)
def segmenter(request: pytest.FixtureRequest, sam2: Path) -> Segmenter:
    return load(sam2, request.param)


def test_each_object_gets_a_mask_of_the_images_size_and_a_score(segmenter, image):
    found = segmenter.segment(image, OBJECTS)
    assert len(found) == len(OBJECTS)
    for mask, score in found:
        assert (mask.shape, mask.dtype) == (image.shape[:2], np.dtype(bool))
        assert isinstance(score, float) and 0 <= score <= 1
        assert 0 < mask.sum() < mask.size


def test_no_objects_no_masks(segmenter, image):
    assert segmenter.segment(image, ()) == []


def test_an_objects_mask_depends_on_no_other_object(segmenter, image):
    together = segmenter.segment(image, OBJECTS)
    for item, (mask, score) in zip(OBJECTS, together, strict=True):
        ((alone, alone_score),) = segmenter.segment(image, [item])
        assert iou(mask, alone) > 0.999
        assert score == pytest.approx(alone_score, abs=1e-4)


def test_masks_follow_the_prompts_and_the_image(segmenter, image):
    masks = [mask for mask, _ in segmenter.segment(image, OBJECTS)]
    (other, _), *_ = segmenter.segment(image[::-1, ::-1], OBJECTS)
    assert (masks[0] != masks[1]).any() and (masks[0] != masks[2]).any()
    assert (masks[0] != other).any()


def test_threads_that_draw_at_once_get_their_own_masks(segmenter, image):
    images = [image, np.ascontiguousarray(image[::-1, ::-1])]
    alone = [segmenter.segment(picture, OBJECTS) for picture in images]

    def draw(turn: int) -> bool:
        found = segmenter.segment(images[turn % 2], OBJECTS)
        pairs = zip(found, alone[turn % 2], strict=True)
        return all(iou(mask, expected) > 0.999 for (mask, _), (expected, _) in pairs)

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(draw, range(8)))


def test_more_objects_than_decode_at_once_keep_their_order(segmenter, image):
    many = OBJECTS * 12
    found = segmenter.segment(image, many)
    first = segmenter.segment(image, OBJECTS)
    for index, (mask, _) in enumerate(found):
        assert iou(mask, first[index % len(OBJECTS)][0]) > 0.999


def test_a_read_only_image_raises_no_warning(segmenter, image, recwarn):
    frozen = image.copy()
    frozen.flags.writeable = False
    segmenter.segment(frozen, OBJECTS)
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_half_precision_draws_nearly_the_same(sam2, adapter, image):
    exact = load(sam2, adapter).segment(image, OBJECTS)
    for (mask, _), (half, score) in zip(
        exact, load(sam2, adapter, "bfloat16").segment(image, OBJECTS), strict=True
    ):
        assert iou(mask, half) > 0.99
        assert 0 <= score <= 1


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_in_half_precision_prompts_are_read_and_masks_decoded_exactly(sam2, adapter, image):
    half = load(sam2, adapter, "bfloat16")
    features = half.encode(image)
    for (mask, score), (exact, exact_score) in zip(
        half.segment(image, OBJECTS, features),
        load(sam2, adapter).segment(image, OBJECTS, features),
        strict=True,
    ):
        assert (mask == exact).all()
        assert score == exact_score


def test_in_half_precision_the_image_encoder_and_the_video_memory_take_half_the_memory(sam2):
    half, exact = (
        TransformersSegmenter.load(sam2, dtype=dtype, device=torch.device("cpu"))._video
        for dtype in ("bfloat16", "float32")
    )
    for part in ("vision_encoder", "memory_attention", "memory_encoder"):
        sizes = [
            sum(p.nbytes for p in getattr(model, part).parameters()) for model in (half, exact)
        ]
        assert 2 * sizes[0] == sizes[1] > 0


def test_in_half_precision_objects_are_followed_nearly_as_well():
    folder = Path(load_profile("demo").segmenter)
    trackers = []
    with TabletopRenderer() as renderer:
        scene, frame = draw_usable(renderer, 4, (3, 3), depth=False)
        motion = set_in_motion(scene)
        frames = [renderer.render(motion.at(k / 10), depth=False) for k in range(5)]
    objects = [
        SegmentedObject(number, Box(0, 0, 1, 1), (), frames[0].ids == number, 1.0)
        for number in (1, 2, 3)
    ]
    for dtype in ("float32", "bfloat16"):
        trackers.append(load(folder, "transformers", dtype).track(frames[0].rgb, objects))
    for frame in frames[1:]:
        for item, half in zip(*(tracker.step(frame.rgb) for tracker in trackers), strict=True):
            assert item.mask.any()
            assert iou(item.mask, half.mask) > 0.97


def test_the_highest_scoring_hypothesis_is_taken(sam2, image):
    segmenter = TransformersSegmenter.load(sam2, dtype="float32", device=torch.device("cpu"))
    pixels = segmenter._processor(images=image, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        found = segmenter._model(
            pixel_values=pixels,
            input_boxes=torch.tensor([[[16.0, 256 / 12, 96.0, 128.0]]]),
            input_points=torch.tensor([[[[48.0, 64.0]]]]),
            multimask_output=True,
        ).iou_scores[0, 0]
    ((_, score),) = segmenter.segment(image, OBJECTS[:1])
    assert found.max() - found.min() > 0.01
    assert score == pytest.approx(float(found.max()), abs=1e-5)


def test_video_and_image_checkpoints_of_the_same_weights_agree(sam2, tmp_path, image):
    folder = tiny_checkpoints.save_sam2(tmp_path, video=False)
    names = load_file(folder / "model.safetensors")
    weights = load_file(sam2 / "model.safetensors")
    save_file({name: weights[name] for name in names}, folder / "model.safetensors")
    for (mask, score), (same, same_score) in zip(
        load(sam2, "transformers").segment(image, OBJECTS),
        load(folder, "transformers").segment(image, OBJECTS),
        strict=True,
    ):
        assert (mask == same).all()
        assert score == same_score


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_checkpoint_in_the_published_layout_draws_the_same(sam2, tmp_path, adapter, image):
    folder = Path(shutil.copytree(sam2, tmp_path / "legacy"))
    tiny_checkpoints.make_legacy_sam2(folder)
    for (mask, _), (same, _) in zip(
        load(sam2, adapter).segment(image, OBJECTS),
        load(folder, adapter).segment(image, OBJECTS),
        strict=True,
    ):
        assert (mask == same).all()


@needs_sam2
def test_the_adapters_agree_where_nothing_is_resized(sam2):
    # In between, they round pixels differently when they resize the image.
    square = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for (mask, score), (other, other_score) in zip(
        load(sam2, "transformers").segment(square, OBJECTS),
        load(sam2, "meta").segment(square, OBJECTS),
        strict=True,
    ):
        assert iou(mask, other) > 0.999
        assert score == pytest.approx(other_score, abs=1e-4)


@needs_sam2
def test_the_adapters_nearly_agree_where_the_image_is_resized(sam2, image):
    for (mask, _), (other, _) in zip(
        load(sam2, "transformers").segment(image, OBJECTS),
        load(sam2, "meta").segment(image, OBJECTS),
        strict=True,
    ):
        assert iou(mask, other) > 0.95


def test_without_metas_package_the_error_says_what_to_do(sam2, monkeypatch):
    original = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "sam2":
            raise ImportError(f"No module named {name!r}")
        return original(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CheckpointError, match="segmenter_adapter: transformers"):
        load(sam2, "meta")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_weights_that_lack_a_tensor_are_refused(sam2, tmp_path, adapter):
    folder = Path(shutil.copytree(sam2, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    del weights["mask_decoder.iou_token.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lack.*iou_token"):
        load(folder, adapter)


@needs_sam2
def test_two_position_encodings_are_refused_by_metas_package(sam2, tmp_path):
    folder = Path(shutil.copytree(sam2, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    weights["shared_image_embedding.positional_embedding"] += 1.0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="one position encoding"):
        load(folder, "meta")


@needs_sam2
def test_a_decoder_that_metas_package_has_not_is_refused(sam2, tmp_path):
    folder = Path(shutil.copytree(sam2, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    name = "mask_decoder.transformer.layers.0.mlp.proj_in.weight"
    weights[name] = weights[name][:64].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="doesn't fit Meta's"):
        load(folder, "meta")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_model_of_another_kind_is_refused(qwen3_vl, adapter):
    with pytest.raises(CheckpointError, match=str(qwen3_vl)):
        load(qwen3_vl, adapter)


def test_a_model_that_is_no_sam2_is_named(sam2, tmp_path):
    folder = Path(shutil.copytree(sam2, tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "sam"}))
    with pytest.raises(CheckpointError, match="type sam: a segmenter is a SAM 2"):
        load(folder, "transformers")
