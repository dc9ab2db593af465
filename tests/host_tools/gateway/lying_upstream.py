"""An HTTP server between the gateway and a chain that changes answers as told."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.host_tools.gateway.http_server import Handler, LocalServer

# Takes a method, its parameters and the true result; returns what the gateway is told.
Lie = Callable[[str, list[Any], Any], Any]


def truth(_method: str, _params: list[Any], result: Any) -> Any:
    return result


class LyingUpstream:
    """`lie` may be changed at any time; `asked` holds the methods that were asked for."""

    def __init__(self, url: str, behind: str) -> None:
        self.url = url
        self.lie: Lie = truth
        self.asked: list[str] = []
        self._http = httpx.Client(base_url=behind)

    def answer(self, body: bytes) -> bytes:
        request = json.loads(body)
        self.asked.append(request["method"])
        reply = self._http.post("/", json=request).json()
        if "result" in reply:
            reply["result"] = self.lie(request["method"], request["params"], reply["result"])
        return json.dumps(reply).encode()


@contextlib.contextmanager
def lying_upstream(behind: str) -> Iterator[LyingUpstream]:
    """Runs one in front of the chain at `behind`."""

    class Upstream(Handler):
        def answer(self) -> None:
            self.send(upstream.answer(self.body()))

    server = LocalServer(Upstream)
    upstream = LyingUpstream(server.url, behind)
    try:
        yield upstream
    finally:
        server.close()
