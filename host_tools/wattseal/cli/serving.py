"""What the commands that serve have in common: addresses, listening, the log."""

import contextlib
import ipaddress
import json
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from wattseal.errors import LinkError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_PLAIN_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def address(text: str) -> tuple[str, int]:
    """Read HOST:PORT of an option. Raises BadParameter."""
    match = re.fullmatch(r"\[([0-9a-fA-F:.]+)\]:(\d{1,5})|([^:]+):(\d{1,5})", text)
    if not match or int(match[2] or match[4]) > 0xFFFF:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT, as in 127.0.0.1:7140 or [::1]:7140")
    return match[1] or match[3], int(match[2] or match[4])


def written(address: tuple[str, int]) -> str:
    """Return HOST:PORT."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listener(host: str, port: int, option: str) -> socket.socket:
    """Listen; `option` is what sets the address. Raises LinkError."""
    try:
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise LinkError(f"cannot listen on {host}:{port}: {error}; give another {option}") from error
    bound.setblocking(False)
    # connections inherit it; asyncio sets it itself only on sockets made with IPPROTO_TCP, and answers in two writes would wait 40 ms
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def is_loopback(listener: socket.socket) -> bool:
    """Return whether only this machine reaches what listens there."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def serve(app: "ASGIApp", listener: socket.socket, **said: object) -> None:
    """Say on stdout that it listens, and what else is `said`, and serve until SIGTERM or SIGINT."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Stop in order, and do not die of the signal afterwards."""
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self.handle_exit)
            yield

    sys.stdout.write(json.dumps({"ready": True, **said, "listen": written(listener.getsockname()[:2])}) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, server_header=False, limit_concurrency=64, timeout_graceful_shutdown=5
    )
    Server(config).run(sockets=[listener])


def notify(state: str) -> None:
    """Tell systemd how far this process is, where it was started by it with Type=notify (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying, contextlib.suppress(OSError):
            notifying.connect("\0" + path[1:] if path.startswith("@") else path)
            notifying.sendall(state.encode())


def log_to_stderr() -> None:
    """Send the log of this process to stderr, one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Each answer of the chain is a request; they would drown the rest.
    for name in ("httpx", "httpcore", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, whatever was given as `extra`, and `receipt`, by which all lines about one can be found."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _PLAIN_RECORD}
        if "session" in line and "sequence" in line:
            line["receipt"] = f"{str(line['session'])[2:10]}-{line['sequence']}"
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
