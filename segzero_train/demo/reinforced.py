"""The last stage of the demo: GRPO from its base, by the recipe that everybody can run."""

import subprocess
import sys
from pathlib import Path

from segzero_train.errors import BadData

RECIPE = "demo"


def reinforce(base: Path, run: Path, steps: int = 0) -> Path:
    """Run `python -m segzero_train.grpo --config demo` from a base, and export its best model.

    In processes of their own: MuJoCo's OpenGL and Triton don't go together in one.

    Args:
        base: The folder of the base, with its `profile.yaml`.
        run: For the training's folder `grpo` and the exported model.
        steps: Of the training; 0 for those of the recipe.

    Returns:
        The folder of the exported reasoner.

    Raises:
        BadData: A command failed or was interrupted; started again, it goes on.
    """
    exported = run / "grpo-exported"
    if not exported.exists():
        profile = str(base.resolve() / "profile.yaml")
        words = ["--config", RECIPE, "--profile", profile, "--output_dir", str(run / "grpo")]
        _run("segzero_train.grpo", *words, *(["--max_steps", str(steps)] if steps else []))
        _run("segzero_train.export", str(run / "grpo"), "--out", str(exported))
    return exported / "reasoner"


def _run(*words: str) -> None:
    if status := subprocess.run([sys.executable, "-m", *words], check=False).returncode:
        raise BadData(f"python -m {' '.join(words)} ended with {status}: the same command goes on")
