"""A driver's voucher as the plug reads it: whether it may be served, and what it comes to (docs/protocol.md sections 1 and 2)."""

from plug import turns
from plug.crypto import eip712, secp256k1
from plug.errors import BadSignature, BadTerms, UnsupportedFunding, WrongPlug
from plug.typed_data import MAX_SESSION_S, START_WINDOW_S
from plug.wire import check_keys, from_hex, struct_from_wire

_ZERO_ADDRESS = bytes(20)


class Voucher:
    """Checked terms of one session: `values` (EIP-712 fields), `session` (32 bytes)."""

    def __init__(self, domain, voucher, signature):
        """Read wire objects; raise Malformed where a field is wrong. The signature is only parsed: see `check_signature`."""
        self.values = struct_from_wire("Voucher", voucher)
        self.session = eip712.digest(domain, eip712.hash_struct("Voucher", self.values))
        self._signature = from_hex("signature", signature, 65)

    async def check_signature(self):
        """Raise BadSignature unless the driver signed exactly these terms."""
        await check_signer("voucher", self.session, self._signature, self.values["driver"])

    @property
    def is_free(self):
        """Tell whether it costs the driver nothing."""
        return not (self.values["pricePerKwh"] or self.values["pricePerHour"])

    def check_terms(self, plug, rated_power_w, host, prices, now):
        """Raise WrongPlug, UnsupportedFunding or BadTerms where this plug cannot serve these terms at UTC second `now`.

        `host` is whom the plug works for (20 bytes; None: whomever the voucher names), `prices` its tariff's least (per kWh, per hour).
        """
        v = self.values
        if v["plug"] != plug:
            raise WrongPlug("the voucher is for another plug")
        if v["token"] != _ZERO_ADDRESS or v["funding"] != 0:
            raise UnsupportedFunding("only a lock in the native coin is served: token and funding must be 0")
        if _ZERO_ADDRESS in (v["driver"], v["host"]):
            raise BadTerms("driver and host must not be zero")
        if host is not None and v["host"] != host:
            raise BadTerms("the voucher pays another host than this plug's")
        if v["pricePerKwh"] < prices[0] or v["pricePerHour"] < prices[1]:
            raise BadTerms(
                "prices {} per kWh, {} per hour are below the tariff's {}, {}: take the newest offer".format(
                    v["pricePerKwh"], v["pricePerHour"], *prices
                )
            )
        if v["cap"] == 0:
            raise BadTerms("cap is 0: lock some money first")
        if v["maxPowerW"] * 4 < rated_power_w * 5:
            raise BadTerms("maxPowerW {} is below 1.25 times the rated {} W".format(v["maxPowerW"], rated_power_w))
        if not v["issuedAt"] <= now < v["validUntil"] <= v["issuedAt"] + MAX_SESSION_S:
            raise BadTerms(
                "times: issuedAt {} <= now {} < validUntil {} <= issuedAt + 10 days does not hold".format(v["issuedAt"], now, v["validUntil"])
            )
        if now > self.start_deadline:
            raise BadTerms("issuedAt {} is more than an hour ago".format(v["issuedAt"]))

    @property
    def start_deadline(self):
        """Last UTC second at which the session may start."""
        return self.values["issuedAt"] + START_WINDOW_S

    def due(self, energy_wh, active_seconds):
        """Return what the contract would pay so far, in token base units."""
        v = self.values
        wh = min(energy_wh, v["maxPowerW"] * active_seconds // 3600)
        return min(v["cap"], wh * v["pricePerKwh"] // 1000 + active_seconds * v["pricePerHour"] // 3600)


async def check_stop(domain, session, message, driver):
    """Raise BadSignature or Malformed unless the wire message carries the driver's Stop of this session."""
    check_keys("stop", message, ("type", "session", "signature"))
    stop = eip712.digest(domain, eip712.hash_struct("Stop", {"session": session}))
    await check_signer("stop", stop, from_hex("signature", message["signature"], 65), driver)


async def check_signer(what, digest, signature, address):
    """Raise BadSignature unless `address` (20 bytes) made this 65-byte signature, low s, of a digest."""
    public = await turns.finish(secp256k1.recover_steps(digest, signature))
    if public is None or secp256k1.address(public) != address:
        raise BadSignature(f"the {what} is not signed by its driver (or for another chain or contract)")
