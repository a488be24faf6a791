"""A reasoning model in this process, through transformers (Qwen2.5-VL, Qwen3-VL and others)."""

import copy
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    StoppingCriteria,
    StoppingCriteriaList,
)

from segzero.devices import translate_oom
from segzero.errors import BadQuestion, Cancelled, CheckpointError
from segzero.pretrained import load_model, load_pretrained
from segzero.reasoning.completion_text import CompletionBuffer
from segzero.reasoning.decoder import Decoder, supports, supports_int4_decoding
from segzero.reasoning.decoder_check import checked_decoder
from segzero.reasoning.prompts import PromptTemplate, build_messages
from segzero.reasoning.reasoner import Completion, Sampling
from segzero.reasoning.squash import squash

_SCORE_SETTINGS = (
    "repetition_penalty",
    "no_repeat_ngram_size",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
)
"""Of a checkpoint's generation settings, those that also hold for a single greedy completion."""

# Of the picture processor, and the same of the model's configuration.
_PICTURE_SIZES = {
    "patch_size": "patch_size",
    "merge_size": "spatial_merge_size",
    "temporal_patch_size": "temporal_patch_size",
}
_CHECK_SIDE = 64
"""Sides of the picture that the decoder is checked with, in pixels."""


class LocalReasoner:
    """Implements `Reasoner`; one call at a time.

    Args:
        model: Of transformers, in evaluation mode on its device.
        processor: The model's own.
        prompt: A key of `prompts.PROMPTS`, or a template.
        image_size: Sides of the squashed picture in pixels.
        max_new_tokens: The longest completion.
        decoding_weights: With `int4`, tokens are generated with weights rounded to four bits.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        prompt: str | PromptTemplate,
        image_size: int,
        max_new_tokens: int,
        decoding_weights: str = "full",
    ) -> None:
        self._model = model
        self._processor = processor
        self._prompt = prompt
        self._image_size = image_size
        self._generation = greedy_config(model, processor.tokenizer, max_new_tokens)
        self._eos_ids = frozenset(self._generation.eos_token_id)
        self._four_bits = decoding_weights == "int4"
        # Made and checked at the first use: it rearranges weights. None if `generate` decodes.
        self._decoder: Decoder | None = None
        self._decodes = supports(model)
        self._control_ids = frozenset(processor.tokenizer.added_tokens_decoder)
        self._template_controls = self._controls(self._chat("thing"))

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        prompt: str | PromptTemplate,
        image_size: int,
        max_new_tokens: int,
        dtype: str,
        attention: str,
        device: torch.device,
        decoding_weights: str = "full",
    ) -> "LocalReasoner":
        """Load a checkpoint folder that `weights.resolve_weights` returned.

        Args:
            folder: Weights, configuration, tokenizer and processor.
            prompt: See the class.
            image_size: See the class.
            max_new_tokens: See the class.
            dtype: Of the weights: `float32`, `bfloat16` or `float16`.
            attention: An attention implementation of transformers.
            device: Where the model computes.
            decoding_weights: See the class.

        Returns:
            The reasoner.

        Raises:
            CheckpointError: A file is missing, damaged or of another model.
            DeviceOutOfMemory: The weights don't fit.
        """
        processor = load_pretrained(AutoProcessor, folder)
        if not getattr(processor, "chat_template", None):
            raise CheckpointError(f"the processor in {folder} has no chat template")
        model = load_model(
            AutoModelForImageTextToText,
            folder,
            dtype=dtype,
            device=device,
            attn_implementation=attention,
        )
        # Without its file, transformers makes an empty tokenizer and says nothing.
        image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
        if image_token != model.config.image_token_id:
            raise CheckpointError(
                f"the tokenizer in {folder} doesn't fit the model: tokenizer.json is missing or "
                f"another model's"
            )
        vision = model.config.vision_config
        for name, of_model in _PICTURE_SIZES.items():
            ours, theirs = getattr(processor.image_processor, name), getattr(vision, of_model)
            if ours != theirs:
                raise CheckpointError(
                    f"the picture processor in {folder} doesn't fit the model: its {name} is "
                    f"{str(ours)[:40]}, the model's {of_model} is {theirs}"
                )
        if decoding_weights == "int4" and not supports_int4_decoding(model):
            raise CheckpointError(
                f"the model in {folder} can't be read in four bits: set decoding_weights to full, "
                f"or on a GPU reasoner_dtype to bfloat16"
            )
        # `generate` takes whatever its settings leave open from the model's own.
        model.generation_config = greedy_config(model, processor.tokenizer, max_new_tokens)
        return cls(
            model,
            processor,
            prompt=prompt,
            image_size=image_size,
            max_new_tokens=max_new_tokens,
            decoding_weights=decoding_weights,
        )

    def complete(
        self,
        image: NDArray[np.uint8],
        question: str,
        *,
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Completion:
        """See `Reasoner.complete`. Decoding is greedy and ends with the answer's closing tag."""
        chat = self._checked_chat(question)
        if stop is not None and stop.is_set():
            raise Cancelled("stopped before the model started")
        with translate_oom(), torch.inference_mode():
            decoder = self._checked_decoder()
            if decoder is None:
                return self._generate([image], [chat], on_text, stop)[0]
            inputs = self._prepare([squash(image, self._image_size)], [chat])
            buffer = CompletionBuffer(self._processor.tokenizer, self._eos_ids, on_text)
            for token in decoder.decode(inputs, self._generation):
                buffer.push(token)
                if stop is not None and stop.is_set():
                    raise Cancelled(f"stopped after {buffer.new_tokens} tokens")
                if buffer.is_done:
                    break
        return self._completions(inputs, [buffer])[0]

    @cached_property
    def model_size(self) -> tuple[int, int]:
        """See `Reasoner.model_size`: every picture is squashed to one size."""
        black = np.zeros((self._image_size, self._image_size, 3), np.uint8)
        return self._model_sizes(self._prepare([black], [self._chat("thing")]))[0]

    def warm_up(self) -> None:
        """See `Reasoner.warm_up`: a few tokens about a black picture."""
        with translate_oom(), torch.inference_mode():
            black = np.zeros((self._image_size, self._image_size, 3), np.uint8)
            inputs = self._prepare([black], [self._chat("thing")])
            self._require_finite(inputs)
            if decoder := self._checked_decoder():
                for _ in itertools.islice(decoder.decode(inputs, self._generation), 3):
                    pass

    def _require_finite(self, inputs: Any) -> None:
        """Raise CheckpointError if the model computes no numbers, such as beyond float16."""
        config = copy.deepcopy(self._generation)
        config.update(max_new_tokens=1, output_logits=True, return_dict_in_generate=True)
        output = self._model.generate(**inputs, generation_config=config)
        if not output.logits[0].isfinite().all():
            raise CheckpointError(
                f"the reasoner computes NaN or infinity in {self._model.dtype}: set reasoner_dtype "
                f"to bfloat16 or float32, or copy its weights again"
            )

    def complete_batch(
        self,
        images: Sequence[NDArray[np.uint8]],
        questions: Sequence[str],
        sampling: Sampling | None = None,
    ) -> list[Completion]:
        """See `Reasoner.complete_batch`. Each completion ends as that of `complete`."""
        if self._four_bits and sampling is not None:
            raise CheckpointError(
                "weights in four bits decode greedily only: set decoding_weights to full to sample"
            )
        if self._four_bits:  # which are read for one prompt at a time
            pairs = zip(images, questions, strict=True)
            return [self.complete(image, question) for image, question in pairs]
        chats = [self._checked_chat(question) for question in questions]
        return self._generate(images, chats, sampling=sampling) if chats else []

    def _generate(
        self,
        images: Sequence[NDArray[np.uint8]],
        chats: list[str],
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
        sampling: Sampling | None = None,
    ) -> list[Completion]:
        """Through transformers, which knows every model and batches of prompts."""
        with translate_oom(), torch.inference_mode():
            squashed = [squash(image, self._image_size) for image in images]
            inputs = self._prepare(squashed, chats)
            buffers = [
                CompletionBuffer(self._processor.tokenizer, self._eos_ids, on_text) for _ in chats
            ]
            criterion = _PushTokens(buffers, inputs["input_ids"].shape[1], stop)
            config = self._generation if sampling is None else self._sampling_config(sampling)
            with _seeded(sampling, self._model.device):
                self._model.generate(
                    **inputs,
                    generation_config=config,
                    stopping_criteria=StoppingCriteriaList([criterion]),
                )
        if criterion.cancelled:
            raise Cancelled(f"stopped after {buffers[0].new_tokens} tokens")
        return self._completions(inputs, buffers)

    def _sampling_config(self, sampling: Sampling) -> Any:
        config = copy.deepcopy(self._generation)
        # Without transformers' default of the 50 likeliest tokens.
        config.update(do_sample=True, temperature=sampling.temperature, top_k=0, top_p=1.0)
        return config

    def _checked_decoder(self) -> Decoder | None:
        """The decoder of one prompt at a time; None where `generate` has to do."""
        if self._decoder is None and self._decodes:
            small = np.zeros((_CHECK_SIDE, _CHECK_SIDE, 3), np.uint8)
            inputs = self._prepare([small], [self._chat("thing")])
            self._decoder = checked_decoder(
                self._model, inputs, self._generation, four_bits=self._four_bits
            )
            self._decodes = self._decoder is not None
        return self._decoder

    def _prepare(self, images: Sequence[NDArray[np.uint8]], chats: list[str]) -> Any:
        """The model's inputs for squashed pictures, on its device."""
        inputs = self._processor(
            text=chats,
            images=list(images),
            padding=True,
            padding_side="left",  # so that all prompts end together
            return_tensors="pt",
            device=self._model.device,
        )
        return inputs.to(self._model.device)

    def _completions(self, inputs: Any, buffers: Sequence[CompletionBuffer]) -> list[Completion]:
        return [
            Completion(buffer.finish(), size, buffer.new_tokens)
            for buffer, size in zip(buffers, self._model_sizes(inputs), strict=True)
        ]

    def _model_sizes(self, inputs: Any) -> list[tuple[int, int]]:
        patch = self._processor.image_processor.patch_size
        grids = inputs["image_grid_thw"].tolist()
        return [(columns * patch, rows * patch) for _, rows, columns in grids]

    def _checked_chat(self, question: str) -> str:
        chat = self._chat(question)
        if self._controls(chat) != self._template_controls:
            raise BadQuestion(
                "the question holds a control token of this model: write it otherwise"
            )
        return chat

    def _chat(self, question: str) -> str:
        chat = self._processor.apply_chat_template(
            build_messages(self._prompt, question), tokenize=False, add_generation_prompt=True
        )
        return cast(str, chat)

    def _controls(self, chat: str) -> list[int]:
        """The control tokens of a prompt, in order; a question must never add one."""
        ids = self._processor.tokenizer(chat, add_special_tokens=False)["input_ids"]
        return [token for token in ids if token in self._control_ids]


@contextmanager
def _seeded(sampling: Sampling | None, device: torch.device) -> Iterator[None]:
    """Draw from the seed, and leave the global random numbers as they were."""
    if sampling is None:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(sampling.seed)
        yield


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


class _PushTokens(StoppingCriteria):
    """Hands each generated token to its completion and says which completions have ended."""

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
        new_ids = input_ids[:, self._pushed_length :].tolist()  # (B, T) -> B lists
        for buffer, tokens in zip(self._buffers, new_ids, strict=True):
            for token in tokens:
                buffer.push(token)
        self._pushed_length = input_ids.shape[1]
        self.cancelled = self._stop is not None and self._stop.is_set()
        done = [self.cancelled or buffer.is_done for buffer in self._buffers]
        return cast(torch.BoolTensor, torch.tensor(done, device=input_ids.device))  # (B,)
