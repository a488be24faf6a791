"""Names that gave way to the field's terms do not come back.

Old names that are also plain English words, such as `adapt` and `fine`, are not listed.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "action",
    "benchmarks",
    "config",
    "docs",
    "examples",
    "launch",
    "msg",
    "scripts",
    "segzero*",
    "tests",
)
SUFFIXES = {".py", ".md", ".yaml", ".msg", ".srv", ".action"}
OLD = {
    "QueryProcessor": "Answering",
    "params": "_wanted",
    "fail_following": "unfollowed",
    "DiagnosticsCollector": "Health",
    "DEPTH_TIMEOUT, TF_TIMEOUT": "PATIENCE",
    "DEPTH_BUFFER_SIZE": "KEPT",
    "CLOCK_RESET_NS": "JUMP",
    "DepthUnavailable": "NoCloud",
    "limit_omp_threads": "half_the_cores",
    "translate_oom": "memory_errors",
    "CompletionBuffer": "_Written",
    "shared_prefill": "share_prompts",
    "bucketed_logprobs": "score_by_length",
    "preserve_state_dict_keys": "keep_names",
    "without_zero3_init": "whole_weights",
    "needs_synced_generation": "generates_in_step",
    "require_fp32_updates": "refuse_lost_updates",
    "DemoClient": "Witness",
}
"""The name of today → the old one."""


def test_old_names_are_nowhere() -> None:
    paths = [path for folder in FOLDERS for top in ROOT.glob(folder) for path in top.rglob("*")]
    found = [
        f"{path.relative_to(ROOT)} says {old}: the name is {name}"
        for path in paths
        if path.suffix in SUFFIXES and path != Path(__file__)
        for name, old in OLD.items()
        if re.search(rf"\b{old}\b", path.read_text())
    ]
    assert found == []
