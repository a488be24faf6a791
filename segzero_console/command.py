"""The commands `segzero console` and `segzero annotate`."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from segzero.errors import SegZeroError
from segzero.terminal import escape_unprintable
from segzero_console.access import Access, is_loopback

PORT = 8365
ROWS = Path("console_rows")


def console(argv: Sequence[str] | None = None) -> int:
    """Serve the page over a source of pictures.

    Args:
        argv: The arguments; those of the process by default.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="segzero console", description="Look, ask and correct, in a browser."
    )
    parser.add_argument(
        "--source",
        default="tabletop",
        help="`tabletop`, the number of a webcam, a video file or a folder of pictures "
        "(default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, help="scene of the tabletop")
    parser.add_argument(
        "--out", type=Path, default=ROWS, help="folder for saved rows (default: %(default)s)"
    )
    _add_common(parser)
    return _run(parser.parse_args(argv), playing=True)


def annotate(argv: Sequence[str] | None = None) -> int:
    """Serve the page over a video or folder, which waits at its first picture.

    Args:
        argv: The arguments; those of the process by default.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        prog="segzero annotate", description="Make training rows of a video or of pictures."
    )
    parser.add_argument("source", help="a video file or a folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the rows")
    _add_common(parser)
    arguments = parser.parse_args(argv)
    arguments.seed = None
    return _run(arguments, playing=False)


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every way to start the server takes."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=PORT, help="(default: %(default)s)")
    parser.add_argument(
        "--token",
        help="word that opens the page; for an address that others reach, one is made if none is "
        "given",
    )
    parser.add_argument(
        "--rerun",
        type=Path,
        metavar="FILE.rrd",
        help="write everything into a recording for Rerun's viewer (needs rerun-sdk)",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="demo", help="name or YAML file (default: demo)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: auto)")
    add_server_arguments(parser)


def serve_safely(serve: Callable[[], None]) -> int:
    """Run a server; what can't work is one line on stderr.

    Returns:
        The exit status.
    """
    escape_unprintable()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as well as by ctrl-C
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    try:
        serve()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "websockets"):
            raise
        return _fail(f"{error.name} is missing: pip install 'segzero[console]'")
    except (SegZeroError, OSError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        pass
    return 0


def _run(arguments: argparse.Namespace, *, playing: bool) -> int:
    return serve_safely(lambda: _serve_source(arguments, playing))


def _serve_source(arguments: argparse.Namespace, playing: bool) -> None:
    from segzero.pipeline import SegZero
    from segzero.profiles import load_profile
    from segzero_console.local import LocalBackend
    from segzero_console.rows import RowWriter
    from segzero_console.sources.opening import open_source
    from segzero_console.sources.source import SourceError

    profile = load_profile(arguments.profile)
    source = open_source(arguments.source, arguments.seed)
    if not playing and source.info.live:
        raise SourceError("only a video or a folder of pictures can be annotated")
    rows = RowWriter(arguments.out)
    backend = LocalBackend(
        lambda: SegZero.load(profile, arguments.device), source, profile.name, playing=playing
    )
    start_server(backend, rows, arguments)


def start_server(backend: object, rows: object, arguments: argparse.Namespace) -> None:
    """Serve until ctrl-C; prints the address."""
    from segzero_console.rerun_log import RerunLog
    from segzero_console.server import Server, make_app

    token = arguments.token
    if token is not None and not is_loopback(arguments.host) and len(token) < 8:
        raise SegZeroError("--token must have 8 characters at least where others reach the page")
    access = Access.choose(arguments.host, arguments.port, token)
    log = RerunLog(arguments.rerun) if arguments.rerun else None
    app = make_app(backend, rows, access, log)  # type: ignore[arg-type]
    server = Server(app, arguments.host, arguments.port)
    print(f"The console is at {server.url}{'?token=' + access.token if access.token else ''}")
    if not is_loopback(arguments.host):
        print("Others can reach it: there is no encryption, so use it in networks that you trust.")
    sys.stdout.flush()
    server.serve_forever()


def _fail(reason: object) -> int:
    print(f"segzero: {' '.join(str(reason).split())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(console())
