"""Next-token losses of the demo's reasoner."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from segzero.reasoning.prompts import build_messages
from segzero_train.datasets.tabletop_texts import ANSWER_FORMAT, MATCH
from segzero_train.datasets.tabletop_texts import GRID as NUMBER_GRID
from segzero_train.demo.lessons import GRID, MERGE, Lesson
from segzero_train.demo.loop import Losses, half_autocast
from segzero_train.demo.tokenizer import ANSWER_START, LARGEST_NUMBER

_SPREAD = 5.0
"""Standard deviation of the soft targets of coordinates, which range over 1000."""


def number_ids(tokenizer: Any) -> list[int]:
    """Token ids of 0, 1, …, LARGEST_NUMBER."""
    ids = [tokenizer(str(n))["input_ids"] for n in range(LARGEST_NUMBER + 1)]
    return [number for (number,) in ids]


class Writer:
    """Encodes lessons as token ids and computes the losses of a model's next tokens.

    Args:
        processor: Of the model.
        device: Of the model.
    """

    def __init__(self, processor: Qwen3VLProcessor, device: torch.device) -> None:
        self._device = device
        self._tokenizer = processor.tokenizer
        self._grid = torch.tensor([[1, GRID, GRID]], device=device)
        (self._match,) = self._tokenizer(MATCH)["input_ids"]
        (self._answer,) = self._tokenizer(ANSWER_START)["input_ids"]
        self._image_tokens = "<|image_pad|>" * (GRID // MERGE) ** 2
        self._numbers = torch.tensor(number_ids(self._tokenizer), device=device)
        self._value = torch.full((len(self._tokenizer),), -1, device=device)
        self._value[self._numbers] = torch.arange(LARGEST_NUMBER + 1, device=device)
        values = torch.arange(LARGEST_NUMBER + 1, device=device, dtype=torch.float32)
        near = torch.exp(-0.5 * ((values[:, None] - values) / _SPREAD) ** 2)  # (1001, 1001)
        # Training answers use a grid of values; only those get probability.
        near = near * (values % NUMBER_GRID == 0)
        self._near = near / near.sum(-1, keepdim=True)

    def look(self, model: Qwen3VLForConditionalGeneration, lesson: Lesson) -> Any:
        """Encode the lesson's pictures; returns what the model's `get_image_features` returns."""
        pictures = len(lesson.patches) // GRID**2
        with half_autocast(self._device):
            return model.model.get_image_features(
                lesson.patches.to(self._device), self._grid.expand(pictures, 3)
            )

    def losses(
        self,
        model: Qwen3VLForConditionalGeneration,
        lesson: Lesson,
        seen: Any,
        listing: float = 1.0,
    ) -> Losses:
        """Losses of the next tokens.

        Args:
            model: The reasoner.
            lesson: The texts.
            seen: Features of the lesson's pictures, from `look`.
            listing: Weight of the list of objects at the start of a thought.

        Returns:
            The parts of the loss.
        """
        ids, targets, weights = self._encode(lesson.texts, listing)  # (B, L) each
        questions = len(lesson.texts) // len(seen.pooler_output)
        features = replace(
            seen,
            pooler_output=_repeated(seen.pooler_output, questions),
            deepstack_features=[_repeated(f, questions) for f in seen.deepstack_features],
        )
        with half_autocast(self._device):
            hidden = model.model(
                input_ids=ids,
                mm_encoder_outputs={"image": features},
                image_grid_thw=self._grid.expand(len(ids), 3),
                mm_token_type_ids=(ids == model.config.image_token_id).int(),
            ).last_hidden_state  # (B, L, D)
        written = targets >= 0  # (B, L), N of them true
        logits = model.lm_head(hidden[written].float())  # (N, V)
        return self._text_losses(logits, targets[written], weights[written])

    def _text_losses(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> Losses:
        value = self._value[targets]  # (N,), -1 where the target isn't a number
        logps = functional.log_softmax(logits, dim=-1)  # (N, V)
        word = -logps.gather(-1, targets[:, None])[:, 0]  # (N,)
        numbers = value >= 0  # (N,), K of them true
        near = self._near[value[numbers]]  # (K, 1001)
        number = -(logps[numbers][:, self._numbers] * near).sum(-1)  # (K,)
        weights = weights / weights.sum()
        return {
            "word": (word * weights)[~numbers].sum(),
            "number": (number * weights[numbers]).sum(),
        }

    def _encode(
        self, texts: list[tuple[str, str]], listing: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, L) token ids, padded on the right, next tokens, -1 where not written, and weights."""
        rows, goals, weights = [], [], []
        for question, answer in texts:
            chat = self._tokenizer.apply_chat_template(
                build_messages(ANSWER_FORMAT, question), tokenize=False, add_generation_prompt=True
            ).replace("<|image_pad|>", self._image_tokens)
            prompt = self._tokenizer(chat)["input_ids"]
            written = [*self._tokenizer(answer)["input_ids"], self._tokenizer.eos_token_id]
            rows.append(prompt + written[:-1])
            goals.append([-1] * (len(prompt) - 1) + written)
            # The tokens that say which object is meant are few, and the most important.
            end = written.index(self._answer)
            start = written.index(self._match) if self._match in written else end
            weights.append(
                [listing] * (len(prompt) - 1 + start)
                + [4.0] * (end - start)
                + [1.0] * (len(written) - end)
            )
        return (
            self._pad(rows, self._tokenizer.pad_token_id),
            self._pad(goals, -1),
            self._pad(weights, 0.0),
        )

    def _pad(self, rows: list[list[Any]], value: float) -> torch.Tensor:
        longest = max(map(len, rows))
        padded = [row + [value] * (longest - len(row)) for row in rows]
        return torch.tensor(padded, device=self._device)


def _repeated(items: Sequence[torch.Tensor], times: int) -> list[torch.Tensor]:
    return [item for item in items for _ in range(times)]
