"""A JSON-RPC server that lies: it passes questions on to a chain and changes the answers as told. For the demo and for tests."""

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx

# Takes a method, its parameters and the true result; returns what the gateway is told.
Lie = Callable[[str, list[Any], Any], Any]


def truth(_method: str, _params: list[Any], result: Any) -> Any:
    """Change nothing."""
    return result


class LyingUpstream:
    """`lie` may be changed at any time; `asked` holds the methods that were asked for."""

    def __init__(self, url: str, behind: str) -> None:
        self.url = url
        self.lie: Lie = truth
        self.asked: list[str] = []
        self._http = httpx.Client(base_url=behind)

    @property
    def name(self) -> str:
        """How a gateway calls it."""
        return self.url.removeprefix("http://")

    def answer(self, body: bytes) -> bytes:
        """Return what the gateway is told."""
        request = json.loads(body)
        self.asked.append(request["method"])
        reply = self._http.post("/", json=request).json()
        if "result" in reply:
            reply["result"] = self.lie(request["method"], request["params"], reply["result"])
        return json.dumps(reply).encode()


@contextlib.contextmanager
def lying_upstream(behind: str) -> Iterator[LyingUpstream]:
    """Runs one in front of the chain at `behind`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = upstream.answer(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False  # the gateway keeps its connections open
    upstream = LyingUpstream(f"http://127.0.0.1:{server.server_port}", behind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
