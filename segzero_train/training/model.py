"""Which of a model's weights are trained."""

from typing import TYPE_CHECKING, Any

from segzero_train.errors import BadRecipe
from segzero_train.recipe import TaskOptions

if TYPE_CHECKING:
    from peft import LoraConfig

# The attention and MLP projections of the language model alone: the vision tower's have other
# names in Qwen2.5-VL and Qwen3-VL, except those of the MLP, hence the prefix.
_LANGUAGE = r".*language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def lora(options: TaskOptions) -> "LoraConfig":
    """Adapters on the language model's projections; everything else rests."""
    from peft import LoraConfig

    return LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=0.0,
        target_modules=_LANGUAGE,
        task_type="CAUSAL_LM",
    )


def freeze(model: Any, *, vision: bool) -> None:
    """Set the vision tower to rest, its merger included."""
    if not vision:
        return
    resting = [
        parameter
        for name, parameter in model.named_parameters()
        if "visual" in name.split(".") or "vision_tower" in name.split(".")
    ]
    if not resting:
        raise BadRecipe(f"freeze_vision: {type(model).__name__} has no part named `visual`")
    for parameter in resting:
        parameter.requires_grad_(False)
