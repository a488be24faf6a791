"""A server of the Hugging Face Hub's API, as far as a download uses it.

The owner in a repository's name picks how the server behaves; see `_REFUSALS`.

    with serve(files) as (address, requested): ...
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40
REVISIONS = {"main": COMMIT, "v1.0": OTHER_COMMIT, "refs/pr/3": OTHER_COMMIT}
TOKEN = "hf_right"

_REFUSALS: dict[str, tuple[int, str, str]] = {
    "gated": (403, "GatedRepo", "Access to the model is restricted: accept its licence."),
    "private": (401, "RepoNotFound", "Repository not found"),
    "misspelt": (404, "RepoNotFound", "Repository not found"),
    "forbidden": (403, "", "The token has no permission"),
    "limited": (429, "", "Too many requests"),
    "broken": (500, "", "Internal error"),
    "away": (503, "", "Service unavailable"),
}
"""Status, error code and message by owner."""
_FILE_REFUSALS = {
    "gated-files": (403, "GatedRepo", "Access to the model is restricted: accept its licence."),
    "anonymous": (401, "GatedRepo", "Access to the model is restricted: log in."),
    "forbidden-files": (403, "", "The token has no permission"),
}
"""The same for owners whose repositories anybody may list."""
_PATH = re.compile(
    r"/api/(?:models|datasets)/(?P<repo>[^/]+/[^/]+)"
    r"(?:/(?P<kind>revision|tree|paths-info)/(?P<rev>[^?/]+))?(?:[/?].*)?"
    r"|(?:/datasets)?/(?P<from>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<file>.+)"
)


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the files of a folder, whatever repository is asked for.

    Args:
        folder: Each file below it is one of the repository.

    Yields:
        The address, and the paths of the files that were downloaded so far.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.files = {  # type: ignore[attr-defined]
        str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()
    }
    server.requested = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.requested  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match = _PATH.fullmatch(unquote(self.path))
        # A quoted revision may hold slashes.
        revision = re.search(r"/revision/([^?]+)", self.path)
        if revision is not None:
            self._info(self.path.split("/")[3], unquote(revision[1]))
        elif match is None:
            self._refuse(404, "EntryNotFound", f"no {self.path}")
        elif match["kind"] == "tree":
            self._json([_entry(name, path) for name, path in self.server.files.items()])
        elif match["kind"] == "paths-info":
            self._json([])
        elif match["repo"]:
            self._info(match["repo"].partition("/")[0], "main")
        else:
            self._file(match["from"].partition("/")[0], match["file"], match["commit"])

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass

    def _info(self, owner: str, revision: str) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token != TOKEN:
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif owner in _REFUSALS:
            self._refuse(*_REFUSALS[owner])
        elif revision not in REVISIONS and revision not in REVISIONS.values():
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            self._json({"id": "owner/name", "sha": REVISIONS.get(revision, revision)})

    def _file(self, owner: str, name: str, commit: str) -> None:
        path = self.server.files.get(name)
        if owner in _FILE_REFUSALS:
            self._refuse(*_FILE_REFUSALS[owner])
        elif path is None:
            self._refuse(404, "EntryNotFound", f"no {name}")
        else:
            if self.command == "GET":
                self.server.requested.append(f"{name}@{commit[0]}")
            headers = {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": commit}
            self._answer(200, path.read_bytes(), headers)

    def _json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._answer(status, json.dumps({"error": message}).encode(), headers)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _entry(name: str, path: Path) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": _digest(path)}


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
