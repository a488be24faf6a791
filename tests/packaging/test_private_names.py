"""CONTRIBUTING.md lists every private name of another library that the sources use."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("segzero", "segzero_ros", "segzero_sim", "segzero_train")
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| `([\w./]+)` \| `([\w./]+)` \|", re.MULTILINE)
"""Name, library, file, test."""


def trees() -> dict[str, ast.Module]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_exit"  # os._exit


def own_names(tree: ast.Module) -> set[str]:
    """Private names that a file defines: functions, classes, variables, attributes, modules."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) in ("self", "cls")
        ):
            names.add(node.attr)
    return names


def foreign_names() -> set[tuple[str, str]]:
    """(name, file) of each private attribute that no file of the project defines."""
    parsed = trees()
    own = set().union(*map(own_names, parsed.values()))
    return {
        (node.attr, path)
        for path, tree in parsed.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and (node.attr not in own or ast.unparse(node.value) == "super()")
    }


def rows() -> list[tuple[str, str, str, str]]:
    return ROW.findall((ROOT / "CONTRIBUTING.md").read_text())


def test_every_private_name_stands_in_the_table() -> None:
    listed = {(name, path) for name, _, path, _ in rows()}
    assert foreign_names() - listed == set()


def test_every_row_is_true() -> None:
    assert rows()
    for name, _, path, test in rows():
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), (name, path)
        assert (ROOT / test).is_file(), test
