"""Verified JSON-RPC over HTTP: POST / with a request or a batch; GET /status says what was seen of each upstream."""

from typing import Any

from anyio import CapacityLimiter, to_thread
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wattseal.errors import BadSignature, GatewayError, Malformed, NotServed, RpcError, WattsealError
from wattseal.gateway import methods
from wattseal.gateway.chain import Chain
from wattseal.gateway.time_limit import time_limit
from wattseal.loopback import LoopbackOnly

# A transaction has at most 128 KB in the pools of all clients, which is twice as much in hex.
MAX_BODY_BYTES = 512 << 10
MAX_BATCH = 100
# Each may hold an upstream's longest answer in memory.
MAX_AT_ONCE = 8
# From a request's arrival to its answer, whoever is asked on the way; of a batch as of one.
MAX_ANSWER_S = 60.0

_PARSE_ERROR, _INVALID_REQUEST, _NOT_FOUND, _INVALID_PARAMS, _SERVER_ERROR = -32700, -32600, -32601, -32602, -32000


def make_app(chain: Chain, loopback_only: bool) -> Starlette:
    """Return the ASGI application. With `loopback_only`, requests must name a loopback host (against DNS rebinding)."""
    app = Starlette(
        routes=[Route("/", _rpc, methods=["POST"]), Route("/status", _status)],
        middleware=[Middleware(LoopbackOnly)] if loopback_only else [],
    )
    app.state.chain = chain
    app.state.limiter = CapacityLimiter(MAX_AT_ONCE)
    return app


async def _status(request: Request) -> Response:
    chain: Chain = request.app.state.chain
    upstreams = [
        {"server": up.name, "answers": up.answers, "errors": up.errors, "lies": up.lies, "dropped_for": up.lie, "last_error": up.last_error}
        for up in chain.upstreams.all
    ]
    return JSONResponse({"chain_id": chain.upstreams.chain_id, "basis": chain.headers.basis, "upstreams": upstreams})


async def _rpc(request: Request) -> Response:
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":  # a page of another site cannot send this type unasked
        return JSONResponse(_error(None, _INVALID_REQUEST, "send content-type: application/json"), 415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return JSONResponse(_error(None, _INVALID_REQUEST, f"the body has more than {MAX_BODY_BYTES} bytes"), 413)
    try:
        asked = from_json(bytes(body), allow_inf_nan=False)  # bounded in depth, unlike json.loads
    except ValueError:
        return JSONResponse(_error(None, _PARSE_ERROR, "the body is no JSON"))
    with time_limit(MAX_ANSWER_S):  # the thread sees it, too
        return await to_thread.run_sync(_answer, request.app.state.chain, asked, limiter=request.app.state.limiter)


def _answer(chain: Chain, asked: object) -> Response:
    if not isinstance(asked, list):
        answer = _answer_one(chain, asked)
        return Response(status_code=204) if answer is None else JSONResponse(answer)
    if not 1 <= len(asked) <= MAX_BATCH:
        return JSONResponse(_error(None, _INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH} requests, this one {len(asked)}"))
    answers = [answer for answer in (_answer_one(chain, member) for member in asked) if answer is not None]
    return JSONResponse(answers) if answers else Response(status_code=204)


def _answer_one(chain: Chain, asked: object) -> dict[str, Any] | None:
    """Return the answer to one request, None to a notification (a request without id)."""
    if not isinstance(asked, dict) or asked.get("jsonrpc") != "2.0" or not isinstance(asked.get("method"), str):
        return _error(None, _INVALID_REQUEST, "a request is an object with jsonrpc: 2.0 and a method")
    request_id, params = asked.get("id"), asked.get("params", [])
    if not isinstance(request_id, str | int | None) or not isinstance(params, list):
        return _error(None, _INVALID_REQUEST, "a request's id is a string or an integer and its params an array")
    if "id" not in asked:
        return None
    try:
        answer = methods.call(chain, asked["method"], params)
    except NotServed as error:
        return _error(request_id, _NOT_FOUND, str(error), error)
    except (Malformed, BadSignature) as error:
        return _error(request_id, _INVALID_PARAMS, str(error), error)
    except GatewayError as error:
        code = error.rpc_code if isinstance(error, RpcError) and error.rpc_code is not None else _SERVER_ERROR
        return _error(request_id, code, str(error), error)
    return {"jsonrpc": "2.0", "id": request_id, "result": answer.result, "restsOn": answer.basis}


def _error(request_id: object, code: int, message: str, error: WattsealError | None = None) -> dict[str, Any]:
    details = {} if error is None else {"data": {"code": error.code}}
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message, **details}}
