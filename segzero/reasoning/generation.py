"""Settings and hooks of transformers' `generate`: greedy or sampled, streamed, and stopped."""

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import GenerationConfig, StoppingCriteria

from segzero.reasoning.completion_text import CompletionBuffer
from segzero.reasoning.reasoner import Sampling

_SCORE_SETTINGS = (
    "repetition_penalty",
    "no_repeat_ngram_size",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
)
"""Of a checkpoint's generation settings, those that also hold for a single greedy completion."""


def greedy_config(model: Any, tokenizer: Any, max_new_tokens: int) -> Any:
    """Greedy search with what the checkpoint's generation settings say of scores and of the end.

    Args:
        model: Of transformers.
        tokenizer: Its tokenizer.
        max_new_tokens: The longest completion.

    Returns:
        A GenerationConfig.
    """
    theirs = model.generation_config
    ends = theirs.eos_token_id if isinstance(theirs.eos_token_id, list) else [theirs.eos_token_id]
    kept = {key: getattr(theirs, key, None) for key in _SCORE_SETTINGS}
    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted({*ends, tokenizer.eos_token_id} - {None}),
        pad_token_id=tokenizer.pad_token_id,
        **kept,
    )


def sampling_config(greedy: Any, sampling: Sampling) -> Any:
    """Settings that draw tokens.

    Args:
        greedy: What `greedy_config` returned.
        sampling: How to draw.

    Returns:
        A GenerationConfig, without transformers' default of the 50 likeliest tokens.
    """
    config = copy.deepcopy(greedy)
    config.update(do_sample=True, temperature=sampling.temperature, top_k=0, top_p=1.0)
    return config


@contextmanager
def seeded(sampling: Sampling | None, device: torch.device) -> Iterator[None]:
    """Draw from the seed, and leave the global random numbers as they were.

    Args:
        sampling: Its seed counts; None changes nothing.
        device: Where the numbers are drawn.

    Yields:
        Nothing.
    """
    if sampling is None:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(sampling.seed)
        yield


class PushTokens(StoppingCriteria):
    """Hands each generated token to its completion and says which completions have ended.

    Args:
        buffers: One for each row of the batch.
        prompt_length: Tokens of the padded prompt.
        stop: Ends all of them when it is set.

    Attributes:
        cancelled: Whether `stop` ended them.
    """

    def __init__(
        self,
        buffers: Sequence[CompletionBuffer],
        prompt_length: int,
        stop: threading.Event | None,
    ) -> None:
        self._buffers = buffers
        self._pushed_length = prompt_length
        self._stop = stop
        self.cancelled = False

    def __call__(
        self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any
    ) -> torch.BoolTensor:
        """Read what is new in (B, T) `input_ids`; returns (B,) whether each row has ended."""
        new_ids = input_ids[:, self._pushed_length :].tolist()  # (B, T) -> B lists
        for buffer, tokens in zip(self._buffers, new_ids, strict=True):
            for token in tokens:
                buffer.push(token)
        self._pushed_length = input_ids.shape[1]
        self.cancelled = self._stop is not None and self._stop.is_set()
        done = [self.cancelled or buffer.is_done for buffer in self._buffers]
        return cast(torch.BoolTensor, torch.tensor(done, device=input_ids.device))  # (B,)
