from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from segzero.segmentation.image_encoder import ImageEncoder
from segzero_train.demo import clips as clips_module
from segzero_train.demo import memory as memory_module
from segzero_train.demo import tracks
from segzero_train.demo.clips import Clips, render_clips
from segzero_train.demo.memory import follow, train_memory
from segzero_train.demo.segmenter import image_processor, new_model, save_segmenter

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Three really rendered clips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips_module, "SHARD", 3)
        return render_clips(tmp_path_factory.mktemp("clips"), 3, processes=1)


@pytest.fixture
def model(tmp_path: Path) -> Sam2VideoModel:
    """Random weights, but a memory that matters and objects that are always seen."""
    save_segmenter(new_model(), tmp_path / "segmenter")
    model = Sam2VideoModel.from_pretrained(tmp_path / "segmenter").eval()
    memory_module._initialise(model)
    model.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(100)
    return model


@pytest.mark.parametrize("object_score_logit", [100.0, -100.0])
def test_training_follows_as_inference_does(
    model: Sam2VideoModel, clips: Clips, tmp_path: Path, object_score_logit: float
) -> None:
    model.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(object_score_logit)
    rgb = clips.rgb[0][0]
    masks = torch.from_numpy(np.array(clips.ids[0][0] == 1)).float()
    pixels = image_processor()(images=list(rgb), return_tensors="pt")["pixel_values"]
    session = Sam2VideoInferenceSession(dtype=torch.float32)
    session.obj_id_to_idx(1)
    session.add_mask_inputs(0, 0, masks[None, :1])
    session.obj_with_new_inputs = [1]
    expected = []
    for k in range(10):
        expected.append(model(session, frame_idx=k, frame=pixels[k]))
        for outputs in session.output_dict_per_obj[0].values():
            if k in outputs:
                outputs[k]["object_pointer"] = outputs[k]["object_pointer"].view(1, -1)
    encoder = ImageEncoder(model)
    with torch.inference_mode():
        frames = [encoder(pixels[k : k + 1]) for k in range(10)]
        found = list(follow(model, frames, masks[:1]))
    for ours, theirs in zip(found, expected[1:], strict=True):
        logits = ours.best_masks(ours.object_score_logits > 0)
        torch.testing.assert_close(logits, theirs.pred_masks, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(
            ours.object_score_logits, theirs.object_score_logits, rtol=1e-3, atol=1e-3
        )


@pytest.mark.slow
def test_training_changes_the_memory_and_leaves_stills_alone(
    model: Sam2VideoModel, clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracks, "BATCH", 16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    after = train_memory(model, clips, tmp_path, steps=2, device=CPU).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("memory_attention.") for name in changed)
    assert all(name.startswith(memory_module._TRAINED) for name in changed)
