"""Print or write the drawing of rooms and arrows in docs/architecture.md.

A room is a folder of a package, or a module at a package's root. An arrow is an import, also one
inside a function. `python scripts/draw_rooms.py --write` renews the drawing.
"""

import ast
import sys
import textwrap
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("segzero_console", "segzero_ros", "segzero_train", "segzero", "segzero_sim")
BEGIN, END = "<!-- rooms:begin -->", "<!-- rooms:end -->"

Graph = dict[str, set[str]]
"""Each node with those that it imports."""


def module_imports(root: Path = ROOT) -> Graph:
    """The imports between the project's own modules, by dotted names."""
    files = {
        _dotted(path.relative_to(root)): path
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }
    return {
        name: {target for target in _targets(path, files) if target != name}
        for name, path in files.items()
    }


def outside_imports(root: Path = ROOT) -> Graph:
    """The top-level names of other packages that each package imports."""
    return {
        package: {
            name.partition(".")[0]
            for path in (root / package).rglob("*.py")
            for name, _ in _statements(path)
        }
        - {package}
        for package in PACKAGES
    }


def rooms(modules: Mapping[str, set[str]]) -> Graph:
    """The same arrows between rooms."""
    graph: Graph = {}
    for module, targets in modules.items():
        graph.setdefault(room := _room(module), set()).update(
            _room(target) for target in targets if _room(target) != room
        )
    return graph


def floors(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Rooms by height: a room stands above all that it imports; the ground floor is first.

    Raises:
        graphlib.CycleError: Rooms import each other in a circle.
    """
    height: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        height[room] = max((height[below] + 1 for below in graph.get(room, ())), default=0)
    return [sorted(r for r, h in height.items() if h == k) for k in range(max(height.values()) + 1)]


def drawing(graph: Mapping[str, set[str]]) -> str:
    """The rooms of each package from top to bottom, with their arrows to other rooms."""
    lines = ["```text"]
    order = [room for floor in reversed(floors(graph)) for room in floor]
    for package in PACKAGES:
        lines.append(package)
        inside = [room for room in order if room.partition(".")[0] == package]
        width = max(len(_short(room, package)) for room in inside)
        for room in inside:
            targets = sorted(graph[room], key=order.index)
            near = [
                _short(target, package) for target in targets if target.startswith(package + ".")
            ]
            far = sorted({t.partition(".")[0] for t in targets} - {package})
            arrows = ", ".join([*near, *far])
            name = f"    {_short(room, package)}"
            if arrows:
                name = f"{name:{width + 4}}  → "
            lines += textwrap.wrap(name + arrows, 100, subsequent_indent=" " * len(name))
    return "\n".join([*lines, "```"])


def on_page(page: str) -> str:
    """The drawing as the page has it."""
    return page.partition(BEGIN)[2].partition(END)[0].strip()


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _short(room: str, package: str) -> str:
    return room.removeprefix(package + ".")


def _statements(path: Path) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]


def _targets(path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    for module, names in _statements(path):
        inside = [f"{module}.{name}" for name in names if f"{module}.{name}" in files]
        yield from inside
        if len(inside) < len(names) or not names:
            for name in (module, f"{module}.__init__"):
                if name in files:
                    yield name


if __name__ == "__main__":
    text = drawing(rooms(module_imports()))
    if "--write" in sys.argv[1:]:
        page = PAGE.read_text()
        PAGE.write_text(
            page.replace(on_page(page), text)
            if on_page(page)
            else page.replace(BEGIN, f"{BEGIN}\n{text}")
        )
    else:
        print(text)
