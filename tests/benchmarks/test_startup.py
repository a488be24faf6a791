"""The benchmark of the start runs and tells what it measured."""

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_it_tells_the_stages_and_what_holds_the_memory(run_benchmark) -> None:
    told = run_benchmark("startup", "--runs", "1")
    stages = [stage["median"] for stage in told["seconds until"].values()]
    assert 0 < stages[0] <= stages[1] <= stages[2]
    assert told["resident [MiB]"]["VmRSS"]["median"] > 100
    assert told["resident by mapping [MiB]"]["[heap]"] > 0
    assert "torch" in told["import seconds by package"]
