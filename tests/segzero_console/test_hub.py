"""What is encoded once for all viewers."""

import asyncio
from pathlib import Path

import numpy as np

from segzero_console.frames import Picture
from segzero_console.hub import Hub
from segzero_console.local import LocalBackend
from segzero_console.sources.folder import FolderSource
from tests.segzero_console.conftest import no_models


def test_a_viewer_that_leaves_takes_no_frame_from_the_others(pictures: Path) -> None:
    async def run() -> list[bytes]:
        backend = LocalBackend(no_models, FolderSource(pictures), "none")
        hub = Hub(backend, "1", lambda result, picture: None, lambda: False)
        backend.start(hub)
        leaves, stays = hub.connect(), hub.connect()
        # The second picture waits while the large one is encoded.
        large = Picture(stamp=1, rgb=np.zeros((4000, 4000, 3), np.uint8), number=1)
        second = Picture(stamp=2, rgb=np.zeros((4, 4, 3), np.uint8), number=2)
        busy, leaving, staying = (
            asyncio.create_task(hub.messages(picture, viewer))
            for picture, viewer in ((large, stays), (second, leaves), (second, stays))
        )
        await asyncio.sleep(0)
        leaving.cancel()
        try:
            await busy
            return await staying
        finally:
            await asyncio.to_thread(backend.close)
            hub.close()

    assert len(asyncio.run(asyncio.wait_for(run(), 60))) == 1
