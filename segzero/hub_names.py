"""Tell a name on the Hugging Face Hub from a path on this disk.

`data/reasonseg` could be both. Read as a name, a missing folder would silently become a stranger's
repository, so that whatever looks like a path is one.
"""

import re
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w-]*(?:\.[\w-]+)*/[A-Za-z0-9_][\w-]*(?:\.[\w-]+)*")
_FOLDERS = re.compile(
    r"checkpoints?|downloads?|configs?|data|datasets?|demo|export(ed|s)?|home"
    r"|images?|logs?|mnt|models?|out(puts?)?|pictures?|prepared|results?|runs?|scratch|te?mp|tests?"
    r"|train|val|weights|work(space)?",
    re.IGNORECASE,
)
"""Names of first folders that people use, whether or not they have made them yet."""
_SUFFIXES = re.compile(
    r"\.(arrow|bin|csv|gguf|gz|h5|jpe?g|jsonl?|np[yz]|onnx|p|parquet|pickle|pkl|png|pth?|py"
    r"|safetensors|tar|tgz|toml|tsv|txt|webp|ya?ml|zip|zst)",
    re.IGNORECASE,
)


def is_hub_name(name: str, folders: Iterable[Path] = (Path(),)) -> bool:
    r"""Whether a text can only be meant as a name on the Hub, `owner/name`.

    Args:
        name: What the user wrote.
        folders: Where a relative path would begin.

    Returns:
        False for everything that looks like a path: `./x`, `/x`, `~/x`, `a\b`, `a/b/c`, a name
        with a file's suffix, and `a/b` where the folder `a` exists or has a name such as `data`.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        return False
    owner = name.partition("/")[0]
    if _FOLDERS.fullmatch(owner) or _SUFFIXES.fullmatch(Path(name).suffix):
        return False
    return not any((folder / owner).is_dir() for folder in folders)
