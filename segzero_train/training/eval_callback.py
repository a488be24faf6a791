"""Greedy evaluation while training: gIoU and reward on held-out questions; the best is kept.

TRL's own evaluation samples at the training temperature, and the last checkpoint is seldom the
best one.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from tqdm import tqdm
from transformers import GenerationConfig, Trainer, TrainerCallback
from trl.data_utils import prepare_multimodal_messages
from trl.models import unwrap_model_for_generation

from segzero.errors import MalformedAnswer
from segzero.files import write_text_whole
from segzero.metrics import Overlap, overlap
from segzero.reasoning.completion_text import ANSWER_END
from segzero.reasoning.generation import greedy_config
from segzero_train.datasets.columns import row_question, row_to_sample
from segzero_train.errors import BadData
from segzero_train.rewards import RewardContext
from segzero_train.training.eval_scores import Scored, sampled_summary, summary

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import GRPOTrainer


SAMPLED_QUESTIONS = 32
"""How many of the held-out questions are sampled; with 8 samples, as much as two steps write."""


class GreedyEvaluation(TrainerCallback):
    """Evaluates before the first step, every so many steps and at the end; logs `eval_greedy/…`.

    With `samples`, it also answers some questions several times at the training temperature and
    logs `eval_sampled/…`; see `sampled_summary`.

    gIoU is that of `segzero_train.evaluate`: with the profile's longest completion, on the original
    size of picture and mask. Each question's scores go to `RUN/greedy/<step>.json`, and the model
    with the highest gIoU so far to `RUN/best`.
    """

    def __init__(
        self,
        trainer: "GRPOTrainer",
        rows: "Dataset",
        context: RewardContext,
        *,
        every: int,
        batch: int,
        max_new_tokens: int,
        samples: int = 0,
    ) -> None:
        """Remember what to ask.

        Args:
            trainer: The one whose model is evaluated.
            rows: As `preprocessing.training_rows` makes them.
            context: With a segmenter.
            every: Steps from one evaluation to the next.
            batch: Questions at a time, on each process.
            max_new_tokens: The longest completion: the profile's, as at inference.
            samples: Of each of the first questions, at the training temperature; 0 for none.

        Raises:
            BadData: The rows have no masks.
        """
        if "mask" not in rows[0]:
            raise BadData(
                "the held-out dataset has no masks to measure gIoU with: prepare it with this "
                "project's command, or set held_out_size to 0"
            )
        self._trainer: Any = trainer
        self._rows = rows
        self._originals = rows.with_format(None)
        self._context = context
        self._every = every
        self._batch = batch
        self._max_new_tokens = max_new_tokens
        self._samples = samples

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate the model before its first step."""
        if state.global_step == 0:
            self._evaluate(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate the model, if it is time or the run ends."""
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._evaluate(state.global_step)

    def compare(self, samples: int) -> tuple[list[Scored], list[Scored]]:
        """Answer all questions greedily, and each several times at the training temperature.

        Args:
            samples: Of each question.

        Returns:
            The greedy answers and all samples.
        """
        count = len(self._rows)
        with torch.random.fork_rng():
            greedy = self._ask(count, 1, self._greedy(), "greedy answers")
            return greedy, self._ask(count, samples, self._sampling(), "samples")

    def _evaluate(self, step: int) -> None:
        trainer = self._trainer
        accelerator = trainer.accelerator
        title = f"evaluation at step {step}"
        # Training must draw the same random numbers as without an evaluation.
        with torch.random.fork_rng():
            scored = self._ask(len(self._rows), 1, self._greedy(), f"greedy {title}")
            several = self._sampled(f"sampled {title}") if self._samples else {}
        figures = summary(scored)
        # GRPOTrainer.log would log the metrics of the training step, too. Logging also clears
        # should_log, which the log of the step itself still needs.
        due = trainer.control.should_log
        logged = {f"eval_greedy/{key}": value for key, value in figures.items()}
        logged |= {f"eval_sampled/{key}": value for key, value in several.items()}
        Trainer.log(trainer, logged)
        trainer.control.should_log = due
        folder = Path(trainer.args.output_dir)
        # All processes save together, and a machine may not share the folder with the others.
        (better,) = broadcast_object_list([figures["giou"] > _best(folder)])
        if better:
            trainer.save_model(str(folder / "best.partial"))
            accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            if better:
                _write(folder / "best.partial" / "score.json", {"step": step} | figures)
                shutil.rmtree(folder / "best", ignore_errors=True)
                (folder / "best.partial").rename(folder / "best")
            questions = [
                {
                    "id": item.id,
                    "category": item.category,
                    "iou": round(item.overlap.iou, 4),
                    "reward": round(item.reward, 4),
                    "question": item.question,
                    "solution": item.solution,
                    "completion": item.completion,
                }
                for item in scored
            ]
            _write(
                folder / "greedy" / f"{step:06d}.json",
                {"step": step} | figures | {"sampled": several, "questions": questions},
            )

    def _ask(self, count: int, times: int, config: GenerationConfig, title: str) -> list[Scored]:
        """The first questions, each so many times, shared by the processes; scored on each."""
        accelerator = self._trainer.accelerator
        mine = range(accelerator.process_index, count, accelerator.num_processes)
        numbers = [number for number in mine for _ in range(times)]
        most = -(-count // accelerator.num_processes) * times
        texts = self._answer(numbers, most, config, title)
        return gather_object(self._score(numbers, texts))

    def _sampled(self, title: str) -> dict[str, float]:
        few = min(SAMPLED_QUESTIONS, len(self._rows))
        scored = self._ask(few, self._samples, self._sampling(), title)
        return sampled_summary(scored, self._samples)

    def _greedy(self) -> GenerationConfig:
        trainer = self._trainer
        greedy = greedy_config(
            trainer.accelerator.unwrap_model(trainer.model_wrapped),
            trainer.processing_class.tokenizer,
            self._max_new_tokens,
        )
        # A picture's token in the text would be taken for a picture.
        greedy.suppress_tokens = [
            *(greedy.suppress_tokens or ()),
            trainer.model.config.image_token_id,
        ]
        return greedy

    def _sampling(self) -> GenerationConfig:
        """As rollouts are sampled."""
        args, config = self._trainer.args, self._greedy()
        config.update(
            do_sample=True,
            temperature=args.temperature,
            top_p=args.top_p,
            top_k=args.top_k,
            min_p=args.min_p,
            repetition_penalty=args.repetition_penalty,
            max_new_tokens=args.max_completion_length,
        )
        return config

    def _answer(
        self, numbers: Sequence[int], most: int, config: GenerationConfig, title: str
    ) -> list[str]:
        trainer = self._trainer
        training = trainer.model.training
        texts: list[str] = []
        with (
            unwrap_model_for_generation(
                trainer.model_wrapped,
                trainer.accelerator,
                gather_deepspeed3_params=trainer.args.ds3_gather_for_generation,
                generation_kwargs=config.to_diff_dict(),
                gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
            ) as model,
            torch.no_grad(),
            trainer.shared_prefill(),
        ):
            model.eval()
            for start in self._starts(most, title):
                texts += self._complete(model, numbers[start : start + self._batch], config)
            model.train(training)
        return texts

    def _starts(self, most: int, title: str) -> Any:
        """As many batches on every process: under ZeRO-3 each must join every forward pass."""
        quiet = not self._trainer.accelerator.is_main_process
        return tqdm(range(0, most, self._batch), desc=title, disable=quiet, leave=False)

    def _complete(
        self, model: Any, numbers: Sequence[int], generation: GenerationConfig
    ) -> list[str]:
        processor = self._trainer.processing_class
        rows = [self._rows[number] for number in numbers or [0]]
        prompts = [prepare_multimodal_messages(row["prompt"], [row["image"]]) for row in rows]
        inputs = processor.apply_chat_template(
            prompts,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        ).to(self._trainer.accelerator.device)
        made = model.generate(**inputs, generation_config=generation)
        made = made[:, inputs["input_ids"].shape[1] :]
        texts = processor.batch_decode(made, skip_special_tokens=True)
        return texts[: len(numbers)]

    def _score(self, numbers: Sequence[int], texts: Sequence[str]) -> list[Scored]:
        rows = [self._rows[number] for number in numbers]
        if not rows:
            return []
        columns = {key: [row[key] for row in rows] for key in rows[0] if key != "prompt"}
        conversations = [[{"role": "assistant", "content": text}] for text in texts]
        weights = self._trainer.reward_weights.tolist()
        earned: dict[str, list[float]] = {
            function.__name__: [
                weight * value for value in function(completions=conversations, **columns)
            ]
            for function, weight in zip(self._trainer.reward_funcs, weights, strict=True)
        }
        each = [
            dict(zip(earned, values, strict=True)) for values in zip(*earned.values(), strict=True)
        ]
        return [
            Scored(
                row["id"],
                row["category"],
                row_question(self._originals[number]),
                row["solution"],
                text,
                self._overlap(number, text),
                float(sum(rewards.values())),
                rewards,
            )
            for number, row, text, rewards in zip(numbers, rows, texts, each, strict=True)
        ]

    def _overlap(self, number: int, text: str) -> Overlap:
        """As `segzero_train.evaluate` scores it: on the original picture and mask."""
        sample = row_to_sample(self._originals[number])
        height, width = sample.image.shape[:2]
        text = text.partition(ANSWER_END)[0]  # where generation ends at inference
        try:
            answer = self._context.completion_format.read(
                text, self._context.model_size, (width, height)
            )
        except MalformedAnswer:
            return overlap(None, sample.mask)
        segmenter: Any = self._context.segmenter
        masks = [mask for mask, _ in segmenter.segment(sample.image, answer.objects)]
        return overlap(np.logical_or.reduce([np.zeros((height, width), bool), *masks]), sample.mask)


def _best(folder: Path) -> float:
    file = folder / "best" / "score.json"
    return json.loads(file.read_text())["giou"] if file.is_file() else -1.0


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text_whole(file, json.dumps(content, indent=1) + "\n")
