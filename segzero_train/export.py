"""`python -m segzero_train.export RUN --out DIR`: a trained model for `segzero` and the node.

Writes `DIR/reasoner`, a plain Hugging Face folder (adapters merged, DeepSpeed's shards joined), and
`DIR/profile.yaml` beside it, which `segzero ask --profile` takes. A run's best checkpoint by the
greedy evaluation is taken if it kept one, else its last; a checkpoint's folder is taken as it is.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError

from segzero.errors import CheckpointError
from segzero.files import read_mapping, written_whole
from segzero.profiles import Profile, resource_root
from segzero.terminal import escape_unprintable, one_line_errors
from segzero_train.recipe import TaskOptions
from segzero_train.runs import BadRun, checkpoints


def export(checkpoint: Path, base: Profile, out: Path) -> Path:
    """Write the model of a checkpoint to a new folder, whole or not at all.

    Args:
        checkpoint: The checkpoint's folder.
        base: The profile that the training started from. All but its reasoner stays as it is;
            weights are saved in its `reasoner_dtype`.
        out: The new folder.

    Returns:
        The path of the written profile.

    Raises:
        CheckpointError: Something is missing, half-written or damaged.
        OSError: `out` exists or can't be written.
    """
    if out.exists():
        raise FileExistsError(f"{out} is there already: remove it or choose another folder")
    from transformers import AutoProcessor

    from segzero.pretrained import load_pretrained

    folder = checkpoint.resolve()
    model = _load(folder, base)
    # Without this file, transformers makes an empty tokenizer and says nothing.
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(f"{folder / 'tokenizer.json'} is missing: export another checkpoint")
    processor = load_pretrained(AutoProcessor, folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as partial:
        model.save_pretrained(partial / "reasoner")
        processor.save_pretrained(partial / "reasoner")
        (partial / "profile.yaml").write_text(_profile_text(base, folder), encoding="utf-8")
        if (folder / "README.md").is_file():
            shutil.copy(folder / "README.md", partial / "README.md")
    return out / "profile.yaml"


def find_checkpoint(run: Path, which: str | None = None) -> Path:
    """The folder of the checkpoint that is meant.

    Args:
        run: A run's folder or a checkpoint's.
        which: `best`, `last` or a step. None takes the best of a run, or else its last complete
            one, or else the folder itself.

    Returns:
        An existing folder.

    Raises:
        BadRun: There is none.
    """
    from segzero_train.training.checkpointing import last_checkpoint

    if not run.is_dir():
        raise BadRun(f"there is no run {run}: name the folder that training wrote to")
    steps = checkpoints(run)
    if which is None:
        best = run / "best"
        return best if best.is_dir() else last_checkpoint(run) or run
    if which == "best":
        found: Path | None = run / "best"
    elif which == "last":
        found = last_checkpoint(run)
    else:
        found = steps.get(int(which)) if which.isdecimal() else None
    if found is None or not found.is_dir():
        there = ["best"] if (run / "best").is_dir() else []
        there += [str(step) for step in steps]
        raise BadRun(
            f"{run} has no whole checkpoint {which!r}; it has {', '.join(there) or 'none at all'}"
        )
    return found


def starting_point(run: Path, profile: str | None = None) -> Profile:
    """The profile and the weights that a run, or the run around a checkpoint, started from.

    Args:
        run: A run's folder or a checkpoint's, whose `recipe.yaml` names both.
        profile: Used instead of the one in `recipe.yaml`.

    Returns:
        The profile, with these weights as its reasoner.

    Raises:
        BadRun: Neither names a profile.
        CheckpointError: There is no such profile.
    """
    from segzero_train.training.model import base_profile

    files = [folder / "recipe.yaml" for folder in (run, run.resolve().parent)]
    file = next(filter(Path.is_file, files), None)
    recipe = read_mapping(file, "recipe", BadRun) if file else {}
    name = profile or recipe.get("profile")
    if not name:
        raise BadRun(f"no recipe.yaml in or above {run} names a profile: add --profile, the base's")
    return base_profile(TaskOptions(profile=str(name), weights=str(recipe.get("weights") or "")))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    escape_unprintable()
    parser = argparse.ArgumentParser(prog="python -m segzero_train.export", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, or a checkpoint's")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--checkpoint", metavar="WHICH", help="of a run: best, last or a step")
    parser.add_argument(
        "--profile", help="what the training started from (default: as the run recorded)"
    )
    options = parser.parse_args(arguments)
    with one_line_errors(
        SafetensorError, OSError, interrupted="interrupted; nothing was written"
    ) as outcome:
        checkpoint = find_checkpoint(options.run, options.checkpoint)
        base = starting_point(options.run, options.profile)
        profile = export(checkpoint, base, options.out)
        print(f"{checkpoint} → {profile}")
    return outcome.status


def _load(folder: Path, base: Profile) -> Any:
    """The trained model on the CPU, from whatever kind of checkpoint this is."""
    import torch
    from transformers import AutoModelForImageTextToText

    from segzero.pretrained import load_model
    from segzero.weights import resolve_weights

    cpu = torch.device("cpu")
    adapter = (folder / "adapter_config.json").is_file()
    if not adapter and (folder / "latest").is_file() and not any(folder.glob("*.safetensors")):
        return _join_shards(folder, base.reasoner_dtype)
    weights = (
        resolve_weights(base.reasoner, base.name)
        if adapter
        else resolve_weights(str(folder), base.name)
    )
    model = load_model(AutoModelForImageTextToText, weights, dtype=base.reasoner_dtype, device=cpu)
    return _merge_adapter(model, folder) if adapter else model


def _merge_adapter(model: Any, folder: Path) -> Any:
    from peft import PeftModel
    from safetensors import safe_open

    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: export another checkpoint or train it again")
    try:
        with safe_open(file, framework="pt") as stored:
            names = set(stored.keys())
        adapted = PeftModel.from_pretrained(model, str(folder))
        if lacking := _adapter_names(adapted) - names:
            raise ValueError(f"it lacks {len(lacking)} tensors, such as {min(lacking)}")
        return adapted.merge_and_unload(safe_merge=True)
    except Exception as error:  # peft raises whatever its parts raise
        raise CheckpointError(
            f"the adapter {folder} can't be merged: {type(error).__name__}: {error}"
        ) from error


def _adapter_names(adapted: Any) -> set[str]:
    from peft import get_peft_model_state_dict

    return set(get_peft_model_state_dict(adapted))


def _join_shards(folder: Path, dtype: str) -> Any:
    """The model of a DeepSpeed ZeRO checkpoint that was saved without gathering the weights."""
    import torch
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
    from transformers import AutoConfig, AutoModelForImageTextToText

    from segzero.pretrained import load_pretrained

    model = AutoModelForImageTextToText.from_config(load_pretrained(AutoConfig, folder))
    try:
        with redirect_stdout(sys.stderr):
            weights = get_fp32_state_dict_from_zero_checkpoint(str(folder))
        missing = model.load_state_dict(weights, strict=False).missing_keys
    except Exception as error:  # a missing or cut-off shard fails in many ways
        raise CheckpointError(
            f"the DeepSpeed shards in {folder} can't be joined: {type(error).__name__}: {error}"
        ) from error
    model.tie_weights()
    if missing := sorted(set(missing) - set(model.all_tied_weights_keys)):
        raise CheckpointError(
            f"the DeepSpeed shards in {folder} lack {len(missing)} tensors, such as {missing[0]}"
        )
    return model.to(getattr(torch, dtype))


def _profile_text(base: Profile, checkpoint: Path) -> str:
    content: dict[str, Any] = asdict(base)
    segmenter, root = Path(base.segmenter), resource_root()
    if segmenter.is_relative_to(root):  # wherever segzero is installed
        content["segmenter"] = str(segmenter.relative_to(root))
    content["summary"] = f"{checkpoint.parent.name}/{checkpoint.name}, trained from {base.name}"
    content["reasoner"] = "reasoner"
    del content["name"], content["server"]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(main())
