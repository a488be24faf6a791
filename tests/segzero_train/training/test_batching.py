"""Shared prefill and bucketed log-probabilities: the results of TRL's own, except for rounding."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import set_seed
from trl import GRPOTrainer

from segzero_train.grpo import build_trainer
from segzero_train.training import preprocessing
from segzero_train.training import trainer as trainer_module
from segzero_train.training.images import distinct
from tests.segzero_train.tiny_runs import recipe

Build = Callable[..., Any]


@pytest.fixture(params=["demo", "qwen2_5_vl", "qwen3_vl"])
def profile(request: pytest.FixtureRequest) -> str | Path:
    name = request.param
    return name if name == "demo" else request.getfixturevalue(name)


@pytest.fixture(scope="module")
def build(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Trainers as the command builds them, or `plain=True`: TRL's own `GRPOTrainer`."""

    def make(profile: str | Path, plain: bool = False, **changes: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            if plain:
                patch.setattr(trainer_module, "SegZeroGRPOTrainer", GRPOTrainer)
            run = tmp_path_factory.mktemp("run")
            words = {"per_device_train_batch_size": 16, "max_completion_length": 120}
            return build_trainer(*recipe(profile, table, run, **words, **changes))

    return make


@dataclass(frozen=True)
class Pair:
    """Both trainers of one model, and the first rollout and the rewards of each."""

    fast: Any
    plain: Any
    ours: dict[str, Any]
    theirs: dict[str, Any]
    rewards: tuple[Any, Any]


@pytest.fixture(scope="module")
def make_pair(build: Build) -> Callable[[str | Path], Pair]:
    """The pair of a profile, which no test trains; made once."""

    @cache
    def make(profile: str | Path) -> Pair:
        fast, plain = build(profile), build(profile, plain=True)
        ours, theirs = scored(fast), scored(plain)
        rewards = deepcopy(fast._logs["rewards"]), deepcopy(plain._logs["rewards"])
        return Pair(fast, plain, ours, theirs, rewards)

    return make


@pytest.fixture
def pair(make_pair: Callable[[str | Path], Pair], profile: str | Path) -> Pair:
    return make_pair(profile)


@pytest.fixture
def demo(make_pair: Callable[[str | Path], Pair]) -> Pair:
    return make_pair("demo")


def batch(trainer: Any) -> list[dict[str, Any]]:
    return next(iter(trainer.get_train_dataloader()))


def scored(trainer: Any) -> dict[str, Any]:
    """The first rollout, as the loss takes it, with all its completions and rewards logged."""
    set_seed(3)
    return trainer._generate_and_score_completions(batch(trainer))


def gradient(trainer: Any, inputs: dict[str, Any]) -> tuple[float, torch.Tensor]:
    """Loss and gradient. Advantages that don't sum to zero, so that the loss isn't zero either."""
    trainer.current_gradient_accumulation_steps = 1
    advantages = torch.linspace(-1, 2, len(inputs["advantages"]))
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, inputs | {"advantages": advantages})
    loss.backward()
    parameters = [value.grad for value in trainer.model.parameters() if value.grad is not None]
    return loss.item(), torch.cat([value.flatten() for value in parameters])


@pytest.mark.slow
def test_rollouts_and_rewards_are_those_of_the_plain_trainer(pair: Pair) -> None:
    lengths = pair.theirs["completion_mask"].sum(1)
    assert len(lengths.unique()) > 1, "rows of one length prove little"
    for key in ("prompt_ids", "completion_ids", "completion_mask", "advantages"):
        assert torch.equal(pair.ours[key], pair.theirs[key]), key
    ours, theirs = pair.rewards
    assert ours == theirs


@pytest.mark.slow
def test_loss_and_gradient_are_those_of_the_plain_trainer(pair: Pair) -> None:
    loss, slope = gradient(pair.plain, pair.theirs)
    our_loss, our_slope = gradient(pair.fast, pair.theirs)
    assert abs(loss) > 1e-3
    assert our_loss == pytest.approx(loss, rel=1e-5)
    assert (our_slope - slope).norm() < 1e-4 * slope.norm()


@pytest.mark.slow
def test_probabilities_and_entropies_come_back_in_their_rows(demo: Pair) -> None:
    inputs = demo.theirs
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    images = ("pixel_values", "image_grid_thw", "mm_token_type_ids", "num_images")
    given = {key: inputs[key] for key in images}
    with torch.no_grad():
        ours, theirs = (
            trainer._get_per_token_logps_and_entropies(
                trainer.model,
                ids,
                mask,
                inputs["completion_ids"].shape[1],
                compute_entropy=True,
                **given,
            )
            for trainer in (demo.fast, demo.plain)
        )
    written = inputs["completion_mask"].bool()
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(one[written], other[written], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_reference_model_is_scored_alike(build: Build) -> None:
    fast, plain = build("demo", beta=0.1), build("demo", plain=True, beta=0.1)
    ours, theirs = scored(fast), scored(plain)
    written = theirs["completion_mask"].bool()
    one, other = ours["ref_per_token_logps"][written], theirs["ref_per_token_logps"][written]
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_greedy_answers_are_those_of_transformers(
    demo: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for trainer in (demo.fast, demo.plain):
        monkeypatch.setattr(trainer.generation_config, "do_sample", False)
    ours, theirs = scored(demo.fast), scored(demo.plain)
    assert torch.equal(ours["completion_ids"], theirs["completion_ids"])


@pytest.mark.slow
def test_beams_are_left_to_transformers(build: Build) -> None:
    beams = {"generation_kwargs": '{"num_beams": 2}'}
    fast, plain = build("demo", **beams), build("demo", plain=True, **beams)
    assert torch.equal(scored(fast)["completion_ids"], scored(plain)["completion_ids"])


@pytest.mark.slow
def test_an_image_is_encoded_once_for_all_samples(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build("demo")
    encoded = []
    encode = type(trainer.model.model.visual).forward

    def counted(self: Any, pixels: torch.Tensor, grid_thw: torch.Tensor, **options: Any) -> Any:
        encoded.append(len(grid_thw))
        return encode(self, pixels, grid_thw=grid_thw, **options)

    monkeypatch.setattr(type(trainer.model.model.visual), "forward", counted)
    trainer.train()
    # 16 samples of 4 prompts, to generate and for the loss; between them the first step compares
    # two completions' log-probabilities with TRL's.
    assert encoded == [4, 1, 2, 4]


def test_a_row_is_decoded_once_for_all_samples(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build("demo")
    decoded = []
    plain = preprocessing.training_row

    def counted(row: dict[str, Any], space: preprocessing.ModelSpace) -> dict[str, Any]:
        decoded.append(row["id"])
        return plain(row, space)

    monkeypatch.setattr(preprocessing, "training_row", counted)
    rows = batch(trainer)
    assert decoded == list(dict.fromkeys(row["id"] for row in rows))
    assert (len(rows), len(decoded)) == (16, 4)


def test_equal_tensors_are_found_wherever_they_are() -> None:
    one, two = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])  # of the same sum
    kept, which = distinct([one, two, one.clone(), torch.zeros(3), two.clone()])
    assert kept == [0, 1, 3]
    assert which.tolist() == [0, 1, 0, 2, 1]
