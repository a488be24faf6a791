"""Profiles: which weights to load, and the settings that they were trained with.

A profile is a YAML file. It names the weights of reasoner and segmenter, and states the prompt,
answer format and coordinate convention that the reasoner was trained with. A wrong one of these
costs accuracy without any error. The shipped profiles are `config/profiles/<name>.yaml`.
"""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from segzero.errors import CheckpointError
from segzero.files import read_mapping
from segzero.hub_names import is_hub_name
from segzero.reasoning.answers import AnswerFormat
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.coordinates import Coordinates, Rounding
from segzero.reasoning.prompts import PROMPTS
from segzero.reasoning.server_url import split_credentials

Dtype = Literal["float32", "bfloat16", "float16"]
Adapter = Literal["transformers", "meta"]
DecodingWeights = Literal["full", "int4"]
Drafts = Literal["none", "answer_format"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A reasoner and a segmenter with their settings.

    Attributes:
        name: As given to `load_profile`: a shipped name, or the path of a YAML file.
        summary: One line that describes the profile.
        reasoner: Weights: an absolute folder or a Hub name, `owner/name` or with a commit, tag or
            branch, `owner/name@revision`.
        segmenter: Weights, likewise.
        prompt: A key of `prompts.PROMPTS`.
        answer_format: The layout of the answer, see `segzero.reasoning.answers`.
        coordinates: What the numbers in the answer count, see `segzero.reasoning.coordinates`.
        rounding: How scaled coordinates become whole pixels.
        image_size: Side in pixels of the square that the image is resized to for the reasoner.
        max_new_tokens: Length of the longest completion, in tokens.
        reasoner_dtype: Type of the reasoner's weights.
        segmenter_dtype: Type of the segmenter's weights.
        attention: The reasoner's attention implementation in transformers.
        decoding_weights: `int4` decodes with the layers' weights rounded to four bits; the prompt
            is read with the full ones. This is faster, takes a quarter more memory and is a little
            less accurate. It needs a reasoner that runs here.
        drafts: `answer_format` guesses the answer's next tokens from its layout and verifies them
            together: the same text in fewer steps. On a CPU in float32 it gained nothing.
        votes: Answers to a question, of which the greedy one names the objects and all vote on
            their pixels; 1: no vote. The others are sampled, which takes their time.
        segmenter_adapter: The library that runs the segmenter.
        server: Address of an OpenAI chat API, such as `http://localhost:8000/v1`, that runs the
            reasoner; `reasoner` is then the model's name there. Empty: the reasoner runs here.
    """

    name: str
    summary: str
    reasoner: str
    segmenter: str
    prompt: str
    answer_format: AnswerFormat
    coordinates: Coordinates
    rounding: Rounding
    image_size: int = 840
    max_new_tokens: int = 1024
    reasoner_dtype: Dtype = "bfloat16"
    segmenter_dtype: Dtype = "bfloat16"
    attention: str = "sdpa"
    decoding_weights: DecodingWeights = "full"
    drafts: Drafts = "none"
    votes: int = 1
    segmenter_adapter: Adapter = "transformers"
    server: str = ""

    @property
    def completion_format(self) -> CompletionFormat:
        """How the reasoner's completions are read and written."""
        return CompletionFormat(self.answer_format, self.coordinates, self.rounding)


_LARGEST = {"image_size": 4096, "max_new_tokens": 32768, "votes": 64}
_PATCHES = 28
"""Qwen2.5-VL's processor makes the sides of an image multiples of this, in pixels."""


def resource_root() -> Path:
    """Find the folder that holds `config/profiles` and `checkpoints`.

    Returns:
        The package's folder if it is installed, else the root of the source tree.

    Raises:
        CheckpointError: Neither holds them.
    """
    package = Path(__file__).resolve().parent
    for folder in (package, package.parent):
        if (folder / "config" / "profiles").is_dir():
            return folder
    raise CheckpointError(f"no config/profiles in or above {package}: install segzero again")


def profile_names() -> list[str]:
    """The names of the shipped profiles, sorted."""
    return sorted(path.stem for path in (resource_root() / "config" / "profiles").glob("*.yaml"))


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a profile.

    Args:
        name_or_path: A shipped profile's name, or the path of a YAML file. Folders of weights in
            the file may be relative to the file or to `resource_root()`.

    Returns:
        The profile, with absolute folders.

    Raises:
        CheckpointError: There is no such profile, or it isn't complete and valid.
    """
    path = Path(name_or_path)
    root = resource_root()
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_path) not in profile_names():
            raise CheckpointError(
                f"there is no profile {str(name_or_path)!r}: name one of "
                f"{', '.join(profile_names())}, or the path of a YAML file"
            )
        path = root / "config" / "profiles" / f"{name_or_path}.yaml"
    profile = _build(
        path, read_mapping(path, "profile", CheckpointError, unique=True), str(name_or_path)
    )
    bases = (path.resolve().parent, root)
    return replace(
        profile,
        reasoner=profile.reasoner if profile.server else _resolve(profile.reasoner, bases),
        segmenter=_resolve(profile.segmenter, bases),
    )


def _build(path: Path, content: dict[str, Any], name: str) -> Profile:
    known = {field.name: field.type for field in fields(Profile) if field.name != "name"}
    if unknown := sorted(str(key) for key in content if key not in known):
        raise CheckpointError(f"the profile {path} has unknown keys: {', '.join(unknown)}")
    for key, value in content.items():
        expected = int if known[key] is int else str
        if type(value) is not expected or (isinstance(value, int) and value < 1):
            kind = "a positive whole number" if expected is int else "a text"
            raise CheckpointError(f"{key} in the profile {path} must be {kind}, not {value!r}")
        if key in ("reasoner", "segmenter") and not str(value).strip():
            raise CheckpointError(f"{key} in the profile {path} is empty: name weights")
        if isinstance(value, int) and value > _LARGEST[key]:
            raise CheckpointError(
                f"{key} in the profile {path} is {value}: at most {_LARGEST[key]} is possible"
            )
        choices = tuple(PROMPTS) if key == "prompt" else get_args(known[key])
        if choices and value not in choices:
            raise CheckpointError(
                f"{key} in the profile {path} is {value!r}, not one of {', '.join(choices)}"
            )
    try:
        profile = Profile(name=name, **content)
    except TypeError as error:
        raise CheckpointError(f"the profile {path} is incomplete: {error}") from error
    if profile.server:
        _check_served(path, profile)
    return profile


def _check_served(path: Path, profile: Profile) -> None:
    shown, _ = split_credentials(profile.server)
    secretless = shown.partition("?")[0]
    try:
        address = urlsplit(profile.server)
        usable = (
            address.scheme in ("http", "https")
            and address.hostname
            and address.port != 0
            and not re.search(r"[\s?#]|/chat/completions/*$", shown)
        )
    except ValueError:
        usable = False
    if not usable:
        raise CheckpointError(
            f"server in the profile {path} is {secretless!r}, not an address such as "
            f"http://localhost:8000/v1"
        )
    for key, default in (("decoding_weights", "full"), ("drafts", "none")):
        if getattr(profile, key) != default:
            raise CheckpointError(
                f"{key} in the profile {path} is for models that run here: leave it out, and set "
                f"the server at {shown} as you want"
            )
    if profile.coordinates == "absolute_pixels" and profile.image_size % _PATCHES:
        raise CheckpointError(
            f"image_size in the profile {path} is {profile.image_size}: for absolute_pixels on a "
            f"server it must be a multiple of {_PATCHES}, or the server's processor resizes the "
            f"image and nobody knows what its pixels count"
        )


def _resolve(weights: str, bases: tuple[Path, ...]) -> str:
    """An absolute folder, which may be missing, or the Hub name as it stands."""
    try:
        for base in bases:
            if (folder := base / Path(weights).expanduser()).is_dir():
                return str(folder)
    except (OSError, RuntimeError) as error:  # too long; no such user's home
        raise CheckpointError(f"{weights[:100]!r} can't name weights: {error}") from error
    if is_hub_name(weights.partition("@")[0], (*bases, Path())):
        return weights
    return str(bases[-1] / Path(weights).expanduser())
