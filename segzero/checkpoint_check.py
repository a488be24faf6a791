"""What the files of a checkpoint tell about the settings that it was trained with.

Weights don't say how they were asked. What stands beside them may: a profile, a training recipe,
names, a model card. Each setting is reported with its evidence, or as unknown; nothing is guessed
from weights or from what the model answers.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segzero.errors import CheckpointError
from segzero.files import read_mapping
from segzero.profiles import Profile, load_profile, profile_names
from segzero.reasoning.answers import written_format

Kind = Literal["reasoner", "adapter", "segmenter", "other"]

_LONGEST_CARD = 200_000
_FAMILIES = {
    "qwen2_vl": ("Qwen2-VL", "relative_1000"),
    "qwen2_5_vl": ("Qwen2.5-VL", "absolute_pixels"),
    "qwen3_vl": ("Qwen3-VL", "relative_1000"),
}
"""Name, and what the numbers of the untrained model count."""
_SIZES = {
    ("qwen2_vl", 1536): "2B",
    ("qwen2_vl", 3584): "7B",
    ("qwen2_vl", 8192): "72B",
    ("qwen2_5_vl", 2048): "3B",
    ("qwen2_5_vl", 3584): "7B",
    ("qwen2_5_vl", 5120): "32B",
    ("qwen2_5_vl", 8192): "72B",
    ("qwen3_vl", 2048): "2B",
    ("qwen3_vl", 2560): "4B",
    ("qwen3_vl", 4096): "8B",
    ("qwen3_vl", 5120): "32B",
}
_NAMES = {
    "seg-zero-7b": re.compile(r"seg[-_ ]?zero", re.IGNORECASE),
    "vision-reasoner-7b": re.compile(r"vision[-_ ]?reasoner", re.IGNORECASE),
}
"""The authors' checkpoints, by the profile that has their prompt."""
_BASE = re.compile(r"(qwen[\d.]+-vl)-\d+b", re.IGNORECASE)
_HUB_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_SEGMENTER = re.compile(r"\bfacebook/sam2[\w.]*-hiera-[\w-]*\w")


@dataclass(frozen=True, slots=True)
class Finding:
    """A setting of a profile and how it is known.

    Attributes:
        value: As a profile has it; None if the files don't tell.
        evidence: What tells it, or why it isn't known.
    """

    value: str | int | None
    evidence: str


