"""TRL's trainers with this project's model card; GRPO also with faster generation."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from trl import GRPOTrainer, SFTTrainer

from segzero_train.training.generation import shared_prefill
from segzero_train.training.kl import clamp_reference
from segzero_train.training.logprobs import bucketed_logprobs
from segzero_train.training.model import base_model, needs_synced_generation
from segzero_train.training.model_card import WithModelCard
from segzero_train.training.selection import keep_extremes


class SegZeroSFTTrainer(WithModelCard, SFTTrainer):
    """`SFTTrainer` with this project's model card."""


class SegZeroGRPOTrainer(WithModelCard, GRPOTrainer):
    """`GRPOTrainer` for groups of samples that share a prompt with one image.

    Generation prefills a prompt once for all its samples, and log-probabilities are computed in
    buckets of about equal length. Rollouts, loss and gradient are those of `GRPOTrainer`, except
    for rounding. With a `kl_limit` the KL estimate of a token is clamped, as the authors do.

    With `kept_generations`, a step trains on the best and the worst completions of a question.

    Attributes:
        kl_limit: The largest estimate; 0 leaves it as it is.
        kept_generations: How many completions of a question stay; 0 for all.
    """

    kl_limit: float = 0.0
    kept_generations: int = 0
    _loss_inputs: dict[str, Any] | None = None

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
        weights.
        """
        return nullcontext() if needs_synced_generation(self) else shared_prefill(self._policy())

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

    def _get_per_token_logps_and_entropies(self, model: Any, *inputs: Any, **named: Any) -> Any:
        # `model` is the policy or the reference model.
        with bucketed_logprobs(base_model(self.accelerator.unwrap_model(model))):
            found = super()._get_per_token_logps_and_entropies(model, *inputs, **named)
        batch = self._loss_inputs
        if self.kl_limit and batch is not None and "ref_per_token_logps" in batch:
            reference = batch["ref_per_token_logps"]
            batch["ref_per_token_logps"] = clamp_reference(found[0], reference, self.kl_limit)
        return found
