"""Tables and pictures of what the model writes while it trains: the log that people read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import TrainerCallback

from segzero import answers, coordinates, overlay
from segzero.errors import MalformedAnswer
from segzero.prompts import PROMPTS
from segzero.types import Segmentation, SegmentedObject
from segzero_train.training.rows import ModelSpace

if TYPE_CHECKING:
    from trl import GRPOTrainer

_GROUPS = 4
"""Prompts that a picture shows, each with its best and its worst completion."""


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """One completion. image: (H, W, 3) uint8; rewards: unweighted, by name."""

    question: str
    image: NDArray[np.uint8]
    completion: str
    rewards: dict[str, float]
    advantage: float


class SampledCompletions(TrainerCallback):
    """Every so many steps writes `RUN/samples/<step>.md` and `.png` of the newest rollout."""

    def __init__(self, trainer: "GRPOTrainer", space: ModelSpace, every: int) -> None:
        self._trainer = trainer
        self._space = space
        self._every = every

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero or state.global_step % self._every:
            return
        sampled = list(self._newest())
        folder = Path(args.output_dir) / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{state.global_step:06d}.md").write_text(table(sampled))
        groups = _groups(sampled, self._trainer.num_generations)[:_GROUPS]
        pictures = [
            np.hstack([self._picture(item) for item in (group[0], group[-1])]) for group in groups
        ]
        widest = max(picture.shape[1] for picture in pictures)
        padded = [np.pad(p, ((0, 4), (0, widest - p.shape[1]), (0, 0))) for p in pictures]
        Image.fromarray(np.vstack(padded)).save(folder / f"{state.global_step:06d}.png")

    def _newest(self) -> Iterator[Sampled]:
        # The trainer keeps them for its own log and has no public way to them.
        logs = self._trainer._logs
        before, after = PROMPTS[self._space.prompt].text.split("{Question}")
        for number, prompt in enumerate(logs["prompt"]):
            asked = next(p["text"] for p in prompt[-1]["content"] if p["type"] == "text")
            yield Sampled(
                question=asked.removeprefix(before).removesuffix(after),
                image=np.asarray(logs["images"][number][0]),
                completion=_text(logs["completion"][number]),
                rewards={name: values[number] for name, values in logs["rewards"].items()},
                advantage=logs["advantages"][number],
            )

    def _picture(self, item: Sampled) -> NDArray[np.uint8]:
        height, width = item.image.shape[:2]
        rewards = ", ".join(f"{name} {value:.2g}" for name, value in item.rewards.items())
        space = self._space
        try:
            objects = coordinates.to_image(
                answers.parse(item.completion, space.answer_format),
                space.coordinates,
                space.size,
                (width, height),
                space.rounding,
            ).objects
        except MalformedAnswer as error:
            objects, rewards = (), f"{rewards}; {error.reason}"
        nothing = np.zeros((height, width), bool)
        placed = tuple(
            SegmentedObject(number, each.box, each.points, nothing, 0.0)
            for number, each in enumerate(objects, start=1)
        )
        caption = f"{item.question}: {item.advantage:+.2f} ({rewards})"
        return overlay.draw(item.image, Segmentation(caption, "", "", (width, height), placed))


def table(sampled: Sequence[Sampled]) -> str:
    """A Markdown table, a line for each completion."""
    names = list(sampled[0].rewards)
    lines = [
        f"| question | completion | {' | '.join(names)} | advantage |",
        f"| --- | --- |{' ---: |' * (len(names) + 1)}",
    ]
    for item in sampled:
        numbers = " | ".join(f"{item.rewards[name]:.3g}" for name in names)
        lines.append(
            f"| {_cell(item.question)} | {_cell(item.completion)} | {numbers} | "
            f"{item.advantage:+.2f} |"
        )
    return "\n".join(lines) + "\n"


def _groups(sampled: Sequence[Sampled], size: int) -> list[list[Sampled]]:
    """The completions of each prompt, best first."""
    groups = [sampled[start : start + size] for start in range(0, len(sampled), size)]
    return [sorted(group, key=lambda item: -item.advantage) for group in groups]


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else completion[-1]["content"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
