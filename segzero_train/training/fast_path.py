"""Whether the fast path computes what TRL's plain one does, on the user's own model.

A transformers that doesn't know an argument of the fast path swallows it without an error: the
model would be trained on text alone. So signatures are looked at first, and the log-probabilities
of two real completions are compared before the first update.
"""

import inspect
from typing import Any

import torch

from segzero_train.training.selection import select_rows

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
"""Mean difference, in nats a token, above which the plain path is taken, by the weights' type. For
a model of 7B that doesn't see its image it is over 2."""
_ROWS = 2


def missing_argument(model: Any) -> str | None:
    """Name what this transformers can't do for the fast path.

    Args:
        model: A Qwen-VL of transformers, without a wrapper.

    Returns:
        Such as "Qwen3VLModel.forward takes no mm_encoder_outputs"; None if nothing is missing.
    """
    inner = type(model.model)
    for method, name in (
        (inner.forward, "mm_encoder_outputs"),
        (type(model).prepare_inputs_for_generation, "next_sequence_length"),
        (type(model).generate, "custom_generate"),
    ):
        if name not in inspect.signature(method).parameters:
            return f"{method.__qualname__} takes no {name}"
    return None


def first_rows(input_ids: torch.Tensor, named: dict[str, Any]) -> dict[str, Any]:
    """The first completions of a batch.

    Args:
        input_ids: (B, T) of prompts and completions.
        named: The batch's other inputs, pictures among them.

    Returns:
        All of them, `input_ids` too, for at most two rows.
    """
    rows = torch.arange(min(_ROWS, len(input_ids)), device=input_ids.device)
    return select_rows({"input_ids": input_ids, **named}, rows, len(input_ids))


def difference(fast: torch.Tensor, plain: torch.Tensor, written: torch.Tensor) -> float:
    """Mean absolute difference of log-probabilities over the tokens that were written.

    Args:
        fast: (B, completion), in nats.
        plain: The same by the plain path.
        written: (B, completion) bool.

    Returns:
        In nats a token; infinite if one is NaN.
    """
    apart = (fast.float() - plain.float()).abs()[written].mean()
    return float(apart.nan_to_num(torch.inf))


def verdict(apart: float, dtype: torch.dtype) -> tuple[bool, str]:
    """Whether to take the fast path, and the line that says so.

    Args:
        apart: As `difference` returns it, the largest of all processes.
        dtype: That the model computes in, which rounding depends on.

    Returns:
        Both.
    """
    if apart <= _TOLERANCE[dtype]:
        return True, f"log-probabilities: fast path, {apart:.1e} nats a token from the plain one"
    return False, (
        f"log-probabilities: plain path, because the fast one is {apart:.2g} nats a token away: "
        f"please report this with the versions in run.json"
    )
