"""TRL's trainers with this project's model card; GRPO also with faster generation."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from trl import GRPOTrainer, SFTTrainer

from segzero_train.training.generation import shared_prefill
from segzero_train.training.logprobs import bucketed_logprobs
from segzero_train.training.model import base_model, needs_synced_generation
from segzero_train.training.model_card import WithModelCard


class SegZeroSFTTrainer(WithModelCard, SFTTrainer):
    """`SFTTrainer` with this project's model card."""


class SegZeroGRPOTrainer(WithModelCard, GRPOTrainer):
    """`GRPOTrainer` for groups of samples that share a prompt with one image.

    Generation prefills a prompt once for all its samples, and log-probabilities are computed in
    buckets of about equal length. Rollouts, loss and gradient are those of `GRPOTrainer`, except
    for rounding.
    """

    def shared_prefill(self) -> AbstractContextManager[None]:
        """Within the returned context, the model's `generate` prefills equal prompts once.

        Nothing changes where all processes must generate in step, as under ZeRO-3 without gathered
        weights.
        """
        return nullcontext() if needs_synced_generation(self) else shared_prefill(self._policy())

    def _policy(self) -> Any:
        return base_model(self.accelerator.unwrap_model(self.model))

    def _generate_single_turn(self, *inputs: Any, **named: Any) -> Any:
        with self.shared_prefill():
            return super()._generate_single_turn(*inputs, **named)

    def _get_per_token_logps_and_entropies(self, model: Any, *inputs: Any, **named: Any) -> Any:
        # `model` is the policy or the reference model.
        with bucketed_logprobs(base_model(self.accelerator.unwrap_model(model))):
            return super()._get_per_token_logps_and_entropies(model, *inputs, **named)
