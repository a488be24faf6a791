"""Hooks of MkDocs: files outside `docs/` become pages, and links to them lead to these pages.

README.md and its like lie where people look for them in the repository. So they stand once.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "code_of_conduct.md",
    "SECURITY.md": "security.md",
    "checkpoints/demo/README.md": "demo_profile.md",
    "benchmarks/results/grpo-demo.png": "grpo-demo.png",
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#]+)")
"""What stands between `](` and `)` or `#`, unless it is an address."""


def on_files(files: Files, config: Any) -> Files:
    """Add the files outside `docs/`."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    name = page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(name, f"docs/{name}"))

    def page_link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[1]))
        return posixpath.relpath(
            PAGES.get(target, target.removeprefix("docs/")), posixpath.dirname(name) or "."
        )

    return LINK.sub(page_link, markdown)
