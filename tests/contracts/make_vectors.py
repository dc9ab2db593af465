"""Write tests/vectors/typed_data.json with eth_account, which shares no code with this project.

build/venv/bin/python tests/contracts/make_vectors.py

domain_separator, struct_hash and digest are those of eth_account's encode_typed_data; signature is its RFC 6979 signature of the digest,
r || s || v with v 0 or 1 instead of 27 or 28. The types come from contracts/typed_data.json.
"""

import json
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_typed_data

ROOT = Path(__file__).resolve().parent.parent.parent
PATH = "tests/vectors/typed_data.json"
DEFINITION = json.loads((ROOT / "contracts/typed_data.json").read_text())
WIDTHS = {kind: int(kind.removeprefix("uint")) for fields in DEFINITION["types"].values() for kind, _ in fields if kind.startswith("uint")}

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
CONTRACT = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
LARGEST_CHAIN_ID = 9223372036854775771  # EIP-2294

VOUCHER = {
    "driver": "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf",
    "host": "0x2b5ad5c4795c026514f8317c7a215e218dccd6cf",
    "plug": "0x6813eb9362372eef6200f3b1dbc3f819671cba69",
    "token": "0x0000000000000000000000000000000000000000",
    "funding": 0,
    "pricePerKwh": 120_000_000_000_000,
    "pricePerHour": 20_000_000_000_000,
    "maxPowerW": 4600,
    "cap": 10_000_000_000_000_000,
    "issuedAt": 1_772_374_800,
    "validUntil": 1_772_461_200,
    "nonce": 0x9E3779B97F4A7C15,
}
RECEIPT = {
    "session": "0xa7b1e2a0f3c4d5968778695a4b3c2d1e0f00112233445566778899aabbccddee",
    "sequence": 17,
    "startedAt": 1_772_374_860,
    "asOf": 1_772_378_460,
    "activeSeconds": 3540,
    "registerWh": 1_234_567,
    "energyWh": 3105,
    "flags": 2,
    "evidence": "0x2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
}
ENROL = {"plug": VOUCHER["plug"], "host": VOUCHER["host"], "epoch": 1}
RETIRE = {"plug": VOUCHER["plug"], "successor": "0xe57bfe9f44b819898f47bf37e5af72a0783e1141", "epoch": 2}
STOP = {"session": RECEIPT["session"]}


def filled(name: str, integer, byte: str) -> dict:
    """Return values of a type: integer(width) for every uint, the byte repeated for addresses and hashes."""
    lengths = {"address": 20, "bytes32": 32}
    return {field: integer(WIDTHS[kind]) if kind in WIDTHS else "0x" + byte * lengths[kind] for kind, field in DEFINITION["types"][name]}


CASES = [
    ("a voucher", "Voucher", VOUCHER, 31337, CONTRACT, 1),
    ("the same voucher on another chain", "Voucher", VOUCHER, 1, CONTRACT, 1),
    ("the same voucher for another contract", "Voucher", VOUCHER, 31337, "0x" + "00" * 17 + "c0ffee", 1),
    ("a voucher of zeros", "Voucher", filled("Voucher", lambda width: 0, "00"), 31337, CONTRACT, 2),
    ("a voucher of largest values, largest chain id", "Voucher", filled("Voucher", lambda width: 2**width - 1, "ff"), LARGEST_CHAIN_ID, CONTRACT, 3),
    ("a voucher of single top bits, largest key", "Voucher", filled("Voucher", lambda width: 1 << (width - 1), "80"), 10, CONTRACT, SECP256K1_N - 1),
    ("a receipt", "Receipt", RECEIPT, 31337, CONTRACT, 3),
    ("a final receipt", "Receipt", RECEIPT | {"sequence": 18, "flags": 0b100011, "energyWh": 3200}, 31337, CONTRACT, 3),
    (
        "a session that never started",
        "Receipt",
        RECEIPT | {"asOf": RECEIPT["startedAt"], "activeSeconds": 0, "energyWh": 0, "flags": 3},
        100,
        CONTRACT,
        3,
    ),
    ("a receipt of zeros", "Receipt", filled("Receipt", lambda width: 0, "00"), 1, CONTRACT, 4),
    (
        "a receipt of largest values, largest contract address",
        "Receipt",
        filled("Receipt", lambda width: 2**width - 1, "ff"),
        8453,
        "0x" + "ff" * 20,
        5,
    ),
    (
        "a receipt of single top bits, largest chain id",
        "Receipt",
        filled("Receipt", lambda width: 1 << (width - 1), "80"),
        LARGEST_CHAIN_ID,
        CONTRACT,
        6,
    ),
    ("a receipt just above small integers", "Receipt", filled("Receipt", lambda width: 2**30, "7f"), 42161, CONTRACT, 7),
    ("an enrolment", "Enrol", ENROL, 31337, CONTRACT, 3),
    ("an enrolment of largest values", "Enrol", filled("Enrol", lambda width: 2**width - 1, "ff"), LARGEST_CHAIN_ID, CONTRACT, 9),
    ("a retirement", "Retire", RETIRE, 31337, CONTRACT, 3),
    ("a retirement of zeros", "Retire", filled("Retire", lambda width: 0, "00"), 1, CONTRACT, 10),
    ("a stop", "Stop", STOP, 31337, CONTRACT, 1),
    ("a stop of ones on chain 0", "Stop", {"session": "0x" + "ff" * 32}, 0, CONTRACT, 8),
]


def make_case(name: str, type_name: str, values: dict, chain_id: int, contract: str, secret: int) -> dict:
    """Return one vector."""
    account = Account.from_key(secret.to_bytes(32, "big"))
    domain = DEFINITION["domain"] | {"chainId": chain_id, "verifyingContract": contract}
    fields = [{"type": kind, "name": field} for kind, field in DEFINITION["types"][type_name]]
    message = encode_typed_data(domain, {type_name: fields}, values)
    signed = account.sign_message(message)
    return {
        "name": name,
        "type": type_name,
        "values": values,
        "chain_id": chain_id,
        "contract": contract,
        "domain_separator": "0x" + message.header.hex(),
        "struct_hash": "0x" + message.body.hex(),
        "digest": "0x" + signed.message_hash.hex(),
        "secret": f"0x{secret:064x}",
        "signer": account.address.lower(),
        "signature": "0x" + (signed.signature[:64] + bytes([signed.v - 27])).hex(),
    }


def render() -> dict[str, str]:
    """Return the text of the vectors by its path from the repository's root."""
    cases = [json.dumps(make_case(*case)) for case in CASES]
    return {PATH: "[\n" + ",\n".join(cases) + "\n]\n"}


if __name__ == "__main__":
    for path, text in render().items():
        (ROOT / path).write_text(text)
