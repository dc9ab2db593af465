"""What a driver asks of a relay's HTTP API. The relay is the host's: what it answers is checked by whoever asked."""

import json
from typing import Any

import httpx
from pydantic_core import from_json

from wattseal.errors import LinkError, Malformed, RelayRefused
from wattseal.protocol.messages import Enrolment, ReceiptMessage, SessionMessage, to_hex

TIMEOUT_S = 60  # the relay waits 30 for the plug
MAX_ANSWER_BYTES = 8 << 20
MAX_RECEIPTS = 30_000  # of a session: one each 300 s or 250 Wh in 10 days at 22 kW are 24,000, and the wallet's file of them holds 64 MB


class RelayClient:
    """One relay, by its API's address. Every request is a connection of its own, without cookies, so that none ties two sessions together."""

    def __init__(self, api: str) -> None:
        """`api` is http://... or https://..."""
        self.api = api.rstrip("/")

    def offer(self, plug: bytes) -> dict[str, Any]:
        """Return a plug's newest offer, unchecked. Raises LinkError."""
        return self._ask("GET", f"/plugs/{to_hex(plug)}/offer")

    def enrolment(self, plug: bytes) -> Enrolment:
        """Return what the plug signed about its host, unchecked. Raises LinkError, Malformed."""
        answer = self._ask("GET", f"/plugs/{to_hex(plug)}/key")
        names = ("plug", "host", "epoch", "curve", "public_key", "signature")
        return Enrolment.from_wire({name: answer.get(name) for name in names})

    def hand_over(self, message: SessionMessage) -> None:
        """Have the plug accept a voucher; safe to repeat. Raises LinkError, RelayRefused with the plug's code."""
        body = {"voucher": message.voucher.to_wire(), "signature": to_hex(message.signature)}
        answer = self._ask("POST", f"/plugs/{to_hex(message.voucher.plug)}/vouchers", body)
        if answer.get("session") != to_hex(message.session):
            raise LinkError(f"the relay names another session, {answer.get('session')!r:.80}: it serves another contract, or is no relay")

    def stop(self, session: bytes, signature: bytes) -> None:
        """Have the plug end a session; safe to repeat. Raises LinkError."""
        self._ask("POST", f"/sessions/{to_hex(session)}/stop", {"signature": to_hex(signature)})

    def receipts(self, session: bytes, after: int = -1) -> list[ReceiptMessage]:
        """Return all receipts above a sequence, unchecked. Raises LinkError, Malformed."""
        found: list[ReceiptMessage] = []
        while True:
            answer = self._ask("GET", f"/sessions/{to_hex(session)}/receipts?after={after}")
            entries, more = answer.get("receipts"), answer.get("after")
            if not isinstance(entries, list) or not (more is None or (type(more) is int and more > after)):
                raise Malformed(f"the relay at {self.api} answers with no list of receipts")
            found += [ReceiptMessage.from_wire(entry) for entry in entries]
            if len(found) > MAX_RECEIPTS or (not entries and more is not None):
                raise Malformed(f"the relay at {self.api} answers with receipts without end")
            if more is None:
                return found
            after = more

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = bytearray()
        try:
            headers = {"content-type": "application/json", "user-agent": "wattseal"}
            content = None if body is None else json.dumps(body).encode()
            with httpx.stream(method, self.api + path, content=content, headers=headers, timeout=TIMEOUT_S) as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        raise LinkError(f"the relay at {self.api} answers with more than {MAX_ANSWER_BYTES} bytes")
            answer = from_json(bytes(data))  # bounded in depth, unlike json.loads
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise LinkError(f"no answer from the relay at {self.api}: {error!r:.200}; is it running, and is this its --api?") from error
        if not isinstance(answer, dict):
            raise LinkError(f"what answers at {self.api} is no relay (status {response.status_code})")
        if not response.is_success:
            code, message = answer.get("code"), answer.get("message")
            if not isinstance(code, str) or not isinstance(message, str):
                raise LinkError(f"what answers at {self.api} is no relay of this version (status {response.status_code})")
            raise RelayRefused(f"the relay refused: {message:.500} [{code:.40}]", code)
        return answer
