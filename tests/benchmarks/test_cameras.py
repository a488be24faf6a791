"""The benchmark of several cameras runs and tells what it measured."""

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_it_tells_memory_and_frames_of_one_process_and_of_several(run_benchmark) -> None:
    one, two = run_benchmark("cameras", "--cameras", "2", "--seconds", "1")["rows"]
    assert (one["processes"], two["processes"]) == (1, 2)
    assert 100 < one["proportional [MiB]"] < two["proportional [MiB]"]
    assert one["frames received"] > 0
    assert 0 < one["followed a camera [Hz]"] < 40
