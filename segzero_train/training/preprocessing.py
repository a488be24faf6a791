"""From a dataset's rows to what a trainer needs: prompt, squashed image, solution in model units.

Images are squashed as at inference, and solutions are rewritten into the coordinates and the style
that the profile's model writes, so that rewards compare like with like.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from segzero.errors import BadQuestion
from segzero.profiles import Profile
from segzero.reasoning.answers import LAYOUTS
from segzero.reasoning.completion_format import CompletionFormat
from segzero.reasoning.coordinates import to_model
from segzero.reasoning.prompts import TRAINING_PROMPTS, build_messages
from segzero.reasoning.squash import squash
from segzero.types import Answer, GroundedObject
from segzero_train.datasets.columns import (
    check_mask,
    mask_objects,
    row_category,
    row_image,
    row_mask,
    row_name,
    row_objects,
    row_question,
    row_target,
)
from segzero_train.datasets.loading import undecoded
from segzero_train.datasets.masks import mask_image
from segzero_train.datasets.solutions import format_solution
from segzero_train.errors import BadData, BadRecipe
from segzero_train.training.checked_rows import checked_once

if TYPE_CHECKING:
    from datasets import Dataset

_NAMED = 5
"""Bad rows that an error message names before it only counts them."""


@dataclass(frozen=True, slots=True)
class ModelSpace:
    """What the trained model reads and writes.

    Attributes:
        prompt: A key of `segzero.reasoning.prompts.TRAINING_PROMPTS`.
        completion_format: What numbers and keys in a completion mean.
        side: Images are squashed to side x side pixels.
        size: (width, height) in pixels of the image that the processor makes of that.
    """

    prompt: str
    completion_format: CompletionFormat
    side: int
    size: tuple[int, int]


def model_space(profile: Profile, processor: Any) -> ModelSpace:
    """The profile's conventions, with the image size that its processor really uses.

    Args:
        profile: The profile of the trained model.
        processor: Its processor, of transformers.

    Returns:
        Both in one.
    """
    blank = Image.new("RGB", (profile.image_size, profile.image_size))
    processed = processor.image_processor(images=[blank], return_tensors="pt")
    _, rows, columns = processed["image_grid_thw"][0].tolist()  # in patches
    patch = processor.image_processor.patch_size
    return ModelSpace(
        prompt=profile.prompt,
        completion_format=profile.completion_format,
        side=profile.image_size,
        size=(columns * patch, rows * patch),
    )


def training_space(space: ModelSpace, prompt: str) -> ModelSpace:
    """The space with another prompt to train with.

    Args:
        space: Of the profile.
        prompt: A key of `segzero.reasoning.prompts.TRAINING_PROMPTS`; empty for the profile's.

    Returns:
        The space, with this prompt.

    Raises:
        BadRecipe: There is no such prompt.
    """
    if prompt and prompt not in TRAINING_PROMPTS:
        raise BadRecipe(f"training_prompt: {prompt!r} is none of {', '.join(TRAINING_PROMPTS)}")
    return replace(space, prompt=prompt or space.prompt)


def training_rows(
    dataset: "Dataset",
    space: ModelSpace,
    processor: Any,
    max_prompt_length: int,
    once: Callable[[Callable[[], list[int]]], list[int]] = lambda check: check(),
) -> "Dataset":
    """The dataset with every row rewritten when it is read; see `training_row`.

    Every row is tried first, unless the same rows were tried before. Rows with longer prompts are
    left out; their number goes to stderr.

    Args:
        dataset: In the columns of `segzero_train.datasets.columns`.
        space: What the trained model reads and writes.
        processor: The model's, of transformers.
        max_prompt_length: In tokens, image included.
        once: Calls its argument, on one of several processes, and returns the result to all.

    Returns:
        A dataset of the same columns, with a transform.

    Raises:
        BadData: Some rows can't be used, which the message names; or no prompt is short enough.
    """
    check = partial(_check_all, dataset, space, processor)
    lengths = once(partial(checked_once, check, undecoded(dataset), processor, space))
    fitting = [number for number, length in enumerate(lengths) if length <= max_prompt_length]
    if not fitting:
        raise BadData(
            f"every prompt is longer than {max_prompt_length} tokens (the shortest has "
            f"{min(lengths)}): raise max_prompt_length or use smaller images"
        )
    if dropped := len(dataset) - len(fitting):
        print(f"{dropped} of {len(dataset)} rows left out: prompt too long", file=sys.stderr)
        dataset = dataset.select(fitting)
    return undecoded(dataset).with_transform(partial(_rewrite, space=space))


def training_row(row: Mapping[str, Any], space: ModelSpace) -> dict[str, Any]:
    """Rewrite one row for training.

    Args:
        row: In the columns of `segzero_train.datasets.columns`.
        space: What the trained model reads and writes.

    Returns:
        `id`, `category`, `prompt` (messages), `image` (PIL, side x side), `solution` in the model's
        units; `mask` (PIL, side x side, ids), `thinking` and `target` (in the model's units) where
        the dataset has them.

    Raises:
        BadData: The row can't be used; the message names it.
    """
    pixels = row_image(row)  # (H, W, 3)
    ids = _row_ids(row)
    # Published evaluation rows have a mask alone.
    objects = row_objects(row) if "solution" in row or ids is None else mask_objects(ids)
    size, side = (pixels.shape[1], pixels.shape[0]), (space.side, space.side)
    rewritten: dict[str, Any] = {
        "id": row_name(row),
        "category": row_category(row) or "all",
        "prompt": _messages(row, space),
        "image": Image.fromarray(squash(pixels, space.side)),
        "solution": _solution(row, objects, size, space),
    }
    if ids is not None:
        check_mask(row, pixels.shape[:2], ids, objects)
        squashed = cv2.resize(ids, side, interpolation=cv2.INTER_NEAREST)
        rewritten["mask"] = mask_image(np.asarray(squashed, np.uint8))
    if "thinking" in row:
        rewritten["thinking"] = row["thinking"]
    if "target" in row:
        imitated = row_target(row, size)
        rewritten["target"] = _solution(row, objects if imitated is None else imitated, size, space)
    return rewritten


def _row_ids(row: Mapping[str, Any]) -> NDArray[np.uint8] | None:
    """The row's mask, (H, W); None for datasets without masks."""
    if "mask" not in row:
        return None
    if row["mask"] is None:
        raise BadData(f"row {row_name(row)}: its mask is missing")
    return row_mask(row)


def _rewrite(batch: Mapping[str, Sequence[Any]], space: ModelSpace) -> dict[str, list[Any]]:
    count = len(next(iter(batch.values())))
    stored = [{key: batch[key][i] for key in batch} for i in range(count)]
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(stored):
        # The samples of a prompt come one after the other, each with a copy of its row.
        again = number and row == stored[number - 1]
        rows.append(rows[-1] if again else training_row(row, space))
    return {key: [row[key] for row in rows] for key in rows[0]}


def _check_all(dataset: "Dataset", space: ModelSpace, processor: Any) -> list[int]:
    """Length of every row's prompt in tokens; raises BadData naming the rows that can't be used."""
    columns = set(dataset.column_names)
    if (missing := {"problem", "solution", "image"} - columns) and {"text", "mask"} - columns:
        raise BadData(
            f"the dataset lacks the columns {', '.join(sorted(missing))}; it has "
            f"{', '.join(dataset.column_names)}"
        )
    if not len(dataset):
        raise BadData("the dataset has no rows")
    merged = processor.image_processor.merge_size**2
    patches = (space.size[0] * space.size[1]) // processor.image_processor.patch_size**2
    image_tokens = patches // merged
    raw = undecoded(dataset)
    bad: list[str] = []

    def length(number: int) -> int:
        try:
            row = training_row(raw[number], space)
        except BadData as error:
            bad.append(str(error))
            return 0
        text = processor.apply_chat_template(
            row["prompt"], tokenize=False, add_generation_prompt=True
        )
        return len(processor.tokenizer(text)["input_ids"]) + image_tokens - 1

    with ThreadPoolExecutor() as pool:
        jobs = pool.map(length, range(len(raw)))
        lengths = list(tqdm(jobs, total=len(raw), desc="check rows", unit="row", leave=False))
    if bad:
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        named = "; ".join(sorted(bad)[:_NAMED])
        raise BadData(
            f"{len(bad)} of {len(raw)} rows can't be used: {named}{more}. "
            f"Prepare the dataset again, or leave these rows out"
        )
    return lengths


def _messages(row: Mapping[str, Any], space: ModelSpace) -> list[dict[str, Any]]:
    try:
        return build_messages(TRAINING_PROMPTS[space.prompt], row_question(row))
    except BadQuestion as error:
        raise BadData(f"row {row_name(row)}: {error}") from error


def _solution(
    row: Mapping[str, Any],
    objects: tuple[GroundedObject, ...],
    image_size: tuple[int, int],
    space: ModelSpace,
) -> str:
    ground_truth = Answer(reasoning="", objects=objects, text="")
    written = space.completion_format
    scaled = to_model(ground_truth, written.coordinates, space.size, image_size)
    try:
        return format_solution(scaled.objects, LAYOUTS[written.answer_format].keys)
    except ValueError as error:
        raise BadData(f"row {row_name(row)}: {error}, which this profile's model needs") from error
