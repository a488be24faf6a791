"""The demo's segmenter: a SAM2 with a small Hiera, prompted with a box and one or two points."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import (
    Sam2Config,
    Sam2ImageProcessor,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VideoProcessor,
    Sam2VideoVideoProcessor,
)

from segzero_train.demo.frames import SIDE, Frames
from segzero_train.demo.loop import Losses, half_autocast, train

WIDTH = 64
BATCH = 8
PROMPTS = 3
"""Objects prompted in each image of a batch."""
_PARTS: dict[str, Any] = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 32,
            "num_attention_heads": 1,
            "image_size": [SIDE, SIDE],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [32, 64, 96, 128],
            "num_attention_heads_per_stage": [1, 2, 3, 4],
            "window_size_per_stage": [8, 4, 8, 8],
            "global_attention_blocks": [3],
            "mlp_ratio": 2.0,
        },
        "backbone_channel_list": [128, 96, 64, 32],
        "backbone_feature_sizes": [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        "fpn_hidden_size": WIDTH,
    },
    "prompt_encoder_config": {"hidden_size": WIDTH, "image_size": SIDE},
    "mask_decoder_config": {
        "hidden_size": WIDTH,
        "num_attention_heads": 4,
        "mlp_dim": 4 * WIDTH,
        "iou_head_hidden_dim": WIDTH,
    },
}


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """B pictures with N objects each, prompted with K points; S = SIDE.

    Attributes:
        pixels: (B, 3, S, S) float32 in [0, 1].
        masks: (B, N, S, S) float32 of 0 and 1.
        boxes: (B, N, 4) float32, x1, y1, x2, y2 in pixels.
        points: (B, N, K, 2) float32, x, y in pixels.
    """

    pixels: torch.Tensor
    masks: torch.Tensor
    boxes: torch.Tensor
    points: torch.Tensor


def train_segmenter(frames: Frames, folder: Path, steps: int, device: torch.device) -> Sam2Model:
    """Train what still images use, from scratch or from the last checkpoint.

    Args:
        frames: Training data.
        folder: For the checkpoint.
        steps: How many in all.
        device: Where to train.

    Returns:
        The model, on `device`.
    """
    torch.manual_seed(0)
    model: Any = new_model().train()
    model.to(device)
    processor = image_processor()
    mean = torch.tensor(processor.image_mean, device=device).view(3, 1, 1)
    std = torch.tensor(processor.image_std, device=device).view(3, 1, 1)

    def losses(step: int) -> Losses:
        batch = sample_batch(frames, np.random.default_rng((1, step)))
        pixels = (batch.pixels.to(device) - mean) / std  # (B, 3, S, S)
        # The first mask token serves single-mask calls, as in video; the others hypotheses.
        several = step % 3 != 0
        with half_autocast(device):
            found = model(
                pixel_values=pixels,
                input_boxes=batch.boxes.to(device),
                input_points=batch.points.to(device),
                multimask_output=several,
            )
        masks = batch.masks.to(device)  # (B, N, S, S)
        return mask_losses(found.pred_masks.float(), found.iou_scores.float(), masks)

    train("segmenter", model, losses, steps, 1e-3, folder)
    return model.eval()


def new_model() -> Sam2Model:
    """A model with random weights; image and prompts share a positional encoding, as in SAM 2."""
    model = Sam2Model(Sam2Config(**_PARTS))
    with torch.no_grad():
        positions = model.prompt_encoder.shared_embedding.positional_embedding
        model.shared_image_embedding.positional_embedding.copy_(positions)
    return model


def save_segmenter(model: Sam2Model, folder: Path) -> None:
    """Save as a video checkpoint with an untrained memory.

    Args:
        model: The trained image model.
        folder: Where the checkpoint goes.

    Raises:
        ValueError: The video model lacks one of the weights.
    """
    config = Sam2VideoConfig(
        **_PARTS,
        image_size=SIDE,
        memory_attention_hidden_size=WIDTH,
        memory_attention_feed_forward_hidden_size=4 * WIDTH,
        memory_attention_num_layers=2,
        memory_attention_rope_feat_sizes=[SIDE // 16, SIDE // 16],
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=64,  # the only size that transformers' layers take
        enable_temporal_pos_encoding_for_object_pointers=False,  # as in SAM 2.0: see memory.py
        memory_attention_dropout=0.0,
        memory_attention_rope_dropout=0.0,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=2 * WIDTH,
        memory_fuser_num_layers=2,
    )
    torch.manual_seed(0)
    video = Sam2VideoModel(config)
    unknown = video.load_state_dict(model.state_dict(), strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"the video model has no place for {unknown}")
    video.save_pretrained(folder)
    Sam2VideoProcessor(
        image_processor=image_processor(),
        video_processor=Sam2VideoVideoProcessor(size={"height": SIDE, "width": SIDE}),
    ).save_pretrained(folder)


def image_processor() -> Sam2ImageProcessor:
    """The processor that squashes to SIDE x SIDE pixels and normalises."""
    return Sam2ImageProcessor(
        size={"height": SIDE, "width": SIDE},
        mask_size={"height": SIDE // 4, "width": SIDE // 4},
    )


def mask_losses(logits: torch.Tensor, scores: torch.Tensor, masks: torch.Tensor) -> Losses:
    """Cross-entropy and dice of the best hypothesis, and the error of all estimated IoUs.

    As in SAM (Kirillov et al. 2023), only the hypothesis with the least loss is trained.

    Args:
        logits: (B, N, M, h, w) float32 of M hypotheses for N objects.
        scores: (B, N, M) float32 in [0, 1], their estimated IoUs.
        masks: (B, N, S, S) float32 of 0 and 1, the ground truth.

    Returns:
        The parts of the loss.
    """
    flat = logits.flatten(0, 1)  # (B·N, M, h, w)
    # The covered share of a cell tells where inside it the outline runs.
    ground_truth = functional.adaptive_avg_pool2d(
        masks.flatten(0, 1)[:, None], (flat.shape[-2], flat.shape[-1])
    )  # (B·N, 1, h, w)
    ground_truth = ground_truth.expand_as(flat)  # (B·N, M, h, w)
    # Objects are small: without a weight the background would dominate.
    weight = 1 + 4 * ground_truth
    entropy = functional.binary_cross_entropy_with_logits(
        flat, ground_truth, weight, reduction="none"
    )
    entropy = entropy.mean((-2, -1))  # (B·N, M)
    probability = flat.sigmoid()
    overlap = (probability * ground_truth).sum((-2, -1))
    # Dice loss (Milletari et al. 2016) with a smoothing term of 1.
    dice = 1 - (2 * overlap + 1) / (probability.sum((-2, -1)) + ground_truth.sum((-2, -1)) + 1)
    best = (10 * entropy + dice).argmin(-1, keepdim=True)  # (B·N, 1)
    with torch.no_grad():
        inside, target = flat > 0, ground_truth > 0.5
        union = (inside | target).sum((-2, -1)).clamp(min=1)
        iou = (inside & target).sum((-2, -1)) / union  # (B·N, M)
    return {
        "entropy": 10 * entropy.gather(-1, best).mean(),
        "dice": dice.gather(-1, best).mean(),
        "iou": functional.mse_loss(scores.flatten(0, 1), iou),
    }


def sample_batch(frames: Frames, rng: np.random.Generator) -> PromptBatch:
    """Draw frames, and in each of them objects with prompts as a reasoner might write them."""
    several_points = int(rng.integers(1, 3))
    pixels, masks, boxes, points = [], [], [], []
    for index in rng.integers(len(frames), size=BATCH):
        rgb, ids = frames.picture(int(index))
        if rng.random() < 0.5:
            rgb, ids = rgb[:, ::-1], ids[:, ::-1]
        pixels.append(vary_colours(rgb, rng))
        for number in rng.choice(np.unique(ids[ids > 0]), PROMPTS):
            mask = ids == number
            masks.append(mask)
            boxes.append(_rough_box(mask, rng))
            inside = np.argwhere(mask)[:, ::-1]
            points.append(inside[rng.integers(len(inside), size=several_points)])
    count = len(pixels)
    return PromptBatch(
        pixels=torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2),
        masks=torch.from_numpy(np.stack(masks)).float().view(count, PROMPTS, SIDE, SIDE),
        boxes=torch.from_numpy(np.stack(boxes)).float().view(count, PROMPTS, 4),
        points=torch.from_numpy(np.stack(points)).float().view(count, PROMPTS, several_points, 2),
    )


def vary_colours(rgb: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Vary exposure and white balance.

    Args:
        rgb: (H, W, 3) uint8.
        rng: Draws the gains.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
    return np.clip(rgb * (gain / 255).astype(np.float32), 0, 1).astype(np.float32)


def _rough_box(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """The box x1, y1, x2, y2 in pixels, each side moved by about 5 % of the object's size."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
    extent = np.tile(box[2:] - box[:2], 2)
    return np.clip(box + rng.normal(0, 0.05, 4) * extent, 0, SIDE)
