"""TRL's trainers with this project's model card; GRPO also with faster generation."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from trl import GRPOTrainer, SFTTrainer
from trl.models.utils import disable_gradient_checkpointing

from segzero_train.training.checkpointing import WholeCheckpoints
from segzero_train.training.fast_path import difference, first_rows, missing_argument, verdict
from segzero_train.training.generation import shared_prefill
from segzero_train.training.kl import clamp_reference
from segzero_train.training.logprobs import bucketed_logprobs
from segzero_train.training.model import base_model, needs_synced_generation
from segzero_train.training.model_card import WithModelCard
from segzero_train.training.selection import keep_extremes


class SegZeroSFTTrainer(WholeCheckpoints, WithModelCard, SFTTrainer):
    """`SFTTrainer` with this project's model card."""


class SegZeroGRPOTrainer(WholeCheckpoints, WithModelCard, GRPOTrainer):
    """`GRPOTrainer` for groups of samples that share a prompt with one image.

    Generation prefills a prompt once for all its samples, and log-probabilities are computed in
    buckets of about equal length. Rollouts, loss and gradient are those of `GRPOTrainer`, except
    for rounding. Before the first update both ways are compared on two completions; if they differ,
    or this transformers lacks what the fast one needs, TRL's own are taken, and a line says so.

    With a `kl_limit` the KL estimate of a token is clamped, as the authors do.
    With `kept_generations`, a step trains on the best and the worst completions of a question.

    Attributes:
        kl_limit: The largest estimate; 0 leaves it as it is.
        kept_generations: How many completions of a question stay; 0 for all.
    """

    kl_limit: float = 0.0
    kept_generations: int = 0
    _loss_inputs: dict[str, Any] | None = None
    _fast_logprobs: bool | None = None
    _generates_fast: bool | None = None

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """The loss of a micro-batch."""
        self._loss_inputs = dict(inputs)
        try:
            return super().compute_loss(model, self._loss_inputs, *more, **named)
        finally:
            self._loss_inputs = None

    def shared_prefill(self) -> AbstractContextManager[None]:
        """Within the returned context, the model's `generate` prefills equal prompts once.

        Nothing changes where all processes must generate in step, as under ZeRO-3 without gathered
        weights, or where transformers lacks what it needs.
        """
        if self._generates_fast is None:
            self._generates_fast = missing_argument(self._policy()) is None
        if needs_synced_generation(self) or not self._generates_fast:
            return nullcontext()
        return shared_prefill(self._policy())

    def _policy(self) -> Any:
        return base_model(self.accelerator.unwrap_model(self.model))

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        model, group = cast(Any, self.model), cast(int, self.num_generations)
        if not self.kept_generations or not model.training:
            return scored
        scale = self.scale_rewards == "group"
        kept = keep_extremes(scored, group, self.kept_generations, scale)
        written = kept["completion_mask"].sum()
        return {**kept, "num_items_in_batch": self.accelerator.gather(written).sum()}

    def _generate_single_turn(self, *inputs: Any, **named: Any) -> Any:
        with self.shared_prefill():
            return super()._generate_single_turn(*inputs, **named)

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, **named: Any
    ) -> Any:
        inputs = (input_ids, attention_mask, logits_to_keep)
        if self._fast_logprobs is None:
            self._fast_logprobs = self._checked(model, *inputs, **named)
        found = self._logprobs(model, *inputs, fast=self._fast_logprobs, **named)
        batch = self._loss_inputs
        if self.kl_limit and batch is not None and "ref_per_token_logps" in batch:
            reference = batch["ref_per_token_logps"]
            batch["ref_per_token_logps"] = clamp_reference(found[0], reference, self.kl_limit)
        return found

    def _logprobs(self, model: Any, *inputs: Any, fast: bool, **named: Any) -> Any:
        # `model` is the policy or the reference model.
        inner = base_model(self.accelerator.unwrap_model(model))
        with bucketed_logprobs(inner) if fast else nullcontext():
            return super()._get_per_token_logps_and_entropies(model, *inputs, **named)

    def _checked(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, **named: Any
    ) -> bool:
        """Whether the fast path gives the plain path's values; the same on all processes."""
        if missing := missing_argument(self._policy()):
            self._say(f"log-probabilities: plain path, because {missing}")
            return False
        few = first_rows(input_ids, {"attention_mask": attention_mask, **named})
        few["compute_entropy"] = False
        ids, mask = few.pop("input_ids"), few.pop("attention_mask")
        checkpointing = cast(Any, self.args.gradient_checkpointing_kwargs)
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(model, checkpointing),
        ):
            fast, plain = (
                self._logprobs(model, ids, mask, logits_to_keep, fast=way, **few)[0]
                for way in (True, False)
            )
        apart = difference(fast, plain, mask[:, -logits_to_keep:].bool())
        largest = self.accelerator.gather(torch.tensor([apart], device=ids.device)).max()
        equal, line = verdict(float(largest), self._computes_in())
        self._say(line)
        return equal

    def _computes_in(self) -> torch.dtype:
        mixed = {"bf16": torch.bfloat16, "fp16": torch.float16}
        dtype: torch.dtype = self._policy().dtype
        return mixed.get(self.accelerator.mixed_precision, dtype)

    def _say(self, line: str) -> None:
        if self.accelerator.is_main_process:
            print(line, file=sys.stderr, flush=True)
