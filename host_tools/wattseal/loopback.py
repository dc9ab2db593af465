"""For servers on the loopback interface: a page of another site must not reach them through a name of its own (DNS rebinding)."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_NAMES = ("localhost", "127.0.0.1", "[::1]")


class LoopbackOnly:
    """Refuses requests whose Host is not this machine's own name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 421."""
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            if name.lower() not in _NAMES:
                message = f"the request is for host {host[:80]!r}; ask for 127.0.0.1"
                await JSONResponse({"code": "bad_host", "message": message}, 421)(scope, receive, send)
                return
        await self._app(scope, receive, send)
