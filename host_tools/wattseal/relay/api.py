"""The relay's HTTP API: offers and vouchers for drivers, receipts and settlements for everybody who may read them.

JSON in, JSON out. Byte strings and integers are written as on the plug link. Every refusal is `{"code": ..., "message": ...}`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wattseal.errors import Malformed, PlugRefused, UnknownSession, WattsealError
from wattseal.loopback import LoopbackOnly
from wattseal.protocol.framing import strict_json
from wattseal.protocol.messages import Voucher, due, parse_command, read_hex, to_hex
from wattseal.relay import page
from wattseal.relay.health import Health
from wattseal.relay.metrics import CONTENT_TYPE
from wattseal.relay.service import Relay

MAX_BODY_BYTES = 16 << 10
PAGE = 1000  # receipts in one answer

_STATUS_OF_CODE = {
    "unknown_plug": 404,
    "unknown_session": 404,
    "not_enrolled": 404,
    "no_offer": 409,
    "retired": 409,
    "in_site": 409,
    "malformed": 422,
    "bad_signature": 422,
    "plug_offline": 504,
    "plug_silent": 504,
}
# Codes of a plug that ask for another moment; its others ask for another voucher.
_PLUG_IS_NOT_READY = ("busy", "no_clock", "stale_nonce", "outbox_full", "bad_state", "tripped", "meter_fault", "stale_epoch")


def make_app(relay: Relay, loopback_only: bool, health: Health | None = None) -> Starlette:
    """Return the ASGI application. With `loopback_only`, requests must name a loopback host (against DNS rebinding).

    `health` says whether the relay is ready; without one it is.
    """
    hosts = [
        Route("/healthz", _health),
        Route("/livez", _live),
        Route("/metrics", _metrics),
        Route("/plugs", _plugs),
        Route("/plugs/{plug}/commands", _command, methods=["POST"]),
        Route("/plugs/{plug}/enrolments", _enrol, methods=["POST"]),
        Route("/quarantine", _quarantine),
        Route("/sites", _sites),
        Route("/plugs/{plug}/departure", _departure, methods=["POST"]),
    ]
    return _app(relay, [*hosts, *_DRIVERS], loopback_only, health or Health())


def make_drivers_app(relay: Relay, loopback_only: bool) -> Starlette:
    """Return the application with what drivers need and nothing that commands a plug or lists others' sessions: it may face a network."""
    return _app(relay, _DRIVERS, loopback_only, Health())


def _app(relay: Relay, routes: list[Route], loopback_only: bool, health: Health) -> Starlette:
    app = Starlette(
        routes=routes,
        middleware=[Middleware(LoopbackOnly)] if loopback_only else [],
        exception_handlers={WattsealError: _on_refusal, HTTPException: _on_http_error},
    )
    app.state.relay = relay
    app.state.health = health
    return app


# -- routes ---------------------------------------------------------------------------------------------------------------------------


async def _health(request: Request) -> Response:
    relay = _relay(request)
    reasons = await request.app.state.health.reasons()
    page = {"ok": not reasons, "chain_id": relay.chain_id, "contract": to_hex(relay.contract), "plugs_connected": len(relay.connections)}
    return JSONResponse(page | {"reasons": [asdict(reason) for reason in reasons]}, 503 if reasons else 200)


async def _live(_: Request) -> Response:
    return JSONResponse({"ok": True})


async def _metrics(request: Request) -> Response:
    return Response(_relay(request).metrics.text(), media_type=CONTENT_TYPE)


async def _plugs(request: Request) -> Response:
    relay = _relay(request)
    return JSONResponse({"plugs": [_plug(relay, plug) for plug in sorted({*relay.store.plugs(), *relay.connections})]})


async def _offer(request: Request) -> Response:
    relay = _relay(request)
    plug = _path_bytes(request, "plug", 20)
    offer = relay.offer(plug)
    hello = relay.connection(plug).hello
    return JSONResponse(
        {
            "plug": to_hex(plug),
            "nonce": offer.nonce,
            "issued_at": offer.issued_at,
            "price_per_kwh": offer.price_per_kwh,
            "price_per_hour": offer.price_per_hour,
            "rated_power_w": hello and hello.rated_power_w,
            "chain_id": relay.chain_id,
            "contract": to_hex(relay.contract),
        }
    )


async def _submit_voucher(request: Request) -> Response:
    plug = _path_bytes(request, "plug", 20)
    body = await _body(request, "voucher", "signature")
    voucher = Voucher.from_wire(body["voucher"])
    session = await _relay(request).submit_voucher(plug, voucher, read_hex("signature", body["signature"], 65))
    return JSONResponse({"session": to_hex(session)}, 201)


async def _command(request: Request) -> Response:
    plug = _path_bytes(request, "plug", 20)
    _check_json_type(request)
    await _relay(request).command(plug, parse_command(await _json_object(request)))
    return JSONResponse({"plug": to_hex(plug)}, 202)


async def _enrol(request: Request) -> Response:
    plug = _path_bytes(request, "plug", 20)
    _check_json_type(request)
    epoch = (await _body(request, "epoch"))["epoch"]
    if epoch is not None and (type(epoch) is not int or not 0 < epoch < 1 << 64):
        raise Malformed(f"epoch is {epoch!r:.40}: 1 to 2^64 - 1, or null for the next")
    relay = _relay(request)
    await relay.enrol(plug, epoch)
    return JSONResponse(_exported(relay, plug), 201)


async def _key(request: Request) -> Response:
    return JSONResponse(_exported(_relay(request), _path_bytes(request, "plug", 20)))


