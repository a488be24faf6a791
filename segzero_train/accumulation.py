"""From prompts an optimizer step to the micro-batches that each process accumulates."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from segzero_train.errors import BadRecipe


def accumulation_words(
    types: Sequence[Any], content: Mapping[str, Any], words: Sequence[str]
) -> list[str]:
    """Options that make `prompts_per_step` hold.

    TRL derives other values from the accumulation while its configuration is made, so that it must
    be known before.

    Args:
        types: The dataclasses whose fields are the recipe's keys.
        content: The recipe's file.
        words: The command line, which overrides it, as `--key`, `value`.

    Returns:
        `--gradient_accumulation_steps N`; nothing without `prompts_per_step`.

    Raises:
        BadRecipe: The prompts can't be shared by the processes, or the accumulation is given too
            and differs.
    """

    def number(key: str, default: int) -> int | None:
        value = _given(types, content, words, key)
        try:
            return default if value is None else int(value)
        except (TypeError, ValueError):
            return None  # the parser says what is wrong with it

    prompts = number("prompts_per_step", 0)
    batch = number("per_device_train_batch_size", 8)
    samples = number("num_generations", 1)
    if not prompts or not batch or not samples:
        return []
    steps = accumulation(prompts, samples, batch, int(os.environ.get("WORLD_SIZE", "1")))
    key = "gradient_accumulation_steps"
    given = content.get(key) if f"--{key}" not in words else _given(types, {}, words, key)
    if given is not None and str(given) != str(steps):
        raise BadRecipe(
            f"prompts_per_step: {prompts} makes {key} {steps} here, not {given}: leave {key} out, "
            f"or set prompts_per_step to 0"
        )
    return [f"--{key}", str(steps)]


def accumulation(prompts: int, samples: int, batch: int, processes: int) -> int:
    """Micro-batches of each process in an optimizer step.

    Args:
        prompts: Of a step, over all processes.
        samples: Completions of a prompt.
        batch: Completions of a micro-batch on a process.
        processes: How many there are.

    Returns:
        At least 1.

    Raises:
        BadRecipe: It isn't a whole number; the message names values that are.
    """
    total = prompts * samples
    if prompts < 0 or total % (batch * processes):
        shares = [size for size in range(1, total + 1) if total % (size * processes) == 0]
        remedy = (
            f"take a per_device_train_batch_size of {', '.join(map(str, shares))}"
            if shares
            else f"take a prompts_per_step that is a multiple of {processes}"
        )
        raise BadRecipe(
            f"prompts_per_step: {prompts} with {samples} samples each are {total} completions, "
            f"which {processes} processes with {batch} at a time can't share: {remedy}"
        )
    return total // (batch * processes)


def _given(types: Sequence[Any], content: Mapping[str, Any], words: Sequence[str], key: str) -> Any:
    """The command line's last value of a key, or the file's, or the default."""
    if f"--{key}" in words:
        position = len(words) - 1 - list(reversed(words)).index(f"--{key}")
        return words[position + 1] if position + 1 < len(words) else None
    if key in content:
        return content[key]
    for kind in types:
        for field in fields(kind):
            if field.name == key and field.default is not MISSING:
                return field.default
    return None
