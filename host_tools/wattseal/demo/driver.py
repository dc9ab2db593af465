"""A driver with a fresh key for every session: takes the plug's offer, locks money, hands the voucher over, leaves again."""

from typing import Any

from wattseal.demo.processes import RelayProcess
from wattseal.gateway.chain import Chain
from wattseal.gateway.rpc import to_hex
from wattseal.gateway.wallet import Wallet
from wattseal.protocol import signatures
from wattseal.protocol.messages import Stop, Voucher

NATIVE_COIN = bytes(20)
PRICE_PER_KWH = 10**14  # wei: 0.0001 of the coin
PRICE_PER_HOUR = 10**13
CAP = 5 * 10**15
SESSION_S = 24 * 3600


class Driver:
    """Holds one key and serves one session."""

    def __init__(self, chain: Chain, contract: bytes, key: bytes) -> None:
        """`chain` is as its gateway reads it."""
        self._key = key
        self.wallet = Wallet(chain, contract, key)

    def voucher(self, offer: dict[str, Any], host: bytes, *, cap: int = CAP) -> Voucher:
        """Return the terms for an offer of the relay's API: a day at most, and a third more power than the plug is rated for."""
        return Voucher(
            driver=self.wallet.address,
            host=host,
            plug=bytes.fromhex(offer["plug"][2:]),
            token=NATIVE_COIN,
            funding=0,
            pricePerKwh=PRICE_PER_KWH,
            pricePerHour=PRICE_PER_HOUR,
            maxPowerW=offer["rated_power_w"] * 4 // 3,
            cap=cap,
            issuedAt=offer["issued_at"],
            validUntil=offer["issued_at"] + SESSION_S,
            nonce=offer["nonce"],
        )

    def start(self, relay: RelayProcess, voucher: Voucher) -> str:
        """Lock the voucher's cap on chain, then give the voucher to the plug; return the session's id in hex."""
        self.wallet.open(voucher)
        body = {"voucher": voucher.to_wire(), "signature": to_hex(self.wallet.sign(voucher))}
        session: str = relay.post(f"/plugs/{to_hex(voucher.plug)}/vouchers", body)["session"]
        return session

    def stop(self, relay: RelayProcess, session: str) -> None:
        """Tell the plug to end the session."""
        digest = Stop(bytes.fromhex(session[2:])).digest(self.wallet.domain)
        relay.post(f"/sessions/{session}/stop", {"signature": to_hex(signatures.sign(self._key, digest))})
