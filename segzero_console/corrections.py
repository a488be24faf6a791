"""Objects of a correction: checked, drawn by the models, or taken from what was found."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segzero.checks import check_prompt
from segzero.errors import BadPrompt
from segzero.types import ObjectPrompt, SegmentedObject
from segzero_console.backend import Backend
from segzero_console.frames import Picture
from segzero_console.messages import Result, ShownObject, pack_result
from segzero_console.requests import PromptedObject
from segzero_console.results import ResultStore
from segzero_console.tracks import draw_ids


def read_prompts(objects: Sequence[PromptedObject], picture: Picture) -> list[ObjectPrompt]:
    """The prompts of objects that are all shown by a box or points; raises BadPrompt."""
    prompts = [item.prompt for item in objects if item.prompt]
    if len(prompts) < len(objects):
        raise BadPrompt("an object needs a box or points here")
    _check(prompts, picture)
    return prompts


def draw(
    backend: Backend, request: str, picture: Picture, objects: Sequence[PromptedObject]
) -> bytes:
    """Draw objects; takes a while, raises SegZeroError.

    Returns:
        The message `refined`: the k-th object has id k.
    """
    found = backend.segment(picture, read_prompts(objects, picture))
    numbered = [replace(item, id=place) for place, item in enumerate(found, start=1)]
    result = Result(
        stamp=picture.stamp,
        state="answered",
        request=request,
        objects=tuple(map(_shown, numbered)),
        mask=draw_ids(numbered, picture.size),
    )
    return pack_result(result, "refined")


def masks_of(
    backend: Backend, results: ResultStore, picture: Picture, objects: Sequence[PromptedObject]
) -> list[NDArray[np.bool_]]:
    """The mask of each object: drawn as it is shown, or as it was found.

    Takes a while, raises SegZeroError.
    """
    prompts = [item.prompt for item in objects if item.prompt]
    _check(prompts, picture)
    drawn = iter(backend.segment(picture, prompts) if prompts else ())
    stored = results.find(picture.stamp)
    known = [item.id for item in stored.result.objects if not item.lost] if stored else []
    masks = []
    for item in objects:
        if item.prompt:
            masks.append(next(drawn).mask)
        elif stored and item.id in known:
            masks += stored.masks([item.id])
        else:
            raise BadPrompt(f"there is no object {item.id} in that frame")
    return masks


def _check(prompts: Sequence[ObjectPrompt], picture: Picture) -> None:
    for place, prompt in enumerate(prompts, start=1):
        check_prompt(place, prompt, picture.size)


def _shown(item: SegmentedObject) -> ShownObject:
    box = (item.box.x1, item.box.y1, item.box.x2, item.box.y2)
    return ShownObject(item.id, 0, "", item.label, box, item.score)
