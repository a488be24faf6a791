"""SAM 2's video model, made to keep objects apart."""

from typing import Any

import torch
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

_RETURN = 2.0
"""What the logit of being seen has to exceed when an object was lost; else 0."""
ABSENT = -1024.0
"""What transformers writes into the logits of an object that isn't seen."""
_NOT_MINE = -10.0
"""Logit of pixels that belong to another object, as in SAM 2's own option to part them."""


class SeparatingVideoModel(Sam2VideoModel):
    """Follows several objects with less danger that one is taken for the other.

    What is remembered of a frame doesn't overlap: where two masks do, the pixel is of the object
    with the higher logit, so that no object grows into its neighbour. And who was lost is seen
    again only if the model is rather sure; otherwise it says "absent" and remembers that.
    """

    def _run_single_frame_inference(
        self,
        inference_session: Sam2VideoInferenceSession,
        frame_idx: int,
        obj_idx: int,
        *others: Any,
        **words: Any,
    ) -> dict[str, Any]:
        found = super()._run_single_frame_inference(
            inference_session, frame_idx, obj_idx, *others, **words
        )
        outputs = inference_session.output_dict_per_obj[obj_idx]["non_cond_frame_outputs"]
        if before := outputs.get(frame_idx - 1):
            # All of it on the device: asking for a value would wait for the GPU.
            was_lost = before["object_score_logits"] <= 0
            seen = found["object_score_logits"] - _RETURN * was_lost
            absent = seen <= 0
            found["object_score_logits"] = seen
            for masks in ("pred_masks", "high_res_masks"):
                found[masks] = found[masks].masked_fill(absent[..., None], ABSENT)
            found["object_pointer"] = torch.where(
                absent, self.no_object_pointer, found["object_pointer"]
            )
        return found

    def _encode_new_memory(
        self,
        current_vision_feats: torch.Tensor,
        pred_masks_high_res: torch.Tensor,
        object_score_logits: torch.Tensor,
        is_mask_from_pts: bool,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        if not is_mask_from_pts:
            pred_masks_high_res = separate(pred_masks_high_res)
        return super()._encode_new_memory(
            current_vision_feats, pred_masks_high_res, object_score_logits, is_mask_from_pts
        )


def separate(logits: torch.Tensor) -> torch.Tensor:
    """Leave each pixel of N objects' masks, logits of shape (N, 1, H, W), to the highest alone."""
    theirs = logits < logits.amax(dim=0)
    return torch.where(theirs, logits.clamp(max=_NOT_MINE), logits)
