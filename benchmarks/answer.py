"""`python benchmarks/answer.py`: question → masks, against the inference flow of the paper.

The baseline does on the very same weights what the published code does: the processor, `generate`
with its default cache, then SAM 2's image encoding, then one mask decoding for each object. Both
answer the same questions, in turn, and their answers are compared. `--random qwen2.5-vl-7b
sam2.1-large` builds models of full size with random weights and has them write `--new-tokens`.
"""

import argparse
import copy
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import models
import numpy as np
import records
import torch
from numpy.typing import NDArray

from segzero.devices import resolve_device
from segzero.errors import MalformedAnswer
from segzero.metrics import bootstrap
from segzero.pipeline import SegZero
from segzero.reasoning.reasoner import Completion
from segzero.reasoning.squash import squash
from segzero.types import Answer
from segzero_sim.questions import look, sample_question
from segzero_sim.tabletop import TabletopRenderer, draw_usable

FIRST_SEED = 400_000
WIDTH, HEIGHT = 640, 480
FIXED = '<think></think><answer>[{"bbox_2d": [300,300,500,600], "point_2d": [400,450]}]</answer>'
"""What random weights are taken to have written."""

Asked = tuple[NDArray[np.uint8], str]
"""A picture and a question about it."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One answer: milliseconds by stage, the tokens written, the text, and the masks."""

    stages: dict[str, float]
    new_tokens: int
    text: str
    masks: list[NDArray[np.bool_]]

    @property
    def total(self) -> float:
        return self.stages["total"]


class Baseline:
    """The published flow over the models of a SegZero, with a cache of transformers."""

    def __init__(self, segzero: SegZero, fixed: str | None, cache: str | None = None) -> None:
        reasoner: Any = segzero._reasoner
        self._reasoner = reasoner
        segmenter: Any = segzero._segmenter
        self._sam2, self._sam2_processor = (
            models.in_one_dtype(segmenter._model),
            segmenter._processor,
        )
        self._read = segzero._read
        self._fixed = fixed
        self._generation = copy.deepcopy(reasoner._generation)
        self._generation.cache_implementation = cache  # transformers compiles for a static one

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8], question: str) -> Run:
        reasoner, tokenizer = self._reasoner, self._reasoner._processor.tokenizer
        clock = _Clock(reasoner._model.device)
        inputs = reasoner._processor(
            text=[reasoner._chat(question)],
            images=[squash(image, reasoner._image_size)],
            return_tensors="pt",
        ).to(reasoner._model.device)
        clock.lap("prepare")
        ids = reasoner._model.generate(**inputs, generation_config=self._generation)
        ids = ids[0, inputs["input_ids"].shape[1] :]
        text = tokenizer.decode(ids, skip_special_tokens=True)
        clock.lap("write")
        size = (
            inputs["image_grid_thw"][0, 1:].flip(0) * reasoner._processor.image_processor.patch_size
        )
        answer = self._read(image, Completion(self._fixed or text, tuple(size.tolist()), len(ids)))
        masks = self._draw(image, answer, clock)
        return Run(clock.stages(), len(ids), text, masks)

    def _draw(
        self, image: NDArray[np.uint8], answer: Answer, clock: "_Clock"
    ) -> list[NDArray[np.bool_]]:
        model, processor = self._sam2, self._sam2_processor
        pixels = processor(images=image, return_tensors="pt")["pixel_values"]
        features = model.get_image_embeddings(pixels.to(model.device, model.dtype))
        clock.lap("encode image")
        masks = []
        for item in answer.objects:
            assert item.box
            box = [[[item.box.x1, item.box.y1, item.box.x2, item.box.y2]]]
            points = [[[[point.x, point.y] for point in item.points]]]
            prompts = processor(
                original_sizes=[image.shape[:2]],
                input_boxes=box,
                input_points=points,
                return_tensors="pt",
            ).to(model.device)
            found = model(
                image_embeddings=features,
                input_boxes=prompts["input_boxes"],
                input_points=prompts["input_points"],
                multimask_output=True,
            )
            logits = found.pred_masks[:, 0].float().cpu()
            drawn = processor.post_process_masks([logits], [image.shape[:2]])[0][0]
            masks.append(drawn[found.iou_scores[0, 0].argmax().item()].numpy())
        clock.lap("draw masks")
        return masks


class Fast:
    """SegZero.ask."""

    def __init__(self, segzero: SegZero, fixed: str | None) -> None:
        self._segzero = segzero
        self._reasoner = _CountingReasoner(segzero._reasoner, fixed)
        models: Any = segzero
        models._reasoner = self._reasoner

    def __call__(self, image: NDArray[np.uint8], question: str) -> Run:
        clock = _Clock(None)
        pieces: list[str] = []

        def on_text(piece: str) -> None:
            clock.lap("write" if pieces else "first token")
            pieces.append(piece)

        found = self._segzero.ask(image, question, on_text=on_text)
        clock.lap("draw masks")
        masks = [item.mask for item in found.objects]
        return Run(clock.stages(), self._reasoner.new_tokens, "".join(pieces), masks)


class _CountingReasoner:
    """A reasoner whose tokens are counted, and whose text may be replaced."""

    def __init__(self, inner: Any, fixed: str | None) -> None:
        self.inner, self._fixed = inner, fixed
        self.new_tokens = 0

    def complete(self, *arguments: Any, **options: Any) -> Completion:
        completion = self.inner.complete(*arguments, **options)
        self.new_tokens = completion.new_tokens
        return replace(completion, text=self._fixed or completion.text)


