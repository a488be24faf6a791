"""Tables and pictures of the completions that a model writes while it trains."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from segzero import overlay
from segzero.reasoning.answers import format_answer
from segzero.reasoning.prompts import TRAINING_PROMPTS
from segzero.types import Box, GroundedObject, Segmentation, SegmentedObject
from segzero_train.datasets.solutions import parse_solution
from segzero_train.rewards import RewardContext, RewardFunction

if TYPE_CHECKING:
    from trl import GRPOTrainer

_GROUPS = 4
"""Prompts that a picture shows, each with its best and its worst completion."""


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """One completion of a rollout.

    Attributes:
        question: As the dataset has it.
        solution: The true answer, in the coordinates that the model writes.
        image: (H, W, 3) uint8 RGB.
        completion: The text that the model wrote.
        rewards: Unweighted, by name.
        advantage: Of the completion within its group.
    """

    question: str
    solution: str
    image: NDArray[np.uint8]
    completion: str
    rewards: dict[str, float]
    advantage: float


class SampledCompletions(TrainerCallback):
    """Every so many steps writes `RUN/samples/<step>.md` and `.png` of the newest rollout.

    The picture, in which true boxes are white, goes to TensorBoard too. The rewards must be logged
    by `with_solutions`.
    """

    def __init__(
        self, trainer: "GRPOTrainer", context: RewardContext, prompt: str, every: int
    ) -> None:
        """Remember what to write.

        Args:
            trainer: The one whose rollouts are written.
            context: Places the objects of a completion in the image.
            prompt: A key of `segzero.reasoning.prompts.TRAINING_PROMPTS`.
            every: Steps from one table to the next.
        """
        self._trainer: Any = trainer
        self._context = context
        self._prompt = prompt
        self._every = every

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the newest rollout, if it is time."""
        if not state.is_world_process_zero or state.global_step % self._every:
            return
        sampled = list(self._newest())
        folder = Path(args.output_dir) / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{state.global_step:06d}.md").write_text(table(sampled))
        groups = _groups(sampled, self._trainer.num_generations)[:_GROUPS]
        pictures = [
            _joined([self._picture(item) for item in (group[0], group[-1])], axis=1)
            for group in groups
        ]
        picture = _joined(pictures, axis=0)
        Image.fromarray(picture).save(folder / f"{state.global_step:06d}.png")
        for callback in self._trainer.callback_handler.callbacks:
            if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
                step = state.global_step
                callback.tb_writer.add_image("samples", picture, step, dataformats="HWC")

    def _newest(self) -> Iterator[Sampled]:
        # The trainer keeps them for its own log and has no public way to them.
        logs = self._trainer._logs
        before, after = TRAINING_PROMPTS[self._prompt].text.split("{Question}")
        for number, prompt in enumerate(logs["prompt"]):
            asked = next(p["text"] for p in prompt[-1]["content"] if p["type"] == "text")
            yield Sampled(
                question=asked.removeprefix(before).removesuffix(after),
                solution=logs["extra"]["solution"][number],
                image=np.asarray(logs["images"][number][0]),
                completion=_text(logs["completion"][number]),
                rewards={name: values[number] for name, values in logs["rewards"].items()},
                advantage=logs["advantages"][number],
            )

    def _picture(self, item: Sampled) -> NDArray[np.uint8]:
        height, width = item.image.shape[:2]
        size = (width, height)
        rewards = ", ".join(f"{name} {value:.2g}" for name, value in item.rewards.items())
        objects = self._context.placed(item.completion, size)
        if objects is None:
            rewards += "; malformed"
        nothing = np.zeros((height, width), bool)
        placed = tuple(
            SegmentedObject(number, each.box or Box.around(each.points), each.points, nothing, 0.0)
            for number, each in enumerate(objects or (), start=1)
        )
        image = _with_boxes(item.image, self._context.placed(_as_answer(item, self._context), size))
        caption = f"{item.question}: {item.advantage:+.2f} ({rewards})"
        return overlay.draw(image, Segmentation(caption, "", "", size, placed))


def with_solutions(reward: RewardFunction) -> RewardFunction:
    """The reward, which also logs each completion's true answer for the samples.

    Args:
        reward: Of a run's rewards, the first.

    Returns:
        A function of the same name and values.
    """

    @wraps(reward)
    def logged(
        completions: Sequence[Any], solution: Sequence[str], log_extra: Any = None, **columns: Any
    ) -> list[float]:
        if log_extra is not None:
            log_extra("solution", list(solution))
        return reward(completions=completions, solution=solution, **columns)

    return logged


def table(sampled: Sequence[Sampled]) -> str:
    """A Markdown table with a line for each completion; there must be at least one."""
    names = list(sampled[0].rewards)
    lines = [
        f"| question | truth | completion | {' | '.join(names)} | advantage |",
        f"| --- | --- | --- |{' ---: |' * (len(names) + 1)}",
    ]
    for item in sampled:
        numbers = " | ".join(f"{item.rewards[name]:.3g}" for name in names)
        lines.append(
            f"| {_cell(item.question)} | {_cell(item.solution)} | {_cell(item.completion)} | "
            f"{numbers} | {item.advantage:+.2f} |"
        )
    return "\n".join(lines) + "\n"


def _as_answer(item: Sampled, context: RewardContext) -> str:
    objects = parse_solution(item.solution)
    return format_answer("", objects, context.completion_format.answer_format)


def _with_boxes(
    image: NDArray[np.uint8], objects: Sequence[GroundedObject] | None
) -> NDArray[np.uint8]:
    """The image with the objects' boxes in white."""
    drawn = image.copy()
    for item in objects or ():
        box = item.box or Box.around(item.points)
        corners = (int(box.x1), int(box.y1)), (int(box.x2), int(box.y2))
        cv2.rectangle(drawn, *corners, (255, 255, 255), 2)
    return drawn


def _groups(sampled: Sequence[Sampled], size: int) -> list[list[Sampled]]:
    """The completions of each prompt, best first."""
    groups = [sampled[start : start + size] for start in range(0, len(sampled), size)]
    return [sorted(group, key=lambda item: -item.advantage) for group in groups]


def _joined(pictures: Sequence[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    """The pictures below each other (axis 0) or side by side (1); captions differ in height."""
    longest = max(picture.shape[1 - axis] for picture in pictures)
    filled = []
    for picture in pictures:
        missing = [(0, 4), (0, 4), (0, 0)]
        missing[1 - axis] = (0, longest - picture.shape[1 - axis])
        filled.append(np.pad(picture, missing))
    return np.concatenate(filled, axis)


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else completion[-1]["content"]


def _cell(text: str) -> str:
    return " ".join(text.splitlines()).replace("|", "\\|").replace("<", "&lt;")
