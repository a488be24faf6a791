"""The Slurm script, with stand-ins for a cluster's programs that record how they are called."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.launch import launch_command_parser

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "slurm" / "train.sh"
STAND_INS = {
    # Runs the command as each node's task would, here the second node's.
    "srun": '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nSLURM_NODEID=1 exec "$@"\n',
    "scontrol": '#!/bin/bash\nif [ "$1" = show ]; then printf "node1\\nnode2\\n"; '
    'else echo "$@" >> "$CALLS/scontrol"; fi\n',
    "accelerate": f"#!{sys.executable}\n"
    "import json, os, pathlib, signal, sys\n"
    "ignored = signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN\n"
    'calls = pathlib.Path(os.environ["CALLS"])\n'
    '(calls / "accelerate").write_text(json.dumps([ignored, *sys.argv[1:]]))\n'
    'run = pathlib.Path(sys.argv[sys.argv.index("--output_dir") + 1])\n'
    'if os.environ["ENDS"] == "finished":\n'
    '    (run / "trainer_state.json").write_text("{}")\n'
    'sys.exit(os.environ["ENDS"] == "failed")\n',
    "python": f'#!/bin/bash\nexec {sys.executable} "$@"\n',
}


def submitted(folder: Path, ends: str, *words: str) -> tuple[int, list[Any], str]:
    """Exit status, what the launcher was called with, and what the job asked its controller."""
    (calls := folder / "calls").mkdir()
    for name, text in STAND_INS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    job = {"SLURM_JOB_ID": "7", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[1-2]"}
    path = f"{folder}:{os.environ['PATH']}"
    made = subprocess.run(
        ["bash", str(SCRIPT), *words],
        env=os.environ | job | {"PATH": path, "CALLS": str(calls), "ENDS": ends},
        cwd=ROOT,
        check=False,
    )
    files = [calls / "accelerate", calls / "scontrol"]
    called, asked = (file.read_text() if file.is_file() else "" for file in files)
    return made.returncode, json.loads(called or "[]"), asked


@pytest.mark.parametrize(
    ("ends", "status", "asked"),
    [("finished", 0, ""), ("requeue", 0, "requeue 7\n"), ("failed", 1, "")],
)
def test_a_job_is_queued_again_only_if_it_stopped_ahead_of_its_end(
    ends: str, status: int, asked: str, tmp_path: Path
) -> None:
    found = submitted(tmp_path, ends, "seg_zero_7b", str(tmp_path), "--seed", "1")
    assert (found[0], found[2]) == (status, asked)


def test_every_node_starts_its_part_of_one_run(tmp_path: Path) -> None:
    _, (ignored, _, *words), _ = submitted(tmp_path, "finished", "seg_zero_7b", str(tmp_path))
    assert ignored, "SIGUSR1 would end the launcher"
    launch = launch_command_parser().parse_args(words)
    assert (launch.num_machines, launch.num_processes, launch.machine_rank) == (2, 16, 1)
    assert (launch.main_process_ip, launch.main_process_port) == ("node1", 20007)
    assert Path(launch.config_file) == ROOT / "config/accelerate/2nodes_zero3.yaml"
    assert launch.training_script == "segzero_train.grpo"
    assert launch.training_script_args == [
        *("--config", "seg_zero_7b", "--output_dir", str(tmp_path))
    ]


def test_without_a_run_to_write_to_it_says_how_it_is_used(tmp_path: Path) -> None:
    assert submitted(tmp_path, "finished", "seg_zero_7b")[0] == 2
