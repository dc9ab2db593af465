"""HTTP requests to servers that may be slow, endless or hostile: bounded in bytes as unpacked, and in time, headers included."""

import base64
import contextlib
import os
import re
import ssl
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import certifi
import httpcore
from pydantic_core import from_json

from wattseal.errors import GatewayError, TimeUp
from wattseal.gateway.time_limit import left_s, time_limit

OK, NOT_FOUND, TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE = 200, 404, 429, 503
# A page that comes with one of these says nothing that the status does not.
_BODY_UNREAD = (NOT_FOUND, TOO_MANY_REQUESTS, SERVICE_UNAVAILABLE)
# An answer may take this many times what a read may.
_READS_TIMES = 4
_MAX_CONNECTIONS = 32
_KEPT_OPEN_S = 5.0
# A list takes 60 bytes of memory and an object 230, however few they have in JSON. A log, the densest thing an honest server sends, has 300 bytes.
_CONTAINERS_ALWAYS, _BYTES_A_CONTAINER = 1000, 32
_WRITE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: `body` is empty for statuses that say all. `retry_after` is the header of that name."""

    status: int
    retry_after: str
    body: bytes

    def json(self) -> Any:
        """Return the body read as JSON of bounded depth. Raises ValueError for anything else, and where it would take many times its own memory."""
        if self.body.count(b"[") + self.body.count(b"{") > _CONTAINERS_ALWAYS + len(self.body) // _BYTES_A_CONTAINER:
            raise ValueError("it is nearly all brackets")
        return from_json(self.body)  # not json.loads: eth-account's py_ecc lifts the recursion limit, and deep nesting would then crash the process


class HttpServer:
    """One server and its open connections. Thread-safe. Proxies of the environment are not used."""

    def __init__(self, url: str, timeout_s: float, trouble: type[GatewayError]) -> None:
        """`timeout_s` bounds each read and, four times over, a whole answer; `trouble` is what is raised. Nothing is asked yet."""
        self.name = re.split("[/?#]", url.split("://")[-1])[0].split("@")[-1]  # the rest of an address often holds a secret
        self._url = url
        self._timeout_s = timeout_s
        self._trouble = trouble
        self._pool = httpcore.ConnectionPool(
            ssl_context=_trust() if url.startswith("https") else None,
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEPT_OPEN_S,
            network_backend=_LimitedBackend(),
        )

    def request(self, what: str, limit: int, path: str = "", json: bytes | None = None) -> Reply:
        """GET `path` below the server's address, or POST `json` there; read at most `limit` bytes. `what` is the question, for messages.

        Raises the server's kind of trouble, or TimeUp when the time limit of the whole question ends first.
        """
        whole_s = _READS_TIMES * self._timeout_s
        left_s()
        try:
            with time_limit(whole_s):
                return self._exchange(what, limit, path, json)
        except TimeUp as error:
            left_s()  # raises where it is the whole question's time that is up
            raise self._trouble(f"{what}: no whole answer from {self.name} in {whole_s:g} s") from error
        except (
            httpcore.TimeoutException,
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            ValueError,
            zlib.error,
        ) as error:
            raise self._trouble(f"{what}: no answer from {self.name} ({error!r:.200}); is it running?") from error

    def _exchange(self, what: str, limit: int, path: str, json: bytes | None) -> Reply:
        if not self._url.isascii():
            raise ValueError("the address is not ASCII")
        parts = urlsplit(self._url)
        host = parts.netloc.split("@")[-1]
        headers: dict[bytes | str, bytes | str] = {"host": host, "accept": "application/json", "accept-encoding": "gzip", "user-agent": "wattseal"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        if json is not None:
            headers |= {"content-type": "application/json", "content-length": str(len(json))}
        method, url = "GET" if json is None else "POST", parts._replace(netloc=host).geturl() + path
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        with self._pool.stream(method, url, headers=headers, content=json, extensions={"timeout": timeouts}) as response:
            answered = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            body = b""
            if response.status not in _BODY_UNREAD:
                body = self._read(what, limit, answered.get(b"content-encoding", "identity").lower(), response.iter_stream())
            return Reply(response.status, answered.get(b"retry-after", ""), body)

    def _read(self, what: str, limit: int, encoding: str, chunks: Iterable[bytes]) -> bytes:
        """Return the body, unpacked to at most `limit` bytes: a kilobyte can hold a megabyte of zeros."""
        if encoding not in ("identity", "gzip"):
            raise ValueError(f"content-encoding {encoding:.40}, which was not asked for")
        unpack = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        body = bytearray()
        for chunk in chunks:
            body += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(body))
            if len(body) > limit:
                raise self._trouble(f"{what}: the answer of {self.name} has more than {limit} bytes")
        return bytes(body)


class _LimitedStream(httpcore.NetworkStream):
    """A connection of which no wait outlasts the time limit, so that bytes that drip in one by one, headers too, come to an end."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _bounded(timeout) as seconds:
            return self._stream.read(max_bytes, seconds)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            with _bounded(timeout) as seconds:
                self._stream.write(buffer[start : start + _WRITE_BYTES], seconds)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        with _bounded(timeout) as seconds:
            return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class _LimitedBackend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        with _bounded(timeout) as seconds:
            return _LimitedStream(super().connect_tcp(host, port, seconds, local_address, socket_options))


@contextlib.contextmanager
def _bounded(timeout: float | None) -> Iterator[float]:
    """Yield the shorter of a time-out and what is left; running into the latter is TimeUp."""
    left = left_s()
    try:
        yield left if timeout is None else min(timeout, left)
    except httpcore.TimeoutException:
        left_s()
        raise


@cache
def _trust() -> ssl.SSLContext:
    """Return the one context of all servers: it holds some hundred certificates."""
    return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE", certifi.where()))
