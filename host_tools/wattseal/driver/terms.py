"""What a driver signs: terms that the plug's offer and coarse steps determine, so that nothing in a voucher is a driver's habit (docs/privacy.md)."""

from typing import Any

from wattseal.errors import BadTerms, LinkError, Malformed, WrongChain
from wattseal.protocol.amounts import both, coins
from wattseal.protocol.messages import Offer, Voucher, read_hex, to_hex
from wattseal.protocol.typed_data import START_WINDOW_S

NATIVE_COIN = bytes(20)
LOCK = 0
SMALLEST_CAP_WEI = 10**12
HOURS = (1, 2, 4, 8, 12, 24, 48, 96, 192)
_DIGITS = (1, 2, 5)


def cap_step(wei: int) -> int:
    """Return the smallest cap of 1, 2 or 5 times a power of ten that is at least `wei`."""
    step = SMALLEST_CAP_WEI
    while True:
        for digit in _DIGITS:
            if digit * step >= wei:
                return digit * step
        step *= 10


def check_cap(wei: int) -> None:
    """Raise BadTerms for a cap that is no step: odd amounts would identify a driver."""
    step = cap_step(wei)
    if wei != step:
        raise BadTerms(f"a cap of {coins(wei)} would be the mark of a driver: caps are 1, 2 or 5 times a power of ten; the next is {coins(step)}")


def voucher(answer: dict[str, Any], driver: bytes, host: bytes, *, cap: int, hours: int, chain_id: int, contract: bytes, now: float) -> Voucher:
    """Return the voucher for an offer as the relay's API gives it: its prices, so many hours, and a quarter more power than the plug is rated for.

    `cap` in wei. Raises WrongChain, BadTerms, Malformed or LinkError (nothing is to be signed).
    """
    offer, rated_power_w, plug = _read(answer, chain_id, contract)
    check_cap(cap)
    if hours not in HOURS:
        raise BadTerms(f"{hours} hours are none of {', '.join(map(str, HOURS))}: others would be the mark of a driver")
    if abs(offer.issued_at - now) > START_WINDOW_S // 4:
        raise LinkError(f"the plug's clock and this one are {offer.issued_at - now:.0f} s apart: set this machine's clock, or ask for a new offer")
    return Voucher(
        driver=driver,
        host=host,
        plug=plug,
        token=NATIVE_COIN,
        funding=LOCK,
        pricePerKwh=offer.price_per_kwh,
        pricePerHour=offer.price_per_hour,
        maxPowerW=-(-rated_power_w * 5 // 4),
        cap=cap,
        issuedAt=offer.issued_at,
        validUntil=offer.issued_at + hours * 3600,
        nonce=offer.nonce,
    )


def check_prices(voucher: Voucher, most_per_kwh: int | None, most_per_hour: int | None) -> None:
    """Raise BadTerms where a voucher is dearer than the driver wants to pay (wei; None: any price)."""
    for what, price, most in (("a kWh", voucher.pricePerKwh, most_per_kwh), ("an hour", voucher.pricePerHour, most_per_hour)):
        if most is not None and price > most:
            raise BadTerms(f"the plug wants {both(price)} for {what}, more than your limit of {coins(most)}: nothing was signed")


def _read(answer: dict[str, Any], chain_id: int, contract: bytes) -> tuple[Offer, int, bytes]:
    try:
        offer = Offer.from_wire({name: answer[name] for name in ("nonce", "issued_at", "price_per_kwh", "price_per_hour")})
        rated, theirs = answer["rated_power_w"], (answer["chain_id"], read_hex("contract", answer["contract"], 20))
        plug = read_hex("plug", answer["plug"], 20)
    except KeyError as error:
        raise Malformed(f"the relay's offer lacks {error}: it is of another version") from error
    if type(rated) is not int or not 0 < rated < 1 << 31:
        raise Malformed(f"the relay's offer has a rated power of {rated!r:.40} W")
    if theirs != (chain_id, contract):
        raise WrongChain(
            f"the relay serves contract {to_hex(theirs[1])} on chain {theirs[0]!r:.30}, not {to_hex(contract)} on {chain_id}: nothing was signed"
        )
    return offer, rated, plug
