"""From a profile to loaded models."""

from typing import TYPE_CHECKING

from segzero.profiles import Profile
from segzero.reasoning.prompts import PromptTemplate
from segzero.reasoning.reasoner import Reasoner
from segzero.segmentation.segmenter import Segmenter
from segzero.weights import resolve_weights

if TYPE_CHECKING:
    import torch

# The adapters are imported where they are needed: each needs a library that others do without.


def load_reasoner(
    profile: Profile, device: "torch.device", prompt: PromptTemplate | None = None
) -> Reasoner:
    """Load the language model of a profile, or connect to the server that runs it.

    Args:
        profile: Names the weights and how to talk to them.
        device: Where the model computes; not used for a served one.
        prompt: Replaces the profile's prompt; one that asks for no coordinates.

    Returns:
        The reasoner.

    Raises:
        CheckpointError: The weights are missing, damaged or of another kind.
        DeviceOutOfMemory: They don't fit.
    """
    if profile.server:
        from segzero.reasoning.remote import RemoteReasoner

        return RemoteReasoner(
            profile.server,
            profile.reasoner,
            prompt=prompt or profile.prompt,
            image_size=profile.image_size,
            max_new_tokens=profile.max_new_tokens,
            # Another prompt asks for no coordinates, and whatever size the server takes will do.
            coordinates="relative_1000" if prompt else profile.coordinates,
        )
    from segzero.devices import choose_dtype
    from segzero.pretrained import translate_errors
    from segzero.reasoning.local import LocalReasoner

    folder = resolve_weights(profile.reasoner, profile.name)
    drafted = profile.drafts == "answer_format" and not prompt
    with translate_errors(f"can't load {folder}"):
        return LocalReasoner.load(
            folder,
            prompt=prompt or profile.prompt,
            image_size=profile.image_size,
            max_new_tokens=profile.max_new_tokens,
            dtype=choose_dtype(profile.reasoner_dtype, device, "reasoner"),
            attention=profile.attention,
            device=device,
            decoding_weights=profile.decoding_weights,
            answer_format=profile.answer_format if drafted else None,
        )


def load_segmenter(profile: Profile, device: "torch.device") -> Segmenter:
    """Load the SAM 2 checkpoint of a profile with the library that the profile names.

    Args:
        profile: Names the weights, their dtype and the adapter.
        device: Where the model computes.

    Returns:
        The segmenter.

    Raises:
        CheckpointError: The weights are missing, damaged or of another kind.
        DeviceOutOfMemory: They don't fit.
    """
    from segzero.devices import choose_dtype
    from segzero.pretrained import translate_errors

    folder = resolve_weights(profile.segmenter, profile.name)
    dtype = choose_dtype(profile.segmenter_dtype, device, "segmenter")
    with translate_errors(f"can't load {folder}"):
        if profile.segmenter_adapter == "meta":
            from segzero.segmentation.sam2_meta import MetaSegmenter

            return MetaSegmenter.load(folder, dtype=dtype, device=device)
        from segzero.segmentation.sam2_transformers import TransformersSegmenter

        return TransformersSegmenter.load(folder, dtype=dtype, device=device)
