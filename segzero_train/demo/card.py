"""The model card beside the demo's weights."""

import math
from pathlib import Path
from typing import Any

from safetensors import safe_open

from segzero.files import write_text_whole
from segzero_train.demo.base import THOUGHTFUL
from segzero_train.evaluation.paper_tables import with_interval
from segzero_train.evaluation.scores import named_rows

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: image-segmentation
---
# segzero demo

Two small models that know one thing: the simulated tabletop of `segzero_sim`. They exist so that
the whole of segzero runs on a laptop without a GPU or a network. On photographs they are useless.

- `reasoner/`: Qwen3-VL architecture, {reasoner} parameters, own tokenizer, {side} px pictures;
  coordinates relative to 1000; prompt and answer format `vision_reasoner`.
- `base/`: the same reasoner before GRPO, with a profile. It can think, but seldom does.
- `segmenter/`: SAM2 architecture (video checkpoint), small Hiera, {segmenter} parameters,
  {side} px, with a video memory; object pointers carry no time, as in SAM 2.0.

## How they were made

`python -m segzero_train.demo`, from scratch, on {scenes} rendered scenes of one to five objects
(balls, boxes, cylinders, cones and mugs in six colours):

| stage | steps | what |
| --- | --- | --- |
| segmenter | {segmenter_steps} | masks for jittered boxes with one or two points |
| memory | {memory_steps} | masks followed in up to 12 frames of {clips} clips; the rest frozen |
| looking | {looking_steps} | the vision tower: at each place, which shape, colour, box and point |
| writing | {writing_steps} | next tokens of "what stands where, which of it matches, answer" |
| naming | {naming_steps} | the same, vision tower frozen, three questions of category 1 a picture |
| matching | {matching_steps} | likewise with questions of all categories |
| base | {base_steps} | likewise; a thought in {thoughtful:.0%} of the answers, else an empty one |
| GRPO | {grpo_steps} | `config/grpo/demo.yaml`: reward alone, from `base/` to `reasoner/` |

The last stage is the method of Seg-Zero: the base seldom thinks, and reward teaches it to.

## What they score

{questions} questions of the tabletop's test split, of scenes with two to five objects
(`python -m segzero_train.evaluate --profile demo --split test -n {questions}`). Intervals are of
95 %, the convention is `{convention}`:

| | n | gIoU | cIoU |
| --- | --- | --- | --- |
{rows}

Categories: 1 names, 2 comparisons and relations, 3 reasoning, 4 several objects, 5 no object.
*Segmenter alone* is given the true boxes and points. Malformed completions: {malformed}.

How well the memory follows: `python benchmarks/follow_tabletop.py`.

## What they can't do

- Anything off this tabletop, and other objects than the five shapes in six colours.
- More than five objects reliably.
- Questions in other words than `segzero_sim.questions` uses
  (`python -m segzero_train.evaluate --split phrasings` measures how badly).
"""


def write_card(folder: Path, options: dict[str, Any], figures: dict[str, Any], side: int) -> None:
    """Write the model card, `folder/README.md`.

    Args:
        folder: Holds `reasoner/` and `segmenter/`.
        options: Of the command that trained them.
        figures: `scores.report` of an evaluation.
        side: Of the models' input in pixels.
    """
    text = _CARD.format(
        thoughtful=THOUGHTFUL,
        reasoner=_parameters(folder / "reasoner"),
        segmenter=_parameters(folder / "segmenter"),
        side=side,
        rows="\n".join(_row(name, row) for name, row in named_rows(figures)),
        convention=figures["convention"],
        malformed=figures["malformed"],
        **{key: value for key, value in options.items() if isinstance(value, int)}
        | {"grpo_steps": options["grpo_steps"] or "as there"},
    )
    write_text_whole(folder / "README.md", text)


def _row(name: str, row: dict[str, Any]) -> str:
    cells = [with_interval(row, metric) or "–" for metric in ("giou", "ciou")]
    return f"| {name} | {row['n']} | {' | '.join(cells)} |"


def _parameters(folder: Path) -> str:
    """Such as "3.3 M", counted in the folder's safetensors."""
    count = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118  (not a dict)
                count += math.prod(weights.get_slice(name).get_shape())
    return f"{count / 1e6:.1f} M"