class _Clock:
    """Milliseconds of each stage; laps of the same name add up."""

    def __init__(self, device: torch.device | None) -> None:
        self._device = device
        self._laps: dict[str, float] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        if self._device is not None and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self._laps[name] = self._laps.get(name, 0.0) + 1000 * (now - self._last)
        self._last = now

    def stages(self) -> dict[str, float]:
        return {**self._laps, "total": 1000 * (self._last - self._start)}


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="demo", help="default: %(default)s")
    parser.add_argument("--random", nargs=2, metavar=("LANGUAGE", "SEGMENTER"))
    parser.add_argument("--new-tokens", type=int, default=128, help="of --random, default 128")
    parser.add_argument("--questions", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "answer.json")
    options = parser.parse_args()
    device = resolve_device(options.device)
    if options.random:
        language, segmenter = options.random
        segzero = models.random(language, segmenter, options.new_tokens, device)
    else:
        segzero = SegZero.load(options.profile, str(device))
    pairs = compare(segzero, options.questions, FIXED if options.random else None)
    figures = summary(pairs)
    if device.type == "cuda":
        figures["peak GPU memory [GB]"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    of = {"models": options.random or options.profile, "image": f"{WIDTH}x{HEIGHT}"}
    records.record({**of, **figures}, ("torch", "transformers"), options.out)
    print(tables(figures))
    return 0


def compare(
    segzero: SegZero,
    count: int,
    fixed: str | None = None,
    asked: Iterator[Asked] | None = None,
    cache: str | None = None,
) -> list[tuple[Run, Run]]:
    """Baseline and fast path on `count` questions, in turn, each first every other time.

    `asked` are pictures and questions in place of the tabletop's; `cache` is the baseline's, by
    transformers' name.
    """
    baseline, fast = Baseline(segzero, fixed, cache), Fast(segzero, fixed)
    ways: list[Callable[[NDArray[np.uint8], str], Run]] = [baseline, fast]
    pairs = []
    with ExitStack() as renderers:
        if asked is None:
            asked = _questions(renderers.enter_context(TabletopRenderer(WIDTH, HEIGHT)))
        for image, question in itertools.islice(asked, count + 2):
            try:
                runs = {way: way(image, question) for way in ways}
            except MalformedAnswer:
                continue
            pairs.append((runs[baseline], runs[fast]))
            ways.reverse()
    return pairs[2:]  # the first two are the warm-up


def summary(pairs: list[tuple[Run, Run]]) -> dict[str, Any]:
    """Milliseconds by stage, the ratio of each pair, and how far the answers agree."""
    ratios = np.array([plain.total / fast.total for plain, fast in pairs])
    median = bootstrap(lambda pick: float(np.median(ratios[pick])), len(ratios))
    lowest = min((_agreement(plain, fast) for plain, fast in pairs), default=1.0)
    return {
        "questions": len(pairs),
        "new tokens": records.spread([fast.new_tokens for _, fast in pairs], 0),
        "baseline [ms]": _stages([plain for plain, _ in pairs]),
        "fast [ms]": _stages([fast for _, fast in pairs]),
        "times as fast": {
            **records.spread(ratios.tolist(), 2),
            "95 % of the median": [round(median.low, 2), round(median.high, 2)],
        },
        "same text": sum(plain.text == fast.text for plain, fast in pairs),
        "lowest IoU of masks": round(lowest, 4),
    }


def tables(figures: dict[str, Any]) -> str:
    """The figures for people."""
    rows: list[tuple[object, ...]] = [("stage [ms]", "baseline", "fast")]
    plain, fast = figures["baseline [ms]"], figures["fast [ms]"]
    for stage in dict.fromkeys([*plain, *fast]):
        cells = [
            f"{side[stage]['median']} ({side[stage]['25 %']}–{side[stage]['75 %']})"
            if stage in side
            else "–"
            for side in (plain, fast)
        ]
        rows.append((stage, *cells))
    ratio = figures["times as fast"]
    return (
        f"{records.table(rows)}\n{ratio['median']} times as fast (quartiles {ratio['25 %']}–"
        f"{ratio['75 %']}) over {figures['questions']} questions; {figures['same text']} with the "
        f"same text, masks' lowest IoU {figures['lowest IoU of masks']}"
    )


def _questions(renderer: TabletopRenderer) -> Iterator[Asked]:
    for number in itertools.count():
        scene, frame = draw_usable(renderer, FIRST_SEED + number, depth=False)
        rng = np.random.default_rng(number)
        if question := sample_question(look(scene, frame.ids), number % 4 + 1, rng):
            yield frame.rgb, question.text


def _stages(runs: list[Run]) -> dict[str, dict[str, float]]:
    names = [name for name in runs[0].stages if name != "total"]
    return {
        name: records.spread([run.stages.get(name, 0.0) for run in runs])
        for name in [*names, "total"]
    }


def _agreement(plain: Run, fast: Run) -> float:
    """The least IoU of two masks of the same object; 0 if there are not as many."""
    if len(plain.masks) != len(fast.masks):
        return 0.0
    pairs = zip(plain.masks, fast.masks, strict=True)
    return min(
        ((a & b).sum() / max(1, (a | b).sum()) if (a | b).any() else 1.0 for a, b in pairs),
        default=1.0,
    )


if __name__ == "__main__":
    sys.exit(main())
