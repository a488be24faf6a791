"""In which type a recipe trains on this machine."""

from typing import Any

from segzero.devices import choose_dtype


def fit_precision(config: Any) -> None:
    """Turn bfloat16 and float16 off where the processor has no fast kernels, and log the choice.

    Args:
        config: A TrainingArguments; `bf16`, `fp16` and the `dtype` of `model_init_kwargs` may
            become those of float32.
    """
    if config.bf16 or config.fp16:
        wanted = "bfloat16" if config.bf16 else "float16"
        if choose_dtype(wanted, config.device, "training") != wanted:
            config.bf16 = config.fp16 = False
            config.mixed_precision = "no"
    weights = config.model_init_kwargs or {}
    wanted = str(weights.get("dtype", "float32")).removeprefix("torch.")
    if wanted in ("bfloat16", "float16"):
        chosen = choose_dtype(wanted, config.device, "trained model")
        config.model_init_kwargs = {**weights, "dtype": chosen}
