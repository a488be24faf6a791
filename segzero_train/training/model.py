"""Which weights a run starts from, and which of them it trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzero.profiles import Profile, load_profile
from segzero_train.errors import BadRecipe
from segzero_train.recipe import TaskOptions

if TYPE_CHECKING:
    from peft import LoraConfig
    from trl import GRPOConfig

# The attention and MLP projections of the language model alone: the vision tower's have other
# names in Qwen2.5-VL and Qwen3-VL, except those of the MLP, hence the prefix.
_LANGUAGE = r".*language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def base_profile(options: TaskOptions) -> Profile:
    """The recipe's profile with the weights that training starts from."""
    profile = load_profile(options.profile)
    if not options.weights:
        if profile.server:
            raise BadRecipe(
                f"the profile {options.profile} has its reasoner on a server, where it can't be "
                f"trained: name another profile, or its weights as `weights`"
            )
        return profile
    folder = Path(options.weights).expanduser()
    weights = str(folder.resolve()) if folder.is_dir() else options.weights
    return replace(profile, reasoner=weights, server="")


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


@contextmanager
def without_zero3_init(config: "GRPOConfig") -> Iterator[None]:
    """Models loaded meanwhile keep their weights: ZeRO-3 splits whatever is loaded, if not told."""
    from transformers.integrations.deepspeed import (
        set_hf_deepspeed_config,
        unset_hf_deepspeed_config,
    )

    plugin = config.deepspeed_plugin
    if plugin is None:
        yield
        return
    # From --deepspeed, or from accelerate's own configuration.
    active = getattr(config, "hf_deepspeed_config", None) or plugin.dschf
    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        set_hf_deepspeed_config(active)


def needs_synced_generation(trainer: Any) -> bool:
    """Whether all processes must take as many steps to generate: each holds a part of a layer."""
    gathered = trainer.args.ds3_gather_for_generation
    return trainer.is_fsdp_enabled or (trainer.is_deepspeed_enabled and not gathered)


def preserve_state_dict_keys(model: Any) -> None:
    """Make weights be saved under the names that the model itself has.

    Loading under ZeRO-3, transformers 5.23 notes every renaming that it knows as if it had been
    needed. Saving undoes them all, and the names are those of no published layout.
    """
    from transformers.integrations import is_deepspeed_zero3_enabled

    if is_deepspeed_zero3_enabled():
        vars(model).pop("_weight_conversions", None)


def require_fp32_updates(trainer: Any) -> None:
    """Raise BadRecipe if a step would be smaller than what the trained weights can hold.

    A bfloat16 weight keeps 8 bits: adding 1e-6 to it changes nothing. DeepSpeed and FSDP keep
    float32 copies for the optimizer, a plain trainer doesn't.
    """
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        return
    halves = {str(p.dtype) for p in trainer.model.parameters() if p.requires_grad} - {
        "torch.float32"
    }
    if halves:
        raise BadRecipe(
            f"weights in {', '.join(halves)} can't be trained without DeepSpeed: small steps "
            "vanish in rounding. Launch with config/accelerate, or set lora_rank, or "
            '--model_init_kwargs \'{"dtype": "float32"}\''
        )
