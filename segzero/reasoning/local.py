"""A reasoning model in this process, through transformers (Qwen2.5-VL, Qwen3-VL and others)."""

import copy
import itertools
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import StoppingCriteriaList

from segzero.devices import computes_bfloat16, translate_oom
from segzero.errors import BadQuestion, Cancelled, CheckpointError
from segzero.reasoning.answers import AnswerFormat
from segzero.reasoning.checkpoint import load_checkpoint
from segzero.reasoning.completion_text import CompletionBuffer
from segzero.reasoning.decoder import Decoder, supports, supports_int4_decoding
from segzero.reasoning.decoder_check import checked_decoder
from segzero.reasoning.drafts import Drafts
from segzero.reasoning.generation import PushTokens, greedy_config, sampling_config, seeded
from segzero.reasoning.prompts import MAX_QUESTION, PromptTemplate, build_messages
from segzero.reasoning.reasoner import Completion, Images, OnText, Sampling, Stop
from segzero.reasoning.squash import squash

_LOG = logging.getLogger(__name__)
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
        answer_format: What the answer's next tokens are guessed from, to write the same in fewer
            steps; None guesses nothing.
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
        answer_format: AnswerFormat | None = None,
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
        self._drafts = Drafts(processor.tokenizer, answer_format) if answer_format else None
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
        answer_format: AnswerFormat | None = None,
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
            answer_format: See the class.

        Returns:
            The reasoner.

        Raises:
            CheckpointError: A file is missing, damaged or of another model.
            DeviceOutOfMemory: The weights don't fit.
        """
        model, processor = load_checkpoint(folder, dtype=dtype, attention=attention, device=device)
        if decoding_weights == "int4" and not supports_int4_decoding(model):
            raise CheckpointError(
                f"the model in {folder} can't be read in four bits: set decoding_weights to full, "
                f"or on a GPU reasoner_dtype to bfloat16"
            )
        if decoding_weights == "int4" and not computes_bfloat16(device):
            _LOG.warning(
                "decoding_weights int4 can take ten times as long as full here: this processor "
                "computes no bfloat16; set it to full"
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
            answer_format=answer_format,
        )

    def complete(
        self, image: NDArray[np.uint8], question: str, *, on_text: OnText = None, stop: Stop = None
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
            for token in decoder.decode(inputs, self._generation, self._drafts):
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
                # A character is one token at most, but in scripts that are rare.
                longest = inputs["input_ids"].shape[1] + MAX_QUESTION
                decoder.reserve(longest + self._generation.max_new_tokens)
                if self._drafts:
                    self._drafts.least = decoder.least_draft()
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
        self, images: Images, questions: Sequence[str], sampling: Sampling | None = None
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
        images: Images,
        chats: list[str],
        on_text: OnText = None,
        stop: Stop = None,
        sampling: Sampling | None = None,
    ) -> list[Completion]:
        """Through transformers, which knows every model and batches of prompts."""
        with translate_oom(), torch.inference_mode():
            squashed = [squash(image, self._image_size) for image in images]
            inputs = self._prepare(squashed, chats)
            buffers = [
                CompletionBuffer(self._processor.tokenizer, self._eos_ids, on_text) for _ in chats
            ]
            criterion = PushTokens(buffers, inputs["input_ids"].shape[1], stop)
            config = (
                self._generation
                if sampling is None
                else sampling_config(self._generation, sampling)
            )
            with seeded(sampling, self._model.device):
                self._model.generate(
                    **inputs,
                    generation_config=config,
                    stopping_criteria=StoppingCriteriaList([criterion]),
                )
        if criterion.cancelled:
            raise Cancelled(f"stopped after {buffers[0].new_tokens} tokens")
        return self._completions(inputs, buffers)

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

    def _prepare(self, images: Images, chats: list[str]) -> Any:
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
