"""The model card of a trained reasoner: data, prompt, coordinates and licences."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from segzero import __version__
from segzero.hub_names import is_hub_name
from segzero.licences import LICENCES, UNKNOWN
from segzero.profiles import Profile
from segzero.reasoning.prompts import PROMPTS
from segzero_train.training.run_record import DataRecord, RunRecord, describe_run

_KEPT = ("prompt", "answer_format", "coordinates", "rounding", "image_size", "max_new_tokens")


class WithModelCard:
    """A trainer of transformers that writes this card wherever it saves a model.

    Attributes:
        card: The text, set after the trainer is made.
    """

    card: str = ""

    def create_model_card(self, *inputs: Any, **named: Any) -> None:
        """Write the card into the run's folder, which `push_to_hub` uploads."""
        trainer: Any = self
        self._write_card(trainer.args.output_dir)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model with its card."""
        base: Any = super()
        base.save_model(output_dir, _internal_call)
        trainer: Any = self
        self._write_card(output_dir or trainer.args.output_dir)

    def _write_card(self, folder: str) -> None:
        trainer: Any = self
        if trainer.is_world_process_zero():
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / "README.md").write_text(self.card, encoding="utf-8")


def model_card(method: str, profile: Profile, data: Sequence[DataRecord]) -> str:
    """Write the card.

    Args:
        method: How the model was trained, such as `GRPO`.
        profile: The trained model's, with the weights that training started from.
        data: The rows to train on, then those held out.

    Returns:
        The text of a README.md, with the Hub's metadata on top.
    """
    base = profile.reasoner
    head: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
        "tags": ["segzero", "reasoning-segmentation", method.lower().replace(" ", "-")],
    }
    if is_hub_name(base):
        head |= {"base_model": base, "license": LICENCES.get(base, "unknown")}
    if public := [record.source for record in data if is_hub_name(record.source)]:
        head["datasets"] = public
    settings = {key: value for key, value in asdict(profile).items() if key in _KEPT}
    written = yaml.safe_dump(
        {"summary": f"trained by {method} from {base}", "reasoner": "reasoner"}
        | {"segmenter": profile.segmenter}
        | settings,
        sort_keys=False,
    )
    rows = "\n".join(
        f"| {use} | `{record.source}` | {record.split} | {record.rows} | `{record.fingerprint}` |"
        for use, record in zip(("training", "held out"), data, strict=False)
    )
    licences = "\n".join(
        f"| `{name}` | {LICENCES.get(name, UNKNOWN)} |"
        for name in dict.fromkeys([base, profile.segmenter, *(record.source for record in data)])
    )
    return f"""---
{yaml.safe_dump(head, sort_keys=False)}---

# A reasoner for segzero

Trained by {method} from `{base}` with segzero {__version__}. It reads an image and a question and
writes its reasoning, boxes and points. The segmenter `{profile.segmenter}` draws masks from them.

## How to ask it

It was trained on exactly this prompt, these coordinates and this image size. Others cost accuracy
without any error.

```yaml
{written}```

{_COORDINATES[profile.coordinates]} The image is first squashed to {profile.image_size}×\
{profile.image_size} pixels. The user's turn is the image, then:

```text
{PROMPTS[profile.prompt].text}
```

`python -m segzero_train.export RUN --out DIR` writes such a profile beside the weights, and
`segzero ask photo.jpg "…" --profile DIR/profile.yaml` asks.

## Data

| for | source | split | rows | fingerprint |
| --- | --- | --- | --- | --- |
{rows}

## Licences

| part | licence |
| --- | --- |
{licences}
"""


def record_run(trainer: Any, method: str, profile: Profile, data: Sequence[DataRecord]) -> None:
    """Make a trainer write `run.json` and its model card.

    Args:
        trainer: With a WithModelCard.
        method: How the model is trained, such as `GRPO`.
        profile: With the weights that training starts from.
        data: The rows to train on, then those held out.
    """
    trainer.card = model_card(method, profile, data)
    processes = trainer.accelerator.num_processes
    trainer.add_callback(RunRecord(describe_run(profile.reasoner, data, processes)))


_COORDINATES = {
    "absolute_pixels": "Coordinates count pixels of the image that the processor makes.",
    "relative_1000": "Coordinates run from 0 to 1000 over the image's width and height.",
}
