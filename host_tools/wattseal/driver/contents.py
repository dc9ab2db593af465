"""What the lines of sessions.jsonl say: keys that are taken, sessions, what became of them, and addresses that money went to."""

from dataclasses import dataclass, field
from typing import Any

from wattseal.errors import Malformed, WalletError
from wattseal.protocol.bill import Bill
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import ReceiptMessage, SessionMessage, Voucher, read_hex


@dataclass(frozen=True)
class Session:
    """A voucher that was signed: with which key, for which chain and contract, and the relay (its API's address) it went to, if any."""

    index: int
    chain_id: int
    contract: bytes
    voucher: Voucher
    signature: bytes
    api: str | None

    @property
    def domain(self) -> bytes:
        """The EIP-712 domain separator."""
        return domain_separator(self.chain_id, self.contract)

    @property
    def id(self) -> bytes:
        """The session's 32 bytes."""
        return self.voucher.digest(self.domain)

    @property
    def message(self) -> SessionMessage:
        """Voucher and signature as they are on the link."""
        return SessionMessage(self.id, self.voucher, self.signature)

    def bill(self, message: ReceiptMessage) -> Bill:
        """Return a receipt of this session with all that is needed to settle it."""
        return Bill(self.chain_id, self.contract, self.voucher, message.receipt, message.signature, message.ocmf)


@dataclass
class Contents:
    """What the lines add up to; `source` names the file in messages."""

    source: str
    last_index: int = -1
    reserved: dict[int, bytes] = field(default_factory=dict)  # index: address; handed out, without a voucher yet
    sessions: dict[bytes, Session] = field(default_factory=dict)
    accepted: set[bytes] = field(default_factory=set)  # by their plugs
    locking: set[bytes] = field(default_factory=set)  # a lock was sent, or may have been
    paid_out: set[bytes] = field(default_factory=set)
    receivers: dict[bytes, bytes] = field(default_factory=dict)  # address: the session's address whose money went there

    def apply(self, entry: dict[str, Any]) -> None:
        """Take one line in. Raises WalletError."""
        try:
            match entry["type"]:
                case "restored":
                    self.last_index = max(self.last_index, int(entry["last_index"]))
                case "reserved":
                    self.reserved[int(entry["index"])] = read_hex("address", entry["address"], 20)
                    self.last_index = max(self.last_index, int(entry["index"]))
                case "session":
                    session = Session(
                        int(entry["index"]),
                        int(entry["chain_id"]),
                        read_hex("contract", entry["contract"], 20),
                        Voucher.from_wire(entry["voucher"]),
                        read_hex("signature", entry["signature"], 65),
                        entry["api"],
                    )
                    self.sessions[session.id] = session
                    self.reserved.pop(session.index, None)
                case "accepted" | "locking" | "paid_out" as what:
                    getattr(self, what).add(read_hex("session", entry["session"], 32))
                case "receiver":
                    self.receivers[read_hex("receiver", entry["receiver"], 20)] = read_hex("owner", entry["owner"], 20)
                case other:
                    raise WalletError(f"{self.source} has a line of type {other!r:.40}: it was written by a newer version")
        except (KeyError, TypeError, ValueError, Malformed) as error:
            raise WalletError(f"{self.source} has a damaged line: {error!r:.80}; restore the file from a backup") from error
