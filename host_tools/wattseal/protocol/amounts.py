"""Money, energy and time as people read them. Everything is computed with integers; nothing here is parsed back but what a person typed."""

import re
from datetime import UTC, datetime

from wattseal.errors import Malformed

_DECIMALS = 18  # of the native coin: 10^18 wei
_COINS = re.compile(r"(\d{1,20})(?:\.(\d{1,18}))?", re.ASCII)


def coins(wei: int) -> str:
    """Return an amount in coins, all of its digits, as in 0.000434."""
    whole, rest = divmod(abs(wei), 10**_DECIMALS)
    fraction = f".{rest:0{_DECIMALS}}".rstrip("0") if rest else ""
    return f"{'-' if wei < 0 else ''}{whole}{fraction}"


def about(wei: int) -> str:
    """Return an amount in coins with six digits that count, rounded up, where all of them do not fit."""
    step = 10 ** max(0, len(str(wei)) - 6)
    return coins(-(-wei // step) * step)


def both(wei: int) -> str:
    """Return an amount in coins and in wei, as in 0.000434 (434000000000000 wei)."""
    return f"{coins(wei)} ({wei} wei)"


def wei(text: str) -> int:
    """Read an amount in coins, as in 0.05, exactly. Raises Malformed."""
    match = _COINS.fullmatch(text.strip())
    if not match:
        raise Malformed(f"{text!r:.40} is no amount in coins, as in 0.05 (at most {_DECIMALS} decimals)")
    scale: int = 10**_DECIMALS
    return int(match[1]) * scale + int((match[2] or "").ljust(_DECIMALS, "0"))


def utc(seconds: int) -> str:
    """Return a UTC second as 2026-03-01 14:20:00 UTC."""
    return _date(seconds).strftime("%Y-%m-%d %H:%M:%S UTC")


def short(seconds: int) -> tuple[str, str]:
    """Return a UTC second without year and seconds, in this machine's time zone and in UTC, as in 03-01 15:20 CET."""
    form = "%m-%d %H:%M %Z"
    return _date(seconds).astimezone().strftime(form), _date(seconds).strftime(form)


def local_and_utc(seconds: int) -> str:
    """Return a UTC second in this machine's time zone and in UTC, as in 2026-03-01 15:20:00 CET (14:20:00 UTC)."""
    date = _date(seconds)
    here = date.astimezone()
    if here.utcoffset() == date.utcoffset():
        return utc(seconds)
    form = "%H:%M:%S UTC" if here.date() == date.date() else "%Y-%m-%d %H:%M:%S UTC"
    return f"{here:%Y-%m-%d %H:%M:%S %Z} ({date.strftime(form)})"


def _date(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(seconds, 253_402_300_799), UTC)  # 9999 is the last year that can be written
