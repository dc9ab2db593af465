"""Everything the host side can refuse or report: one class tree, each class with a stable code.

The codes under `ProtocolError` are those of docs/protocol.md and travel to the plug. A message says what is wrong, with which value,
and what to do next.
"""

from typing import ClassVar


class WattsealError(Exception):
    """Root of the tree. `code` is stable and meant for programs; the message is for people."""

    code: ClassVar[str] = "wattseal"


# -- what a peer sent and this side does not take -------------------------------------------------------------------------------------


class ProtocolError(WattsealError):
    """Something that came over a wire and is refused. Nothing stored was touched."""

    code = "refused"


class FrameError(ProtocolError):
    """A line that is too long, damaged, or no message. `raw` holds the (first) bytes of an over-long one."""

    code = "bad_frame"

    def __init__(self, message: str, raw: bytes = b"") -> None:
        """Keep the bytes that were read, for the quarantine."""
        super().__init__(message)
        self.raw = raw


class Malformed(ProtocolError):
    """A message or a typed structure has a wrong, missing or extra field."""

    code = "malformed"


class UnknownType(ProtocolError):
    """A message has a type that this version does not know."""

    code = "unknown_type"


class UnsupportedVersion(ProtocolError):
    """A plug speaks another version of the protocol."""

    code = "unsupported_version"


class TooFast(ProtocolError):
    """A plug sends more than the relay takes from one; what was too much is not looked at."""

    code = "too_fast"


class UnknownSession(ProtocolError):
    """No voucher of this session has been seen."""

    code = "unknown_session"


class WrongChain(ProtocolError):
    """Something belongs to another chain or contract than this relay."""

    code = "wrong_chain"


class BadSignature(ProtocolError):
    """A signature is not 65 bytes r, s, v with low s, or not by the one who must have signed."""

    code = "bad_signature"


class WrongPlug(ProtocolError):
    """A session belongs to another plug than the one that speaks."""

    code = "wrong_plug"


class UnknownFlags(ProtocolError):
    """A receipt has flags in bits 0 to 15 that this version does not know."""

    code = "unknown_flags"


class BadTerms(ProtocolError):
    """A voucher's terms, or a receipt's times under them, are such that the contract would not pay."""

    code = "bad_terms"


class StartChanged(ProtocolError):
    """A session's start time or start register differs from its earlier receipts."""

    code = "start_changed"


class NotMonotone(ProtocolError):
    """A total falls from one receipt to the next."""

    code = "not_monotone"


class Conflict(ProtocolError):
    """A receipt of this plug, session and sequence, or a statement of its epoch, is stored with other bytes."""

    code = "conflict"


class StaleEpoch(ProtocolError):
    """A plug's statement has an epoch that is not above that of what it has said before."""

    code = "stale_epoch"


class Retired(ProtocolError):
    """A plug's key has been given up and says nothing new any more."""

    code = "retired"


class TooMany(ProtocolError):
    """There is no room for more of something that whoever reaches the relay could invent."""

    code = "too_many"


class Implausible(ProtocolError):
    """A receipt says what no plug can have measured by then: more energy than its power limit allows, or a time that has not come."""

    code = "implausible"


class BadEvidence(ProtocolError):
    """The OCMF payload is not the one that was signed, or says something else than the receipt."""

    code = "bad_evidence"


# -- the link to a plug ---------------------------------------------------------------------------------------------------------------


class LinkError(WattsealError):
    """A plug cannot be asked, or does not answer."""

    code = "link"


class UnknownPlug(LinkError):
    """No plug of this address was ever connected."""

    code = "unknown_plug"


class PlugOffline(LinkError):
    """The plug is known but not connected."""

    code = "plug_offline"


class PlugSilent(LinkError):
    """The plug is connected but did not answer in time."""

    code = "plug_silent"


class BrokerError(LinkError):
    """The MQTT broker does not answer, or is no broker; trying again may help."""

    code = "broker"


