"""The benchmark of memory: its arithmetic, and its figures over a short time."""

import subprocess
import sys

import memory
import pytest


def test_growth_counts_from_the_end_of_the_warm_up() -> None:
    used = {100: 900.0, 200: 1000.0, 300: 1030.0, 400: 1010.0}
    figures = memory.growth(used, start=200, step=200)
    assert (figures["MB after 200"], figures["MB at the end"]) == (1000, 1010)
    assert (figures["grown by [MB]"], figures["grown at most by [MB]"]) == (10, 30)
    assert figures["MB after"] == {"200": 1000, "400": 1010}


def test_memory_that_a_process_takes_is_seen() -> None:
    code = "input('bare\\n'); taken = b'x' * 50_000_000; input('more\\n')"
    command = [sys.executable, "-uc", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        used = []
        for word in ("bare", "more"):
            assert process.stdout.readline().strip() == word
            used.append(memory.resident(process.pid))
            process.stdin.write("\n")
            process.stdin.flush()
    assert 49 < used[1] - used[0] < 52


@pytest.mark.ros
@pytest.mark.slow
def test_memory_stays_flat_with_the_demos_models(run_benchmark) -> None:
    figures = run_benchmark("memory", "--frames", "200", "--warm-up", "100", "--cycles", "4")
    following, lifecycles = figures["following"], figures["lifecycles"]
    assert following["objects seen per frame"] > 1
    assert lifecycles["frames followed"] >= 10 * lifecycles["answered with an object"] > 0
    # 100 pictures kept would be 23 MB, models kept a gigabyte in each of 3 cycles.
    assert following["grown at most by [MB]"] < 5
    assert lifecycles["grown at most by [MB]"] < 16
