"""`python -m segzero_train.evaluate`: how well does a profile answer a dataset's questions?

For each category gIoU and cIoU with 95 % intervals, and beside them the segmenter alone, given the
true boxes and points: the upper bound for a perfect reasoner. The baseline "base model + SAM2" is
the same command with the profile of a base model, such as qwen2.5-vl-3b.

Under `accelerate launch` the processes share the questions (on CPUs `accelerate launch
--multi_gpu`: with --cpu it starts a single process), and --shard shares them among machines. With
--out every answer is kept: interrupted, the same command continues where it stopped.
"""

import json
import sys
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzero.metrics import CONVENTIONS
from segzero.pipeline import SegZero
from segzero.profiles import Profile, load_profile
from segzero.reasoning.prompts import SHORT_ANSWER
from segzero.reasoning.reasoner import Reasoner
from segzero.terminal import escape_unprintable, one_line_errors
from segzero_sim.tabletop import NoOpenGL
from segzero_train.datasets import tabletop
from segzero_train.datasets.loading import load_rows, load_split
from segzero_train.errors import BadData
from segzero_train.evaluation import comparison, suites, vqa
from segzero_train.evaluation.encodings import Encodings
from segzero_train.evaluation.options import TABLETOP_SIZE, Options, parser
from segzero_train.evaluation.paper_tables import markdown
from segzero_train.evaluation.pictures import write_worst
from segzero_train.evaluation.published import locate
from segzero_train.evaluation.runner import Outcome, Source, claim, run, write_text
from segzero_train.evaluation.scores import report, table
from segzero_train.evaluation.scoring import Result, score_batch
from segzero_train.evaluation.sources import rows_source, tabletop_source

if TYPE_CHECKING:
    from accelerate import PartialState

_LIBRARIES = ("segzero", "torch", "transformers", "numpy")


class Models:
    """The models of a profile, loaded when the first question needs them."""

    def __init__(self, profile: Profile, device: str) -> None:
        self.profile = profile
        self._device = device

    @cached_property
    def segzero(self) -> SegZero:
        """Both models."""
        return SegZero.load(self.profile, self._device)

    @cached_property
    def encodings(self) -> Encodings:
        """Of pictures, by the segmenter."""
        return Encodings(self.segzero)

    @cached_property
    def reasoner(self) -> Reasoner:
        """The reasoner alone, asked for a word or a phrase."""
        from segzero.devices import resolve_device
        from segzero.loading import load_reasoner

        return load_reasoner(self.profile, resolve_device(self._device), SHORT_ANSWER)