class BrokerRefused(BrokerError):
    """The MQTT broker does not take this relay, or the relay not the broker: a password, certificate or access list is wrong."""

    code = "broker_refused"


class NotEnrolled(LinkError):
    """No enrolment of this plug is stored."""

    code = "not_enrolled"


class NoOffer(LinkError):
    """The plug has no offer out: it is busy, or its clock is not set."""

    code = "no_offer"


class InSite(LinkError):
    """The plug's budget is planned with those of the others behind its breaker."""

    code = "in_site"


class PlugRefused(LinkError):
    """The plug refused a voucher or a stop; `plug_code` is its own code (docs/protocol.md, "What the plug refuses")."""

    code = "plug_refused"

    def __init__(self, plug_code: str, message: str) -> None:
        """Keep the plug's code and message as they came."""
        super().__init__(message)
        self.plug_code = plug_code


class RelayRefused(LinkError):
    """A relay, or the plug behind it, refused what its HTTP API was asked; `relay_code` is the code that it gave."""

    code = "relay_refused"

    def __init__(self, message: str, relay_code: str) -> None:
        """Keep the code as it came."""
        super().__init__(message)
        self.relay_code = relay_code


# -- disk, chain, settings ------------------------------------------------------------------------------------------------------------


class StoreError(WattsealError):
    """The database cannot be opened, read or written. Nothing is acknowledged that was not committed."""

    code = "store"


class GatewayError(WattsealError):
    """The chain could not be read or written. `retry` says whether the same call may succeed later."""

    code = "gateway"
    retry: bool = False


class RpcError(GatewayError):
    """The RPC did not answer, or answered with an error; `rpc_code` is the JSON-RPC error code it gave."""

    code = "rpc"
    retry = True

    def __init__(self, message: str, rpc_code: int | None = None) -> None:
        """Keep the server's own error code, where it sent one."""
        super().__init__(message)
        self.rpc_code = rpc_code


class TimeUp(GatewayError):
    """The time limit of a whole question is over, whoever was slow. What was proven until then is kept, so asking again gets further."""

    code = "time_up"
    retry = True


class ProofError(GatewayError):
    """What the RPC said is not proven by the header. Another answer may be: nothing was believed."""

    code = "bad_proof"
    retry = True


class BeaconError(GatewayError):
    """A beacon node did not answer, or not with what was asked for. `retry_after_s` is how long it asked to be left alone, 0 where it did not."""

    code = "beacon"
    retry = True

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        """Keep the time in seconds that the node asked for."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BadUpdate(GatewayError):
    """Light-client data is malformed, or not proven, or not signed by the sync committee. An honest node sends no such thing."""

    code = "bad_update"
    retry = True


class UpdateNotUsable(GatewayError):
    """Light-client data may be right, but does not fit what is known: it is old, skips a period, or is from the future of this clock."""

    code = "update_not_usable"
    retry = True


class UnsupportedFork(GatewayError):
    """The chain has a fork that this version of Wattseal does not know."""

    code = "unsupported_fork"


class SubmissionError(GatewayError):
    """A transaction was not sent, or is not in a block yet. Calling again is safe: nothing is done twice."""

    code = "submission"
    retry = True


class Reverted(GatewayError):
    """The contract refused a transaction; `reason` is the contract's code, empty where it is not known."""

    code = "reverted"

    def __init__(self, message: str, reason: str = "") -> None:
        """Keep the contract's own code."""
        super().__init__(message)
        self.reason = reason


class SettlementRefused(GatewayError):
    """The contract would pay nothing for this receipt, now or later. Sending it again does not help."""

    code = "settlement_refused"


class NotServed(GatewayError):
    """A JSON-RPC method, or a form of one, that the gateway does not answer because nothing proves the answer."""

    code = "not_served"


class WalletError(WattsealError):
    """A driver's wallet cannot be read or written, or cannot do what it is asked to. Nothing was signed or sent."""

    code = "wallet"


class ConfigError(WattsealError):
    """A setting is missing or wrong."""

    code = "config"
