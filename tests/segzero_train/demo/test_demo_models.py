from pathlib import Path

import numpy as np
import pytest
import torch

from segzero.pipeline import SegZero
from segzero_train.datasets import tabletop
from segzero_train.demo import segmenter as segmenter_module
from segzero_train.demo.frames import Frames
from segzero_train.demo.lessons import GRID, cut_patches, make_lesson
from segzero_train.demo.reasoner import make_processor, save_reasoner, train_reasoner
from segzero_train.demo.segmenter import mask_losses, sample_batch, save_segmenter, train_segmenter

CPU = torch.device("cpu")


def test_patches_are_those_of_the_processor(frames: Frames) -> None:
    rgb = np.array(frames.picture(0)[0])
    made = make_processor().image_processor(images=[rgb], return_tensors="pt")
    assert made["image_grid_thw"].tolist() == [[1, GRID, GRID]]
    ours = cut_patches(rgb.astype(np.float32) / 127.5 - 1)
    assert np.allclose(ours, made["pixel_values"].numpy(), atol=1e-5)


def test_a_lesson_says_at_each_patch_what_stands_there(frames: Frames) -> None:
    lesson = make_lesson(frames, np.random.default_rng(0), batch=4)
    pictures = lesson.patches.view(4, GRID**2, 3, -1).mean(-1)
    kinds = lesson.kinds.view(4, GRID**2)
    # Things are more colourful than the table, the floor and the coasters.
    colourful = pictures.amax(-1) - pictures.amin(-1)
    assert colourful[kinds > 0].mean() > 2 * colourful[kinds == 0].mean()
    assert ((lesson.kinds > 0) == (lesson.tints > 0)).all()
    assert lesson.places[lesson.kinds > 0].min() >= 0
    assert lesson.places.max() <= 1


def test_prompts_lie_on_their_objects(frames: Frames) -> None:
    batch = sample_batch(frames, np.random.default_rng(0))
    count, prompts = batch.masks.shape[:2]
    for i in range(count):
        for k in range(prompts):
            mask = batch.masks[i, k].bool()
            x1, y1, x2, y2 = batch.boxes[i, k].round().int().clamp(min=0).tolist()
            assert mask[y1:y2, x1:x2].sum() > 0.7 * mask.sum()
            for x, y in batch.points[i, k].int().tolist():
                assert mask[y, x]


def test_the_true_mask_has_the_least_loss() -> None:
    ground_truth = torch.zeros(1, 1, 64, 64)
    ground_truth[..., 16:40, 16:40] = 1
    exact = torch.nn.functional.adaptive_avg_pool2d(ground_truth[0], 16)[None].repeat(1, 1, 3, 1, 1)
    scores = torch.ones(1, 1, 3)
    good = mask_losses(20 * (exact.view(1, 1, 3, 16, 16) - 0.5), scores, ground_truth)
    bad = mask_losses(-20 * (exact.view(1, 1, 3, 16, 16) - 0.5), scores, ground_truth)
    assert all(good[key] < bad[key] for key in ("entropy", "dice", "iou"))


@pytest.mark.slow
def test_trained_for_a_moment_both_models_run_as_a_profile(
    frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenter_module, "BATCH", 2)
    fresh = segmenter_module.new_model().state_dict()
    segmenter = train_segmenter(frames, tmp_path, steps=2, device=CPU)
    trained = segmenter.state_dict()
    assert any(not torch.equal(trained[key], fresh[key]) for key in fresh)
    # Without one and the same encoding a prompt can't be matched with its place in the image.
    positions = segmenter.prompt_encoder.shared_embedding.positional_embedding
    assert torch.equal(segmenter.shared_image_embedding.positional_embedding, positions)
    reasoner, processor = train_reasoner(frames, tmp_path, steps=(1, 1, 1, 1), device=CPU)
    save_segmenter(segmenter, tmp_path / "segmenter")
    save_reasoner(reasoner, processor, tmp_path / "reasoner")
    profile = tmp_path / "momentary.yaml"
    demo = (Path(__file__).parents[3] / "config/profiles/demo.yaml").read_text()
    profile.write_text(
        demo.replace("checkpoints/demo", str(tmp_path)).replace("tokens: 512", "tokens: 8")
    )
    model = SegZero.load(profile, "cpu")
    (sample,) = tabletop.samples("val", 1)
    (found,) = model.segment(sample.image, sample.objects)
    assert found.mask.shape == sample.image.shape[:2]