@dataclass(frozen=True, slots=True)
class Job:
    """One dataset to evaluate on.

    Attributes:
        options: With this dataset and its folders.
        source: Its rows.
        theirs: Results of the evaluation to compare with; empty if there is none.
    """

    options: Options
    source: Source
    theirs: list[Any]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, 1 after an error, 130 after an interruption."""
    escape_unprintable()
    options = Options(**vars(parser(__doc__).parse_args(arguments)))
    kept = f": the same command goes on, {options.out} keeps the answers" if options.out else ""
    with one_line_errors(
        NoOpenGL, ValueError, OSError, interrupted=f"interrupted{kept}"
    ) as outcome:
        _evaluate(options)
    return outcome.status


def _evaluate(options: Options) -> None:
    _check(options)
    # Here: these take seconds, which --help shouldn't cost.
    from accelerate import PartialState

    from segzero.devices import resolve_device

    profile = load_profile(options.profile)
    if profile.votes > 1:
        raise BadData(
            f"the profile {profile.name} votes, and an evaluation scores single answers: leave "
            f"`votes` out of it, and take --samples {profile.votes} for a majority"
        )
    on_cpu = resolve_device(options.device).type == "cpu"
    # From here on, "cuda" is each process's own. One that is done waits for the others.
    state = PartialState(cpu=on_cpu, timeout=timedelta(days=7))
    # All data is looked at before the first question.
    jobs = [_job(each, profile, state) for each in suites.each(options)]
    models = Models(profile, options.device)
    ask = _ask_vqa if options.vqa else _ask
    printed: dict[str, Any] = {}
    for job in jobs:
        if options.suite and state.is_main_process:
            print(f"{job.options.dataset}, split {job.options.split}:")
        figures = ask(job, models, state)
        if figures is None:  # of another process's, or waiting for other shards
            continue
        printed |= {suites.name(job.options): figures} if options.suite else figures
    if options.json is not None and printed:
        options.json.write_text(_json(printed), encoding="utf-8")


def _check(options: Options) -> None:
    """Fail before the work, not after it."""
    if options.json is not None and not options.json.parent.is_dir():
        folder, name = options.json.parent, options.json.name
        raise OSError(f"there is no folder {folder} to write {name} to: make it first")
    if options.shard != (1, 1) and options.out is None:
        raise ValueError("--shard needs --out DIR, the folder in which all shards meet")
    if options.samples and options.vqa:
        raise ValueError("--samples is for masks: leave out --vqa")
    if options.suite and (options.vqa or options.dataset != "tabletop"):
        raise ValueError("--suite names its datasets itself: leave out --dataset and --vqa")
    if options.against and options.out and options.against.resolve() == options.out.resolve():
        raise ValueError("--against and --out are one folder: compare with another evaluation")


def _job(options: Options, profile: Profile, state: "PartialState") -> Job:
    source = _source(options)
    identity = _identity(options, profile, source.size)
    theirs: list[Any] = []
    if options.against is not None:
        result = vqa.Answered if options.vqa else Result
        theirs = comparison.other_run(options.against, identity, result)
    if options.out is not None:
        claim(options.out, identity, state)
    return Job(options, source, theirs)


def _source(options: Options) -> Source:
    if options.vqa:
        rows = load_split(options.dataset, options.split)
        return vqa.source(rows.select(range(min(options.size or len(rows), len(rows)))))
    if options.dataset == "tabletop":
        most = min(TABLETOP_SIZE, tabletop.largest(options.split))
        return tabletop_source(options.split, options.size or most)
    dataset, split = locate(options.dataset, options.split)
    return rows_source(load_rows(dataset, split, options.size), options.ignored)


def _ask(job: Job, models: Models, state: "PartialState") -> dict[str, Any] | None:
    options = job.options

    def answer(items: Any) -> list[Result]:
        return score_batch(models.segzero, items, models.encodings, options.batch, options.draws)

    outcome = _run(job, answer, state)
    if outcome is None:
        return None
    results = outcome.results
    reports: dict[str, Any] = {name: report(results, name) for name in CONVENTIONS}
    print(table(reports[options.convention]))
    against = _against(job, outcome)
    figures = _finish(options, outcome, reports[options.convention], reports, against)
    if options.out is not None:
        weights = [models.profile.reasoner, models.profile.segmenter]
        text = markdown(_described(options) | {"weights": weights}, list(reports.values()))
        if options.against is not None:
            text += comparison.markdown(against, options.against)
        write_text(options.out / "table.md", text)
        write_worst(options.out / "worst", models.segzero, job.source.load, results, options.worst)
    return figures


def _ask_vqa(job: Job, models: Models, state: "PartialState") -> dict[str, Any] | None:
    options = job.options
    outcome = _run(job, lambda items: vqa.answer(models.reasoner, items, options.batch), state)
    if outcome is None:
        return None
    figures = vqa.report(outcome.results)
    print(vqa.table(figures))
    return _finish(options, outcome, figures, figures, _against(job, outcome))


def _run(job: Job, answer: Any, state: "PartialState") -> Outcome | None:
    """All answers; None in a process that prints nothing, and while shards are missing."""
    options = job.options
    theirs = {item.index: item for item in job.theirs}

    def checked(items: Any) -> list[Any]:
        found = answer(items)
        for item in found:
            if options.against is not None and item.index in theirs:
                comparison.check_pair(item, theirs[item.index], options.against)
        return found

    result = vqa.Answered if options.vqa else Result
    outcome = run(job.source, checked, result, options.batch, options.out, state, options.shard)
    if not state.is_main_process:
        return None
    if outcome.missing:
        part, parts = options.shard
        print(
            f"shard {part}/{parts} is done; {outcome.missing} of {job.source.size} questions are "
            f"still without an answer. When all shards are done, the same command without --shard "
            f"gives the figures"
        )
        return None
    return outcome


def _against(job: Job, outcome: Outcome) -> dict[str, Any]:
    """Compare with the other evaluation in each convention; empty if there is none."""
    options = job.options
    if options.against is None:
        return {}
    comparison.check_pairs(outcome.results, job.theirs, options.against)
    compared = comparison.compare(outcome.results, job.theirs)
    for line in comparison.lines(compared, options.convention, options.against):
        print(line)
    return compared


def _finish(
    options: Options,
    outcome: Outcome,
    printed: dict[str, Any],
    figures: dict[str, Any],
    against: dict[str, Any],
) -> dict[str, Any]:
    """Write all figures to --out; return those that were printed, for --json."""
    reasons = [item.reason for item in outcome.skipped]
    content = _described(options) | {"n": len(outcome.results), "skipped": reasons}
    compared = {"against": {"run": str(options.against), **against}} if against else {}
    if reasons:
        print(f"skipped: {len(reasons)} of the rows, each named above")
    if options.out is not None:
        versions = {name: version(name) for name in _LIBRARIES}
        scores = content | {"versions": versions} | figures | compared
        write_text(options.out / "scores.json", _json(scores))
    return content | printed | compared


def _described(options: Options) -> dict[str, Any]:
    keys = ("profile", "dataset", "split", "size", "ignored")
    sampled = {"sampled": asdict(options.draws)} if options.draws else {}
    return {key: getattr(options, key) for key in keys} | sampled


def _identity(options: Options, profile: Profile, size: int) -> dict[str, Any]:
    """What answers depend on; with another of these they can't be mixed."""
    from segzero.weights import resolve_weights

    here = [] if profile.server else [profile.reasoner]
    here += [] if options.vqa else [profile.segmenter]
    folders = [resolve_weights(weights, profile.name) for weights in here]
    files = [file for folder in folders for file in sorted(folder.glob("*.safetensors"))]
    dataset = Path(options.dataset)
    return {
        "profile": asdict(replace(profile, name="", summary="")),
        "weights_written": [int(file.stat().st_mtime) for file in files],
        "dataset": str(dataset.resolve()) if dataset.is_dir() else options.dataset,
        "split": options.split,
        "size": size,
        "vqa": options.vqa,
        # None for the default, so that folders of older versions fit.
        "ignored": None if options.ignored == "excluded" else options.ignored,
        "samples": asdict(options.draws) if options.draws else None,
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
