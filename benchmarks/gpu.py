"""`python benchmarks/gpu.py`: everything that a GPU has to show, in half an hour, without network.

`--pack DIR` collects here what the other machine lacks. There, `python DIR/benchmarks/gpu.py --run`
executes the parts one after the other, each in a process of its own and at most nine minutes long.
Each writes its own `benchmarks/results/gpu-*.json`: a cut-off loses one part. A part that can't run
says why in its file. `--device cpu --small` tries all parts on tiny models, in minutes.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS, TRAINING = "wheels", "wheels-training"
"""Folders of a pack. What training needs takes the place of the machine's own there alone."""
LIMIT = 9 * 60
"""Seconds that a part may take."""
_REASON = 400
"""Characters of a failure that a file repeats."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part as a process.

    Attributes:
        number: As the user types it.
        name: Of its function in `gpu_parts` and, behind `gpu-`, of its file.
        shows: What it measures.
        training: Whether it needs what training needs.
    """

    number: str
    name: str
    shows: str
    training: bool = False


PARTS = (
    Part("1", "self-check", "decoder, encoder, video memory and int4 against transformers"),
    Part("2", "answer", "question to masks, 7B and SAM 2.1 large, against the published flow"),
    Part("2b", "answer-compiled", "the same against a static cache and torch.compile"),
    Part("2c", "answer-demo", "the demo, with and without drafts, against the published flow"),
    Part("3", "decoding", "a token's share of the memory bound; the shortest draft that pays"),
    Part("4", "follow-large", "1, 3, 5 and 16 objects at 1280x720, SAM 2.1 large"),
    Part("4b", "follow-tiny", "the same, SAM 2.1 tiny"),
    Part("5", "grpo", "one GRPO step of a 3B by stage, against TRL's trainer", training=True),
    Part("6", "demo", "the demo trained from nothing", training=True),
    Part("7", "live", "questions while following, over and over: frames per second and memory"),
)


def main(words: list[str] | None = None) -> int:
    """The command; returns its exit status: 1 if a part has nothing measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pack", type=Path, metavar="DIR", help="collect what the machine lacks")
    what.add_argument("--run", action="store_true", help="execute the parts, here")
    what.add_argument("--list", action="store_true", help="name the parts")
    parser.add_argument(
        "--has",
        type=Path,
        metavar="FILE",
        default=Path(__file__).with_name("gpu_machine.txt"),
        help="with --pack: packages that are there, as `pip list --format freeze` prints them",
    )
    parser.add_argument("--parts", nargs="+", metavar="N", choices=[part.number for part in PARTS])
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--small", action="store_true", help="tiny models: only that all runs")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR")
    options = parser.parse_args(words)
    if options.list:
        print("\n".join(f"{part.number:3} {part.name:16} {part.shows}" for part in PARTS))
        return 0
    if options.pack:
        import gpu_pack  # which needs packages that the other machine may lack

        return gpu_pack.pack(options.pack, options.has)
    chosen = [part for part in PARTS if not options.parts or part.number in options.parts]
    options.out.mkdir(parents=True, exist_ok=True)
    done = [run(part, options.device, options.small, options.out.resolve()) for part in chosen]
    print(f"{sum(done)} of {len(done)} parts measured something; their files are in {options.out}")
    return 0 if all(done) else 1


def run(part: Part, device: str, small: bool, out: Path, limit: float = LIMIT) -> bool:
    """Execute a part and make sure that its file is there.

    Args:
        part: Which one.
        device: As the part's models take it.
        small: See the command.
        out: Folder of the file.
        limit: Seconds after which the part is ended.

    Returns:
        Whether it measured something.
    """
    file = out / f"gpu-{part.name}.json"
    file.unlink(missing_ok=True)
    print(f"part {part.number}, {part.name}: {part.shows}", flush=True)
    command = [sys.executable, str(Path(__file__).with_name("gpu_parts.py")), part.name]
    command += ["--device", device, "--out", str(file), *["--small"][: int(small)]]
    start = time.monotonic()
    reason = _execute(command, _environment(part), file.with_suffix(".log"), limit)
    if reason:
        # What it had measured before the end stays.
        known = json.loads(file.read_text()) if file.exists() else {"part": part.name}
        file.write_text(json.dumps({**known, "ended early": reason}, indent=2) + "\n")
    found = json.loads(file.read_text())
    # `not measured` is written by a part that can't run here; one that ended early may have rows.
    measured = "not measured" not in found and ("ended early" not in found or "rows" in found)
    print(f"  {_told(found)}  [{time.monotonic() - start:.0f} s]", flush=True)
    return measured


def _told(found: dict[str, object]) -> str:
    for key in ("not measured", "ended early"):
        if key in found:
            return f"{key}: {found[key]}"
    return "measured"


def _execute(command: list[str], environment: dict[str, str], log: Path, limit: float) -> str:
    """Run a command with all that it starts; returns why it failed, or nothing."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"it took more than {limit:.0f} seconds"
        finally:
            _end(process)
    if status == 0:
        return ""
    lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
    return f"exit status {status}: {lines[-1][:_REASON]}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _environment(part: Part) -> dict[str, str]:
    """Where Python finds the packages of the pack; outside a pack they are installed."""
    folders = [_installed(TRAINING)] if part.training else []
    paths = [*folders, _installed(WHEELS), ROOT / "benchmarks"]
    known = [str(path) for path in paths if path] + [os.environ.get("PYTHONPATH", "")]
    if not (ROOT / WHEELS).is_dir():
        known.insert(0, str(ROOT))
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **offline, "PYTHONPATH": os.pathsep.join(filter(None, known))}


def _installed(name: str) -> Path | None:
    """The folder with the packages of a pack's wheels, installed at the first call."""
    wheels = sorted((ROOT / name).glob("*.whl"))
    if not wheels:
        return None
    target = ROOT / f"{name}-installed"
    if not target.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
        partial = target.with_name(f"{target.name}.part")
        subprocess.run([*pip, "--upgrade", "--target", partial, *wheels], check=True)
        partial.rename(target)
    return target


if __name__ == "__main__":
    sys.exit(main())
