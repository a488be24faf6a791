"""The web server: the page, its WebSocket, its downloads."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from segzero import __version__
from segzero_console.access import HEADERS, Access
from segzero_console.backend import Backend
from segzero_console.carrying import Carrying
from segzero_console.downloads import Downloads
from segzero_console.hub import Hub
from segzero_console.reading import MAX_MESSAGE
from segzero_console.rerun_log import RerunLog
from segzero_console.rows import RowWriter
from segzero_console.session import Session
from segzero_console.viewers import Viewer

STATIC = Path(__file__).with_name("static")
MAX_VIEWERS = 32
_SEND_BUFFER = 256 * 1024
"""Bytes that the system may hold back for a slow browser: a few frames, not seconds of them."""
TOO_MANY, TOO_SLOW, FORBIDDEN = 4001, 4002, 4003
"""Why a WebSocket was closed; the page shows it."""


def make_app(
    backend: Backend, rows: RowWriter, access: Access, log: RerunLog | None = None
) -> ASGIApp:
    """Make the application; the backend starts with it and is closed with it.

    Args:
        backend: What the page looks at.
        rows: Where corrections are saved.
        access: Who may look.
        log: Gets everything that happens; closed with the application.
    """
    carrying, downloads = Carrying(rows), Downloads()
    hubs: list[Hub] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        hub = Hub(backend, __version__, carrying.add, lambda: carrying.active, log)
        hubs.append(hub)
        if log:
            log.start(backend.info.live, hub.trouble)
        backend.start(hub)
        try:
            yield
        finally:
            hub.close()
            await asyncio.to_thread(backend.close)
            if log:
                await asyncio.to_thread(log.close)

    async def page(request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None and access.token:
            response: Response = RedirectResponse("/", 303)
            if access.is_token(token):
                response.set_cookie(access.cookie, token, httponly=True, samesite="strict")
            else:
                response = PlainTextResponse("The token is wrong.\n", 403)
            return response
        if not access.is_open(request.headers, {}):
            return PlainTextResponse("Open the address that the console printed.\n", 403)
        return FileResponse(STATIC / "index.html")

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def download(request: Request) -> Response:
        if not access.is_open(request.headers, {}):
            return PlainTextResponse("Forbidden\n", 403)
        file = downloads.take(request.path_params["key"])
        if file is None:
            return PlainTextResponse("Gone: a file can be fetched once.\n", 404)
        disposition = {"content-disposition": f'attachment; filename="{file.name}"'}
        return Response(file.data, media_type=file.kind, headers=disposition)

    async def websocket(socket: WebSocket) -> None:
        await socket.accept()
        hub = hubs[0]
        if reason := _refusal(socket, access, hub):
            await socket.close(*reason)
            return
        viewer = hub.connect()
        session = Session(backend, hub, viewer, rows, carrying, downloads)
        try:
            await _serve(socket, hub, viewer, session)
        finally:
            session.close()
            hub.disconnect(viewer)

    # `colcon build --symlink-install` makes each file a link to the source tree.
    static = StaticFiles(directory=STATIC, check_dir=False, follow_symlink=True)
    app = Starlette(
        routes=[
            Route("/", page),
            Route("/healthz", health),
            Route("/download/{key}", download),
            WebSocketRoute("/ws", websocket),
            Mount("/static", static),
        ],
        lifespan=lifespan,
    )
    return _Guard(app, access)  # around Starlette's own answer to errors, too


class Server(uvicorn.Server):
    """The server on its socket.

    Args:
        app: The application.
        host: Its address.
        port: Its port; 0 finds a free one.

    Attributes:
        url: Where the page is.
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self.socket = bind(host, port)
        name = socket.gethostname() if host in ("0.0.0.0", "::") else host
        name = f"[{name}]" if ":" in name else name
        self.url = f"http://{name}:{self.socket.getsockname()[1]}/"
        config = uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,  # JPEG and PNG don't get smaller
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            limit_concurrency=4 * MAX_VIEWERS,
            h11_max_incomplete_event_size=2**14,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order. uvicorn raises the signal again within its loop: a page of tracebacks."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ends = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in ends}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def serve_forever(self) -> None:
        """Serve until ctrl-C or SIGTERM."""
        self.run(sockets=[self.socket])


def bind(host: str, port: int) -> socket.socket:
    """Open the socket to listen on; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # connections inherit
    try:
        listening.bind((host, port))
        listening.listen()  # whoever opens the printed address at once waits, and isn't refused
    except OSError:
        listening.close()
        raise
    return listening


class _Guard:
    """Refuses foreign hosts and adds the headers of HEADERS to every response."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app: Callable[[Scope, Receive, Send], Awaitable[None]] = self._app
        if not self._access.knows_host(Headers(scope=scope)):
            app = PlainTextResponse("This server has no such name.\n", 421)
        await app(scope, receive, send_with_headers)


def _refusal(socket: WebSocket, access: Access, hub: Hub) -> tuple[int, str] | None:
    headers = socket.headers
    if not (access.knows_host(headers) and access.same_origin(headers)):
        return FORBIDDEN, "this page is not this server's own"
    if not access.is_open(headers, socket.query_params):
        return FORBIDDEN, "open the address that the console printed"
    if len(hub.viewers) >= MAX_VIEWERS:
        return TOO_MANY, f"{MAX_VIEWERS} pages look already"
    return None


async def _serve(socket: WebSocket, hub: Hub, viewer: Viewer, session: Session) -> None:
    """Send and receive until either side ends."""
    tasks = [
        asyncio.create_task(work)
        for work in (_send(socket, hub, viewer), _receive(socket, session))
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(socket: WebSocket, hub: Hub, viewer: Viewer) -> None:
    while True:
        item = await viewer.next()
        if viewer.too_slow:
            await socket.close(TOO_SLOW, "this page is too slow")
            return
        if isinstance(item, str):
            viewer.bytes_sent += len(item)
            await socket.send_text(item)
            continue
        messages = [item] if isinstance(item, bytes) else await hub.messages(item, viewer)
        for message in messages:
            viewer.bytes_sent += len(message)
            await socket.send_bytes(message)


async def _receive(socket: WebSocket, session: Session) -> None:
    while True:
        message: dict[str, Any] = dict(await socket.receive())
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        session.receive(text if text is not None else message["bytes"])
