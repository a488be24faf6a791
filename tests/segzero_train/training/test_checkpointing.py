"""The recipe that a run's folder holds."""

from pathlib import Path

import pytest

from segzero_train.errors import BadRecipe
from segzero_train.recipe import GrpoOptions, SftOptions
from segzero_train.training.checkpointing import record_recipe


def test_a_run_goes_on_after_a_reward_was_renamed(tmp_path: Path) -> None:
    record_recipe(tmp_path, [GrpoOptions(rewards=["vision_reasoner", "nothing_there=3"])])
    record_recipe(tmp_path, [GrpoOptions(rewards=["vision_reasoner", "empty_answer=3"])])


def test_other_rewards_are_another_run(tmp_path: Path) -> None:
    record_recipe(tmp_path, [GrpoOptions(rewards=["empty_answer=3"])])
    with pytest.raises(BadRecipe, match=r"rewards .*empty_answer=3.* → .*empty_answer=2"):
        record_recipe(tmp_path, [GrpoOptions(rewards=["empty_answer=2"])])


def test_the_folder_of_a_supervised_run_is_no_grpo_run(tmp_path: Path) -> None:
    record_recipe(tmp_path, [SftOptions(profile="demo")])
    with pytest.raises(BadRecipe, match="another recipe"):
        record_recipe(tmp_path, [GrpoOptions(profile="demo", rewards=["accuracy"])])
