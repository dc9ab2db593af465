"""HTTP servers for tests. A client that hangs up early, as the gateway does on purpose, is nothing to print."""

import contextlib
import http.server
import json
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

# A body, or status, headers and body (in parts, where it is a list).
Answer = bytes | tuple[int, dict[str, str], Any]


class LocalServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # the gateway keeps its connections open

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        raise NotImplementedError

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))

    def send(self, answer: Answer) -> None:
        status, headers, body = (200, {}, answer) if isinstance(answer, bytes) else answer
        self.send_response(status)
        if isinstance(body, bytes):
            headers = {"content-length": str(len(body)), **headers}
        else:
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for part in [body] if isinstance(body, bytes) else body:
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serve(answer_to: Callable[[Any], Answer]) -> Iterator[str]:
    """An HTTP server at the URL given; `answer_to` takes a JSON-RPC request."""

    class JsonRpc(Handler):
        def answer(self) -> None:
            self.send(answer_to(json.loads(self.body())))

    server = LocalServer(JsonRpc)
    try:
        yield server.url
    finally:
        server.close()
