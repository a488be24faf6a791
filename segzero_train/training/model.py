"""Which weights a run starts from, and which of them it trains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzero.hub_names import is_hub_name
from segzero.profiles import Profile, load_profile, profile_names, resource_root
from segzero_train.errors import BadRecipe
from segzero_train.missing import missing_profile, missing_weights, only_adapters
from segzero_train.recipe import TaskOptions

if TYPE_CHECKING:
    from peft import LoraConfig
    from trl import GRPOConfig

# The attention and MLP projections of the language model alone. The prefix keeps the MLP of the
# vision tower out, which uses the same names in Qwen2.5-VL and Qwen3-VL.
_LANGUAGE = r".*language_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


def base_profile(options: TaskOptions) -> Profile:
    """The recipe's profile with the weights that training starts from.

    Args:
        options: The recipe.

    Returns:
        The profile; its reasoner is `options.weights` where the recipe names any.

    Raises:
        BadRecipe: There is no such profile, or no folder of its weights or the recipe's. Or the
            profile's reasoner runs on a server, and the recipe names no weights.
        CheckpointError: The profile can't be used.
    """
    profile = _with_weights(options, load_profile(_profile_file(options.profile)))
    for name in (profile.reasoner, profile.segmenter):
        folder = Path(name)
        if folder.is_absolute() and not folder.is_dir():
            raise BadRecipe(missing_weights(name))
        if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
            raise BadRecipe(only_adapters(folder))
    return profile


def _with_weights(options: TaskOptions, profile: Profile) -> Profile:
    if not options.weights:
        if profile.server:
            raise BadRecipe(
                f"the profile {options.profile} has its reasoner on a server, where it can't be "
                f"trained: name another profile, or its weights as `weights`"
            )
        return profile
    folder = Path(options.weights).expanduser()
    if folder.is_dir():
        return replace(profile, reasoner=str(folder.resolve()), server="")
    if not is_hub_name(options.weights.partition("@")[0]):
        raise BadRecipe(missing_weights(options.weights))
    return replace(profile, reasoner=options.weights, server="")


def _profile_file(name_or_path: str) -> str | Path:
    """As given, or the shipped file where the current folder has none at that path."""
    shipped = resource_root() / name_or_path
    if Path(name_or_path).is_file() or name_or_path in profile_names():
        return name_or_path
    if shipped.is_file():
        return shipped
    if Path(name_or_path).name != name_or_path or Path(name_or_path).suffix in (".yaml", ".yml"):
        raise BadRecipe(missing_profile(name_or_path))
    return name_or_path


def lora(options: TaskOptions) -> "LoraConfig | None":
    """Adapters on the language model's projections (arXiv 2106.09685); None for `lora_rank: 0`."""
    if not options.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=0.0,
        target_modules=_LANGUAGE,
        task_type="CAUSAL_LM",
    )


def freeze(model: Any, *, vision: bool) -> None:
    """Stop training the vision tower, its merger included.

    Args:
        model: The trained model.
        vision: False leaves the model as it is.

    Raises:
        BadRecipe: The model has no part named `visual`.
    """
    if not vision:
        return
    frozen = [
        parameter
        for name, parameter in model.named_parameters()
        if "visual" in name.split(".") or "vision_tower" in name.split(".")
    ]
    if not frozen:
        raise BadRecipe(f"freeze_vision: {type(model).__name__} has no part named `visual`")
    for parameter in frozen:
        parameter.requires_grad_(False)


def prepare_model(trainer: Any, *, freeze_vision: bool) -> None:
    """Make a new trainer's model ready to be trained and saved.

    Args:
        trainer: A trainer of transformers, before its first step.
        freeze_vision: As the recipe says.

    Raises:
        BadRecipe: There is no vision tower to freeze, small steps would be lost, or FSDP would
            save no model.
    """
    freeze(trainer.model, vision=freeze_vision)
    require_fp32_updates(trainer)
    require_whole_saves(trainer)
    preserve_state_dict_keys(trainer.model)


def base_model(model: Any) -> Any:
    """The model inside of LoRA adapters, or the model itself."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


@contextmanager
def method_replaced(owner: Any, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Within it, `owner.name` is another function.

    Args:
        owner: An object.
        name: One of its methods.
        method: Called in its place, without `self`.

    Yields:
        Nothing.
    """
    # TRL and accelerate set methods on the instance, too: what stood there comes back.
    own = vars(owner)
    before = own.get(name)
    own[name] = method
    try:
        yield
    finally:
        if before is None:
            del own[name]
        else:
            own[name] = before


@contextmanager
def without_zero3_init(config: "GRPOConfig") -> Iterator[None]:
    """Within it, loaded models keep whole weights; ZeRO-3 partitions every model by default.

    Args:
        config: The trainer's.

    Yields:
        Nothing.
    """
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


def require_whole_saves(trainer: Any) -> None:
    """Refuse an FSDP configuration with which transformers saves no model, without an error.

    Args:
        trainer: A trainer of transformers.

    Raises:
        BadRecipe: FSDP would save shards alone.
    """
    if not trainer.is_fsdp_enabled:
        return
    kind = str(trainer.accelerator.state.fsdp_plugin.state_dict_type)
    if "FULL_STATE_DICT" not in kind:
        raise BadRecipe(
            "fsdp_state_dict_type must be FULL_STATE_DICT in accelerate's configuration, or no "
            "model is saved: take accelerate/8gpu_fsdp2"
        )


def require_fp32_updates(trainer: Any) -> None:
    """Refuse weights that would lose small optimizer steps to rounding.

    A bfloat16 weight keeps 8 bits: adding 1e-6 to it changes nothing. DeepSpeed and FSDP keep
    float32 copies for the optimizer, a plain trainer doesn't.

    Args:
        trainer: A trainer of transformers.

    Raises:
        BadRecipe: A trained weight isn't float32, and nothing keeps a float32 copy.
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
