"""Gaps in the sequence numbers of one camera, and of several on one topic."""

import itertools
import random

import pytest

from segzero_ros.images.sequences import LossCounter

PERIOD = 1 / 30


def lost(sequences: list[int]) -> int:
    counter = LossCounter()
    return sum(counter.add(number, index * PERIOD) for index, number in enumerate(sequences))


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([1, 2, 3, 4], 0),
        ([7, 8, 10, 13], 3),
        ([1, 2, 15, 16], 12),
        ([500, 501, 1, 2, 3], 0),  # the camera started anew
        ([500, 501, 1, 2, 5], 2),
        ([100, 5000, 101, 5001, 102, 5002], 0),  # another camera, long before
        ([1, 1, 2, 2, 3, 3], 0),
        ([1, 1, 2, 2, 4, 3, 5, 4], 1),
    ],
)
def test_gaps_are_counted_for_each_writer(sequences: list[int], expected: int) -> None:
    assert lost(sequences) == expected


@pytest.mark.parametrize("starts", [(1, 1), (1, 40), (300, 9000), (1, 200, 7000)])
def test_several_cameras_that_lose_frames_are_counted_together(starts: tuple[int, ...]) -> None:
    choose = random.Random(3)
    sent, missing = [], 0
    for number in range(300):
        for start in starts:
            if number in (0, 299) or choose.random() > 0.2:
                sent.append(start + number)
            else:
                missing += 1
    assert lost(sent) == pytest.approx(missing, abs=0.05 * missing + 2)


def test_memory_is_bounded_by_the_writers_that_still_send() -> None:
    counter = LossCounter()
    for index, number in enumerate(itertools.islice(itertools.count(10**9, -1), 5000)):
        counter.add(number, index)
    assert len(counter._writers) <= 10
