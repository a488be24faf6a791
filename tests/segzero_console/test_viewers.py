"""What waits for a browser is bounded: the newest frame, the newest masks, texts in order."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from segzero_console.frames import Picture
from segzero_console.messages import Result
from segzero_console.results import compress
from segzero_console.viewers import MAX_ON_THE_WAY, MAX_WAITING, SENT, Paired, Viewer


def picture(number: int) -> Picture:
    return Picture(stamp=number, rgb=np.zeros((4, 4, 3), np.uint8), number=number)


def paired(number: int) -> Paired:
    stored = compress(Result(stamp=number, state="tracked"))
    return Paired(stored, picture(number), stored.message())


def in_loop(test: Callable[[Viewer], Awaitable[None]]) -> None:
    async def run() -> None:
        await test(Viewer())

    asyncio.run(asyncio.wait_for(run(), 5))


def test_a_newer_frame_takes_the_place_of_one_that_waits() -> None:
    async def test(viewer: Viewer) -> None:
        for number in (1, 2, 3):
            viewer.show(picture(number))
        item = await viewer.next()
        assert isinstance(item, Picture)
        assert (item.number, viewer.dropped) == (3, 2)

    in_loop(test)


def test_texts_come_in_order_and_before_frames() -> None:
    async def test(viewer: Viewer) -> None:
        viewer.show(picture(1))
        viewer.tell({"n": 1})
        viewer.tell({"n": 2})
        assert [await viewer.next() for _ in range(2)] == ['{"n":1}', '{"n":2}']
        assert isinstance(await viewer.next(), Picture)

    in_loop(test)


def test_newer_masks_take_the_place_of_those_that_wait() -> None:
    async def test(viewer: Viewer) -> None:
        viewer.follow(paired(1))
        viewer.follow(newest := paired(2))
        assert await viewer.next() is newest

    in_loop(test)


def test_a_frame_that_was_sent_with_its_masks_is_not_sent_again() -> None:
    async def test(viewer: Viewer) -> None:
        viewer.show(frame := picture(1))
        viewer.mark_sent(frame)
        assert viewer.knows(1)
        viewer.tell({})
        assert await viewer.next() == "{}"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(viewer.next(), 0.01)

    in_loop(test)


def test_a_frame_that_was_sent_long_ago_is_sent_again_with_its_masks() -> None:
    async def test(viewer: Viewer) -> None:
        for number in range(SENT + 1):
            viewer.mark_sent(picture(number))
        assert [viewer.knows(0), viewer.knows(1), viewer.knows(SENT)] == [False, True, True]

    in_loop(test)


def test_a_browser_that_tells_what_it_draws_has_few_frames_before_it() -> None:
    async def test(viewer: Viewer) -> None:
        viewer.see(0)
        for number in range(1, MAX_ON_THE_WAY + 1):
            viewer.mark_sent(picture(number))
        viewer.show(picture(10))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(viewer.next(), 0.01)
        viewer.see(2)
        assert isinstance(await viewer.next(), Picture)

    in_loop(test)


def test_a_browser_that_reads_no_text_is_too_slow() -> None:
    async def test(viewer: Viewer) -> None:
        for _ in range(MAX_WAITING + 1):
            viewer.tell({})
        assert viewer.too_slow

    in_loop(test)
