"""The lines of a page's code block, and a way to run them on small inputs."""

import importlib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from segzero_train.shipped import find
from tests.segzero_train.tiny_runs import ROOT


def block(page: str, heading: str) -> list[str]:
    """The commands of the first code block below a heading, continued lines joined."""
    text = (ROOT / page).read_text(encoding="utf-8")
    below = text.split(f"{heading}\n", 1)[1]
    found = re.search(r"```\n(.*?)```", below, re.DOTALL)
    assert found
    return found[1].replace("\\\n", " ").strip().splitlines()


def run(lines: Sequence[str], more: Mapping[str, Sequence[str]]) -> None:
    """Run commands one after the other in this process, in the current folder.

    `accelerate launch` starts one process whatever it says: there are no GPUs. `ros2 launch` only
    looks its arguments up in the launch file.

    Args:
        lines: As `block` returns them.
        more: Options that are appended, by module.
    """
    variables: dict[str, str] = {}
    for line in lines:
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        if match := re.fullmatch(r"(\w+)=\$\(python -m segzero_train\.shipped (\w+)/(\w+)\)", line):
            name, kind, stem = match.groups()
            variables[name] = str(find(kind, stem))  # type: ignore[arg-type]
            continue
        words = shlex.split(line, comments=True)
        if words[:2] == ["ros2", "launch"]:
            _look_up(words[2:])
            continue
        if words[0] == "accelerate":
            if "--config_file" in words:
                assert Path(words[words.index("--config_file") + 1]).is_file()
            words = words[words.index("-m") - 1 :]
            words[0] = "python"
        if words[0] == "segzero":
            words = ["python", "-m", "segzero.cli", *words[1:]]
        assert words[:2] == ["python", "-m"], line
        module = words[2]
        status = importlib.import_module(module).main([*words[3:], *more.get(module, ())])
        assert status in (0, None), line


def _look_up(words: Sequence[str]) -> None:
    package, file, *arguments = words
    text = (ROOT / "launch" / file).read_text(encoding="utf-8")
    assert package == "segzero_ros"
    for argument in arguments:
        name, _, value = argument.partition(":=")
        assert f'"{name}"' in text
        assert "/" not in value or Path(value).is_file()
