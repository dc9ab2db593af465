"""`wattseal export`: receipts with voucher, signatures, evidence and settlement, for an adviser's table or a driver's own check."""

import contextlib
import csv
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from wattseal.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from wattseal.store import Exported

EXAMPLES = """
Examples:

  wattseal export --store relay.sqlite --format csv --since 2026-01-01 --until 2027-01-01 > 2026.csv

  WATTSEAL_RELAY_STORE=postgresql://host@db/wattseal wattseal export --format jsonl --plug 0x... --interim > plug.jsonl
"""


class Format(StrEnum):
    """JSON lines hold everything as it was signed; CSV is for tables."""

    JSONL = "jsonl"
    CSV = "csv"


def _time(text: str) -> int:
    """Read a date or a time, UTC where it does not say otherwise."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date; write 2026-01-31 or 2026-01-31T18:00:00+01:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _plug(text: str) -> bytes:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise typer.BadParameter(f"{text!r} is not 0x and 40 hex digits")
    return bytes.fromhex(text[2:])


def export(
    store: Annotated[str, typer.Option(envvar="WATTSEAL_RELAY_STORE", help="The relay's SQLite file, or postgresql://USER@HOST/DATABASE.")],
    form: Annotated[Format, typer.Option("--format", help="jsonl: one JSON object a line. csv: one row a receipt, first a row of names.")],
    since: Annotated[str, typer.Option(help="Only receipts of this time (UTC) or later.")] = "1970-01-01",
    until: Annotated[str, typer.Option(help="Only receipts before this time (UTC).")] = "9999-12-31",
    plug: Annotated[str | None, typer.Option(help="Only this plug's address.")] = None,
    interim: Annotated[
        bool, typer.Option("--interim", help="Every receipt that is kept, not only each session's newest; totals are running.")
    ] = False,
) -> None:
    """Write receipts to stdout, each with its voucher, signatures, evidence (OCMF) and settlement.

    Energy is in Wh, money in the token's base units (wei), both as integers; times are UTC. The relay may run meanwhile.
    """
    span = _time(since), _time(until)
    plug_address = None if plug is None else _plug(plug)

    from wattseal.store import Store, is_url

    if not is_url(store) and not Path(store).exists():
        raise ConfigError(f"there is no store {store}; give the file that `wattseal relay` has as its --store")
    with contextlib.closing(Store(store)) as opened:
        try:
            _WRITERS[form](opened.export(*span, plug_address, interim), sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever reads has seen enough; nothing is left to be flushed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            raise StoreError(f"the export cannot be written: {error}; what is there is not complete") from error


def _write_jsonl(rows: "Iterator[Exported]", out: TextIO) -> None:
    for row in rows:
        out.write(json.dumps(_object(row), separators=(",", ":")) + "\n")


def _write_csv(rows: "Iterator[Exported]", out: TextIO) -> None:
    table = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: value(row) for name, value in _COLUMNS.items()})


_WRITERS: dict[Format, "Callable[[Iterator[Exported], TextIO], None]"] = {Format.JSONL: _write_jsonl, Format.CSV: _write_csv}


def _object(row: "Exported") -> dict[str, Any]:
    return {
        "session": _hex(row.session.session),
        "voucher": row.session.voucher.to_wire(),
        "driver_signature": _hex(row.session.signature),
        "receipt": row.receipt.receipt.to_wire(),
        "plug_signature": _hex(row.receipt.signature),
        "ocmf": row.receipt.ocmf,
        "received_at": row.received_at,
        "due_wei": _due_wei(row),
        "settlement": None if row.settlement is None else {name: _hex(value) for name, value in asdict(row.settlement).items()},
    }


def _hex(value: Any) -> Any:
    return "0x" + value.hex() if isinstance(value, bytes) else value


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _due_wei(row: "Exported") -> int:
    from wattseal.protocol.messages import due

    return due(row.session.voucher, row.receipt.receipt)


def _settled(name: str) -> "Callable[[Exported], Any]":
    return lambda row: None if row.settlement is None else _hex(getattr(row.settlement, name))


_COLUMNS: dict[str, "Callable[[Exported], Any]"] = {
    "plug": lambda row: _hex(row.session.voucher.plug),
    "session": lambda row: _hex(row.session.session),
    "driver": lambda row: _hex(row.session.voucher.driver),
    "host": lambda row: _hex(row.session.voucher.host),
    "started_at_utc": lambda row: _utc(row.receipt.receipt.startedAt),
    "as_of_utc": lambda row: _utc(row.receipt.receipt.asOf),
    "sequence": lambda row: row.receipt.receipt.sequence,
    "final": lambda row: int(row.receipt.receipt.final),
    "flags": lambda row: row.receipt.receipt.flags,
    "active_s": lambda row: row.receipt.receipt.activeSeconds,
    "register_start_wh": lambda row: row.receipt.receipt.registerWh,
    "register_end_wh": lambda row: row.receipt.receipt.registerWh + row.receipt.receipt.energyWh,
    "energy_wh": lambda row: row.receipt.receipt.energyWh,
    "price_per_kwh_wei": lambda row: row.session.voucher.pricePerKwh,
    "price_per_hour_wei": lambda row: row.session.voucher.pricePerHour,
    "max_power_w": lambda row: row.session.voucher.maxPowerW,
    "cap_wei": lambda row: row.session.voucher.cap,
    "due_wei": _due_wei,
    "settlement_state": _settled("state"),
    "settlement_code": _settled("code"),
    "paid_wei": _settled("paid"),
    "total_paid_wei": _settled("total_paid"),
    "tx_hash": _settled("tx_hash"),
    "block_number": _settled("block_number"),
    "voucher": lambda row: json.dumps(row.session.voucher.to_wire(), separators=(",", ":")),
    "driver_signature": lambda row: _hex(row.session.signature),
    "plug_signature": lambda row: _hex(row.receipt.signature),
    "ocmf": lambda row: row.receipt.ocmf,
}