@dataclass(frozen=True, slots=True)
class CheckpointReport:
    """What the files of a checkpoint tell.

    Attributes:
        folder: The checkpoint.
        kind: What it is; `other` is of no use here.
        model: Its architecture and size.
        settings: By the profile's key; empty if it is neither a reasoner nor an adapter of one.
        profiles: Shipped profiles that fit, the best first.
        notes: What else should be known before use, one line each.
    """

    folder: Path
    kind: Kind
    model: str
    settings: dict[str, Finding]
    profiles: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A profile whose prompt the checkpoint has, and why; `whole` if all its settings hold."""

    profile: Profile
    evidence: str
    whole: bool


def check_checkpoint(folder: Path) -> CheckpointReport:
    """Read the small files of a checkpoint. Its weights are not read.

    Args:
        folder: As `from_pretrained` of transformers or PEFT takes it.

    Returns:
        What they tell.

    Raises:
        CheckpointError: There is no such folder, or no readable configuration in it.
    """
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}: name the folder of a checkpoint")
    folder = folder.resolve()
    config, adapter = (_read_json(folder / f"{name}config.json") for name in ("", "adapter_"))
    if not config and not adapter:
        raise CheckpointError(
            f"{folder} has neither config.json nor adapter_config.json: name the folder that holds "
            f"the files of a model"
        )
    base = str(adapter.get("base_model_name_or_path") or "")
    model_type = str(config.get("model_type") or _family_of(base))
    if model_type in ("sam2", "sam2_video"):
        return _check_segmenter(folder, config, model_type)
    model = _model(config, model_type) if config else f"an adapter of {base or 'an unnamed model'}"
    if model_type not in _FAMILIES and config:
        known = " and ".join(name for name, _ in _FAMILIES.values())
        return CheckpointReport(folder, "other", model, {}, (), (f"reasoners here are {known}",))
    source = _source(folder, config, base)
    settings = dict(_settings(folder, model_type, source))
    notes = tuple(_notes(folder, config, adapter=bool(adapter)))
    kind: Kind = "adapter" if adapter else "reasoner"
    return CheckpointReport(folder, kind, model, settings, _fitting(settings, source), notes)


def _check_segmenter(folder: Path, config: dict[str, Any], model_type: str) -> CheckpointReport:
    profiles = [load_profile(name) for name in profile_names()]
    named = tuple(profile.name for profile in profiles if _is_here(profile.segmenter, folder))
    follows = "follows objects" if model_type == "sam2_video" else "can't follow objects"
    size = _nested(config, "prompt_encoder_config", "image_size")
    model = "SAM 2" + (f" for {size} px" if size else "")
    note = f"it {follows}; any profile can name it under `segmenter`"
    return CheckpointReport(folder, "segmenter", model, {}, named, (note,))


def _source(folder: Path, config: dict[str, Any], base: str) -> _Source | None:
    """The best evidence for a prompt: what was written down, then names, then the card's text."""
    shipped = [load_profile(name) for name in profile_names()]
    for profile in shipped:
        if not profile.server and _is_here(profile.reasoner, folder):
            return _Source(profile, f"the profile {profile.name} names this checkpoint", True)
    if written := _written_down(folder):
        return written
    card = _card(folder)
    title = "\n".join(
        re.findall(r"(?m)^(?:#[^#].*|base_model:.*(?:\n\s*- .*)*|model_name:.*)", card)
    )
    hub = _HUB_CACHE.search(str(folder))
    name_of_folder = hub.group(2) if hub else folder.name
    # Only the folder: a fine-tune's config.json, too, names the model that it began from.
    for profile in shipped:
        if Path(profile.reasoner).name.lower() == name_of_folder.lower():
            untrained = ", which is an untrained model's" if _is_base(profile) else ""
            return _Source(profile, f"its folder's name{untrained}", False)
    for text, evidence in (
        (name_of_folder, "its folder's name"),
        (str(config.get("_name_or_path", "")), "_name_or_path in config.json"),
        (base, "base_model_name_or_path in adapter_config.json"),
        (title, "the title or base_model of its model card"),
    ):
        names = [name for name, pattern in _NAMES.items() if pattern.search(text)]
        if len(names) == 1:
            return _Source(load_profile(names[0]), evidence, False)
    if layout := written_format(card):
        name = "seg-zero-7b" if layout == "seg_zero" else "vision-reasoner-7b"
        return _Source(load_profile(name), f"the keys of {layout} in its model card", False)
    return None


def _written_down(folder: Path) -> _Source | None:
    """From `profile.yaml` or `recipe.yaml`, as training and export of this project write them."""
    for file in (folder / "profile.yaml", folder.parent / "profile.yaml"):
        if file.is_file() and _is_here((profile := load_profile(file)).reasoner, folder):
            return _Source(profile, f"{file.name} beside it", True)
    for file in (folder / "recipe.yaml", folder.parent / "recipe.yaml"):
        if file.is_file():
            name = read_mapping(file, "recipe", CheckpointError).get("profile")
            if name and (name in profile_names() or _is_file(str(name))):
                return _Source(load_profile(str(name)), f"profile in {file.name} beside it", True)
    return None


