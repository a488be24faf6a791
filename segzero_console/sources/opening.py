"""From what the user names to a source."""

from pathlib import Path

from segzero_console.sources.folder import FolderSource
from segzero_console.sources.source import LiveSource, RecordedSource, SourceError
from segzero_console.sources.video import VideoSource
from segzero_console.sources.webcam import WebcamSource


def open_source(name: str, seed: int | None = None) -> LiveSource | RecordedSource:
    """Find the source of a name.

    Args:
        name: `tabletop`, the number of a webcam, or the path of a video or folder.
        seed: Of the tabletop's scene.

    Raises:
        SourceError: There is none of that name, or it can't be used.
    """
    if name == "tabletop":
        return _tabletop(seed)
    if seed is not None:
        raise SourceError("only the tabletop has a seed")
    if name.isascii() and name.isdigit():
        return WebcamSource(Path(f"/dev/video{int(name)}"))
    path = Path(name)
    if path.is_dir():
        return FolderSource(path)
    if path.exists():
        return VideoSource(path)
    raise SourceError(
        f"there is no {name}: name a webcam by its number, a video file, a folder of pictures, or "
        "`tabletop`"
    )


def _tabletop(seed: int | None) -> LiveSource:
    try:
        from segzero_console.sources.tabletop import SEED, TabletopSource
    except ImportError as error:  # MuJoCo is an extra
        raise SourceError(
            f"the tabletop needs MuJoCo ({error}): pip install 'segzero[sim]'"
        ) from error
    return TabletopSource(SEED if seed is None else seed)
