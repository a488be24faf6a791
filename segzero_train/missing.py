"""What to run where a folder is missing: the command that makes it."""

import re
from pathlib import Path

_SOURCES = {
    "reasonseg": "reasonseg --source ReasonSeg",
    "grefcoco": "grefcoco --source refer/grefcoco --images train2014",
    "refcocog": "refcocog --source refer/refcocog --images train2014",
    "refcoco+": "refcoco+ --source refer/refcoco+ --images train2014",
    "refcoco": "refcoco --source refer/refcoco --images train2014",
    "tabletop": "tabletop",
}
"""Originals of the published sets, as the pages of documentation lay them out."""


def missing_dataset(name: str, split: str) -> str:
    """Say that a dataset's folder is missing, and how it is made.

    Args:
        name: The folder, as the user wrote it.
        split: Which one is needed.

    Returns:
        One line.
    """
    last = re.split(r"[\\/]", name.rstrip("\\/"))[-1].lower()
    source = next((words for key, words in _SOURCES.items() if last.startswith(key)), None)
    words = source or "folder --source MY_PICTURES"
    return (
        f"there is no folder {name}, and a name that looks like a path is not looked up on the "
        f"Hub: `python -m segzero_train.prepare {words} --split {split} --out {name}` makes it"
    )


def missing_weights(name: str) -> str:
    """Say that a folder of weights is missing, and how it is made."""
    out = name.rstrip("\\/").removesuffix("/reasoner")
    return (
        f"there is no folder {name}, and a name that looks like a path is not looked up on the "
        f"Hub: `python -m segzero_train.export RUN --out {out}` makes it of a run, `hf download "
        f"OWNER/NAME --local-dir {name}` of the Hub's"
    )


def missing_profile(name: str) -> str:
    """Say that a profile's file is missing, and how it is made."""
    path = Path(name)
    folder = path.parent if path.suffix in (".yaml", ".yml") else path
    return (
        f"there is no profile {name}: `python -m segzero_train.export RUN --out {folder}` writes "
        f"{folder / 'profile.yaml'}, and `segzero profiles` lists the shipped ones"
    )


def only_adapters(folder: Path) -> str:
    """Say that a folder holds LoRA adapters where a whole model is needed."""
    return (
        f"{folder} holds LoRA adapters alone: `python -m segzero_train.export {folder} --out "
        f"MERGED` joins them to their base, then name MERGED/reasoner"
    )