async def _stop(request: Request) -> Response:
    session = _path_bytes(request, "session", 32)
    body = await _body(request, "signature")
    await _relay(request).stop(session, read_hex("signature", body["signature"], 65))
    return JSONResponse({"session": to_hex(session)})


async def _session(request: Request) -> Response:
    store = _relay(request).store
    session = _path_bytes(request, "session", 32)
    accepted = store.voucher(session)
    if accepted is None:
        raise UnknownSession(f"no session {to_hex(session)} is known here")
    newest = store.newest_receipt(session)
    return JSONResponse(
        {
            **accepted.to_wire(),
            "newest": newest and newest.to_wire(),
            "due": 0 if newest is None else due(accepted.voucher, newest.receipt),
            "receipts": store.count_receipts(session),
            "settlements": [_hexed(asdict(record)) for record in store.settlements(session)],
        }
    )


async def _receipts(request: Request) -> Response:
    store = _relay(request).store
    session = _path_bytes(request, "session", 32)
    if store.voucher(session) is None:
        raise UnknownSession(f"no session {to_hex(session)} is known here")
    receipts = store.receipts(session, after=_query_integer(request, "after", -1), limit=PAGE)
    more = len(receipts) == PAGE
    return JSONResponse({"receipts": [message.to_wire() for message in receipts], "after": receipts[-1].receipt.sequence if more else None})


async def _session_page(request: Request) -> Response:
    return await run_in_threadpool(page.render, _relay(request), _path_bytes(request, "session", 32))


async def _quarantine(request: Request) -> Response:
    return JSONResponse({"quarantine": [_hexed(asdict(entry)) for entry in _relay(request).store.quarantined()]})


async def _sites(request: Request) -> Response:
    return JSONResponse({"sites": _relay(request).sites.pages()})


async def _departure(request: Request) -> Response:
    plug = _path_bytes(request, "plug", 20)
    _check_json_type(request)
    departs_at = (await _body(request, "departs_at"))["departs_at"]
    if type(departs_at) is not int or not 0 < departs_at < 1 << 40:
        raise Malformed(f"departs_at is {departs_at!r:.40}: a UTC second")
    _relay(request).sites.wish(plug, departs_at)
    return JSONResponse({"plug": to_hex(plug)}, 202)


_DRIVERS = [
    Route("/plugs/{plug}/offer", _offer),
    Route("/plugs/{plug}/key", _key),
    Route("/plugs/{plug}/vouchers", _submit_voucher, methods=["POST"]),
    Route("/sessions/{session}", _session),
    Route("/sessions/{session}/page", _session_page),
    Route("/sessions/{session}/receipts", _receipts),
    Route("/sessions/{session}/stop", _stop, methods=["POST"]),
]


# -- reading and writing --------------------------------------------------------------------------------------------------------------


def _relay(request: Request) -> Relay:
    relay: Relay = request.app.state.relay
    return relay


def _plug(relay: Relay, plug: bytes) -> dict[str, Any]:
    connection = relay.connections.get(plug)
    newest = relay.store.statuses(plug, limit=1)
    hello = connection.hello if connection else None
    return {
        "plug": to_hex(plug),
        "connected": connection is not None,
        "offers": connection is not None and connection.offer is not None,
        "firmware": hello and hello.firmware,
        "board": hello and hello.board,
        "rated_power_w": hello and hello.rated_power_w,
        "status": newest[0].to_wire() if newest else None,
        "health": connection.health.to_wire() if connection and connection.health else None,
    }


def _exported(relay: Relay, plug: bytes) -> dict[str, Any]:
    """Return all that others need to check a plug's key: its enrolment, the retirements that lead to it, newest first, and its own or None."""
    retired = relay.store.retirement(plug)
    retirements = [relay.store.retirement(earlier) for earlier in relay.store.identities(plug)[1:]]
    return {
        **relay.enrolment(plug).to_wire(),
        "chain_id": relay.chain_id,
        "contract": to_hex(relay.contract),
        "retirements": [one.to_wire() for one in retirements if one is not None],
        "retired": retired and retired.to_wire(),
    }


def _check_json_type(request: Request) -> None:
    if request.headers.get("content-type") != "application/json":  # a page of another site cannot send this type unasked
        raise HTTPException(415, "send content-type: application/json")


def _path_bytes(request: Request, name: str, length: int) -> bytes:
    return read_hex(name, request.path_params[name], length)


def _query_integer(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.removeprefix("-").isdecimal() or len(text) > 12:
        raise Malformed(f"{name} is {text!r:.40}, no integer")
    return int(text)


async def _body(request: Request, *keys: str) -> Mapping[str, Any]:
    body = await _json_object(request)
    if set(body) != set(keys):
        raise Malformed(f"the body must be an object with exactly {', '.join(keys)}")
    return body


async def _json_object(request: Request) -> Mapping[str, Any]:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    try:
        body = strict_json(bytes(data))
    except ValueError as error:
        raise Malformed(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise Malformed("the body is no object")
    return body


def _hexed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_hex(value) if isinstance(value, bytes) else value for name, value in values.items()}


# -- refusals -------------------------------------------------------------------------------------------------------------------------


def _error(code: str, message: str, status: int) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, status)


async def _on_refusal(request: Request, error: Exception) -> Response:
    if isinstance(error, PlugRefused):
        return _error(error.plug_code, str(error), 409 if error.plug_code in _PLUG_IS_NOT_READY else 422)
    code = error.code if isinstance(error, WattsealError) else WattsealError.code
    return _error(code, str(error), _STATUS_OF_CODE.get(code, 500))


async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(status, "http")
    return _error(code, str(error.detail) if isinstance(error, HTTPException) else "", status)
