"""A few steps of the decoder, compared with `generate` on the weights that were loaded.

Other versions of transformers, and other weights of the same name, may compute something else than
the decoder does. Its answers would be wrong without an error.
"""

import copy
import logging
from collections.abc import Mapping
from typing import Any

import torch

from segzero.devices import translate_oom
from segzero.errors import SegZeroError
from segzero.reasoning.decoder import Decoder

_LOG = logging.getLogger(__name__)
_STEPS = 4
_LIMIT, _HALF_LIMIT = 0.01, 0.2
"""Largest difference of logits, relative to their spread, in float32 and in half precision."""


def checked_decoder(
    model: Any, inputs: Mapping[str, torch.Tensor], config: Any, *, four_bits: bool
) -> Decoder | None:
    """Make a decoder and compare it with `generate`. Call it within torch.inference_mode().

    Weights of four bits differ on purpose. What is compared for them is the full weights' decoder.

    Args:
        model: One that `decoder.supports` accepts.
        inputs: The processor's for one prompt; a short one will do.
        config: The generation settings of transformers.
        four_bits: See `Decoder`.

    Returns:
        The decoder. None if it can't compute this model or computes something else, which is
        logged as a warning: `generate` of transformers is right then, but slower.

    Raises:
        DeviceOutOfMemory: The memory is full.
    """
    config = copy.deepcopy(config)
    config.update(
        max_new_tokens=_STEPS + 1,
        eos_token_id=None,
        output_logits=True,
        return_dict_in_generate=True,
    )
    with translate_oom():
        generated = model.generate(**inputs, generation_config=config)
    tokens = generated.sequences[0, inputs["input_ids"].shape[1] :]  # (S + 1,)
    expected = torch.cat(generated.logits)[1:]  # (S, V); the prompt's own aren't the decoder's
    try:
        with translate_oom():
            decoder = Decoder(model)
            difference = relative_difference(decoder.logits(inputs, tokens[:-1]), expected)
    except SegZeroError:
        raise
    except Exception as error:  # whatever reading the parts of another model may raise
        reason = str(error).partition("\n")[0]
        _warn(f"the model isn't built as expected, {type(error).__name__}: {reason}")
        return None
    limit = _LIMIT if model.dtype == torch.float32 else _HALF_LIMIT
    if not difference <= limit:  # so that NaN is refused, too
        _warn(f"the logits differ by {difference:.2g} of their spread, over {limit}")
        return None
    return Decoder(model, four_bits=True) if four_bits else decoder


def relative_difference(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """How far logits are from the expected ones, relative to the spread of these.

    Args:
        logits: (S, V).
        expected: (S, V).

    Returns:
        The root mean square of the difference through the standard deviation over the vocabulary,
        of the worst of the S steps.
    """
    apart = (logits.float() - expected.float()).square().mean(-1).sqrt()  # (S,)
    return float((apart / expected.float().std(-1)).max())


def _warn(reason: str) -> None:
    _LOG.warning(
        "answers are decoded by transformers' generate, which is slower: segzero's own decoder "
        "doesn't fit this model or this version of transformers (%s)",
        reason,
    )
