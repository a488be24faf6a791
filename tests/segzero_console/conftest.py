"""A console over pictures, whose models are not there: all but asking works."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzero.errors import CheckpointError
from segzero.pipeline import SegZero
from segzero_console.local import LocalBackend
from segzero_console.server import Server
from segzero_console.sources.folder import FolderSource
from tests.segzero_console.browsing import Browser, serve


def no_models() -> SegZero:
    raise CheckpointError("there are no weights")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures 1 to 10, of which the third can't be read; each has its number as its colour."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(1, 11):
        pixels = np.full((48, 64, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "saved"


@pytest.fixture(scope="module")
def server(pictures: Path, rows: Path) -> Iterator[Server]:
    with serve(LocalBackend(no_models, FolderSource(pictures), "none"), rows) as server:
        yield server


@pytest.fixture
def open_browser(server: Server) -> Iterator[Callable[..., Browser]]:
    browsers = []

    def open_browser(**options: object) -> Browser:
        browsers.append(Browser(server, **options))
        return browsers[-1]

    yield open_browser
    for browser in browsers:
        browser.close()


@pytest.fixture
def browser(open_browser: Callable[..., Browser]) -> Browser:
    return open_browser()