def _settings(
    folder: Path, model_type: str, source: _Source | None
) -> Iterator[tuple[str, Finding]]:
    for key in ("prompt", "answer_format", "rounding", "image_size"):
        if source:
            yield key, Finding(getattr(source.profile, key), source.evidence)
        else:
            yield key, Finding(None, "no profile, recipe, name or model card tells it")
    family = _FAMILIES.get(model_type)
    if source and source.whole:
        yield "coordinates", Finding(source.profile.coordinates, source.evidence)
        yield "segmenter", Finding(source.profile.segmenter, source.evidence)
        return
    if family:
        evidence = f"{family[0]} counts so, unless it was trained on something else"
        yield "coordinates", Finding(family[1], evidence)
    else:
        yield "coordinates", Finding(None, "the model isn't named")
    segmenters = sorted(set(_SEGMENTER.findall(_card(folder))))
    if len(segmenters) == 1:
        yield "segmenter", Finding(segmenters[0], "its model card")
    else:
        yield "segmenter", Finding(None, "any SAM 2 takes boxes and points")


def _fitting(settings: dict[str, Finding], source: _Source | None) -> tuple[str, ...]:
    if source is None:
        return ()
    keys = ("prompt", "answer_format", "rounding", "image_size", "coordinates")
    fitting = [
        name
        for name in profile_names()
        if not (profile := load_profile(name)).server
        and all(getattr(profile, key) == settings[key].value for key in keys)
    ]
    first = source.profile.name
    return tuple(
        sorted(fitting, key=lambda name: (name != first, _is_base(load_profile(name)), name))
    )


def _notes(folder: Path, config: dict[str, Any], *, adapter: bool) -> Iterator[str]:
    if adapter:
        yield "an adapter: `python -m segzero_train.export` merges it with its base"
    elif method := _nested(
        _read_json(folder / "config.json"), "quantization_config", "quant_method"
    ):
        yield f"its weights are quantized ({method}): they can only be served"
    elif not any(folder.glob("*.safetensors")):
        yield "there are no safetensors: only these are loaded"
    tokenizer = _read_json(folder / "tokenizer_config.json")
    if not adapter and not (
        "chat_template" in tokenizer
        or any((folder / f"chat_template.{kind}").is_file() for kind in ("jinja", "json"))
    ):
        yield "there is no chat template: copy that of its base"
    generation = _read_json(folder / "generation_config.json")
    if generation.get("repetition_penalty", 1.0) != 1.0:
        penalty = generation["repetition_penalty"]
        yield f"generation_config.json sets a repetition penalty of {penalty}, which counts"
    picture = _read_json(folder / "preprocessor_config.json")
    largest = picture.get("max_pixels") or _nested(picture, "size", "longest_edge")
    if isinstance(largest, int) and largest < 840 * 840:
        yield f"its processor shrinks pictures to {largest} pixels; the authors' have 840x840"


def _model(config: dict[str, Any], model_type: str) -> str:
    name, _ = _FAMILIES.get(model_type, (model_type or "a model without a type", ""))
    width = _nested(config, "text_config", "hidden_size") or config.get("hidden_size")
    size = _SIZES.get((model_type, width)) if isinstance(width, int) else None
    return f"{name} {size}" if size else f"{name} of hidden size {width}" if width else name


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # too long for a name
        return False


def _is_base(profile: Profile) -> bool:
    """Whether the reasoner is a model as it comes, without training on segmentation."""
    return _BASE.match(Path(profile.reasoner).name) is not None


def _family_of(name: str) -> str:
    """The model type that goes with a name such as Qwen/Qwen2.5-VL-7B-Instruct."""
    match = _BASE.search(name)
    family = match.group(1).lower() if match else ""
    return next((kind for kind, (known, _) in _FAMILIES.items() if known.lower() == family), "")


def _is_here(weights: str, folder: Path) -> bool:
    """Whether a profile's weights are this folder, or this snapshot of the Hub's cache."""
    if Path(weights).is_absolute():
        return Path(weights).resolve() == folder
    hub = _HUB_CACHE.search(str(folder))
    return hub is not None and weights.partition("@")[0] == "/".join(hub.groups())


def _card(folder: Path) -> str:
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_CARD)
    except OSError:
        return ""


def _nested(content: dict[str, Any], outer: str, inner: str) -> Any:
    part = content.get(outer)
    return part.get(inner) if isinstance(part, dict) else None


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a file, empty if there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} can't be read ({error}): copy the checkpoint again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object: copy the checkpoint again")
    return content
