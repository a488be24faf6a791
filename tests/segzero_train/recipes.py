"""The shipped GRPO recipes, and recipes as the command reads them."""

from pathlib import Path
from typing import Any

from trl import GRPOConfig

from segzero_train.recipe import GrpoOptions, read_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "config" / "grpo").glob("*.yaml"))


def read(*words: str) -> tuple[GrpoOptions, Any]:
    """The options of a command line."""
    # Without GPU, transformers refuses bf16, which is of no interest here.
    options, config = read_recipe((GrpoOptions, GRPOConfig), [*words, "--use_cpu", "true"])
    return options, config


def shipped(name: str) -> tuple[GrpoOptions, Any]:
    """The options of a shipped recipe."""
    return read("--config", str(ROOT / "config" / "grpo" / f"{name}.yaml"))
