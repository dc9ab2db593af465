"""Gas of the contract from anvil's receipts under the rules of Osaka, each beside the floor of docs/performance.md, and what each check costs.

boa's figures are not valid for this: its slots stay warm between calls.
"""

import hashlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FilesystemInputBundle
from wattseal.demo.processes import CHAIN_ID, ROOT, Chain
from wattseal.gateway import contract
from wattseal.gateway.client import Gateway
from wattseal.gateway.connect import ChainSettings, connect
from wattseal.gateway.contract import call_data, claim
from wattseal.gateway.submit import Submitter
from wattseal.protocol import signatures
from wattseal.protocol.messages import Receipt, Voucher
from wattseal.protocol.typed_data import FLAG_FINAL, START_WINDOW_S

SOURCES = ROOT / "contracts/src"
START = 1_772_000_000
ACTIVE_S = 3700  # so that a final receipt comes after the start window: the contract frees the slot of a lock's session
MANY = 100
CODE_LIMIT = 24_576  # EIP-170

BASE_GAS = 21_000
SIGNATURE_GAS = 3_000
NEW_SLOT_GAS = 2_100 + 20_000
CHANGED_SLOT_GAS = 2_100 + 2_900
FREED_SLOT_REFUND = 4_800
SETTLED = (3, 96)  # topics and data bytes of the event
OPENED = (4, 64)

# Checks that calls pay for, each with what stands in its place when it is left out: file, name, text, replacement.
CHECKS = (
    ("Wattseal.vy", "reentrancy lock of open", "@external\n@payable\n@nonreentrant\ndef open(", "@external\n@payable\ndef open("),
    ("Wattseal.vy", "receipt names the session", "    if c.receipt.session != session:\n        return WRONG_SESSION\n", ""),
    (
        "Wattseal.vy",
        "words of the receipt",
        "    if ((c.receipt.sequence | c.receipt.activeSeconds | c.receipt.flags) >> 32) "
        "| ((c.receipt.registerWh | c.receipt.energyWh) >> 64) != 0:\n        return BAD_TERMS\n",
        "",
    ),
    ("Wattseal.vy", "unknown flags", "    if c.receipt.flags & UNKNOWN_FLAGS != 0:\n        return UNKNOWN_FLAG\n", ""),
    ("Wattseal.vy", "time for claims", "    if block.timestamp > unsafe_add(c.voucher.validUntil, GRACE):\n        return TOO_LATE\n", ""),
    ("Wattseal.vy", "receipt not ahead of the chain", "    if c.receipt.asOf > block.timestamp:\n        return TOO_EARLY\n", ""),
    ("Wattseal.vy", "paid never falls", "    if due < paid:\n        return LOWER\n", ""),
    ("Wattseal.vy", "words of a tab's voucher", "        if not self._are_words_in_range(c.voucher):\n            return BAD_TERMS\n", ""),
    ("signatures.vy", "low s", "        signature[1] <= MAX_S_K1\n        and signature[2] <= 1", "        signature[2] <= 1"),
    ("signatures.vy", "v of 0 or 1", "        and signature[2] <= 1\n", ""),
    ("signatures.vy", "no empty signer", "        and signer != 0\n", ""),
)


@dataclass(frozen=True)
class Gas:
    """Gas of a call beside its floor, both for each claim where there are many."""

    name: str
    used: float
    floor: float


def floor(call: bytes, precompiles: int, slots: int, logs: list[tuple[int, int]], refund: int = 0) -> int:
    """Return the least gas of a transaction with this calldata, these precompiles, slots and logs (topics, data bytes): docs/performance.md."""
    zeros = call.count(0)
    calldata = 4 * zeros + 16 * (len(call) - zeros)
    logged = sum(375 + 375 * topics + 8 * data for topics, data in logs)
    used = BASE_GAS + calldata + precompiles + slots + logged
    least_for_data = BASE_GAS + 10 * zeros + 40 * (len(call) - zeros)  # EIP-7623
    return max(used - min(refund, used // 5), least_for_data)


def key(name: str) -> bytes:
    """Return a secret that is the same in every run, so that calldata and thus gas are, too."""
    return hashlib.sha256(name.encode()).digest()


def address(name: str) -> bytes:
    return signatures.address(key(name))


def voucher(nonce: int, issued_at: int, **changes: object) -> Voucher:
    terms = {"pricePerKwh": 10**14, "pricePerHour": 10**13, "maxPowerW": 3000, "cap": 5 * 10**15}
    parties = {"driver": address("driver"), "host": address("host"), "plug": address("plug"), "token": bytes(20)}
    times = {"issuedAt": issued_at, "validUntil": issued_at + 86_400}
    return replace(Voucher(**parties, funding=0, nonce=nonce << 32 | 0x9E37_79B9, **terms, **times), **changes)


def receipt(session: bytes, issued_at: int, sequence: int) -> Receipt:
    times = {"startedAt": issued_at, "asOf": issued_at + ACTIVE_S, "activeSeconds": ACTIVE_S}
    return Receipt(
        session=session, sequence=sequence, registerWh=1_000_000, energyWh=2000 + sequence, flags=FLAG_FINAL, evidence=key("evidence"), **times
    )


class Bench:
    """A deployed contract on a chain, and a driver and a relay who call it."""

    def __init__(self, chain: Chain, code: bytes = contract.BYTECODE) -> None:
        self.chain = chain
        for name in ("owner", "driver", "relay"):
            chain.fund(address(name), 10**20)
        trusted = connect(ChainSettings(chain_id=CHAIN_ID, rpc=(chain.url,), trust_rpc=True))
        inclusion = Submitter(trusted, key("owner")).submit(None, code)
        at = inclusion.transaction.created()
        self.code_size = len(trusted.code(inclusion.header, at))
        self.driver, self.relay = (Gateway(trusted, at, key(name)) for name in ("driver", "relay"))
        self.domain = self.driver.domain
        self.now = chain.timestamp()
        self.nonce = 0

    def used(self, gateway: Gateway, call: bytes, value: int = 0) -> int:
        return gateway.submit(call, value).receipt.gas_used

    def voucher(self, **changes: object) -> Voucher:
        self.nonce += 1
        return voucher(self.nonce, self.now, **changes)

    def sign(self, name: str, terms: Voucher) -> bytes:
        return signatures.sign(key(name), terms.digest(self.domain))

    def open(self, terms: Voucher) -> tuple[int, int]:
        """Open by the driver; return gas and floor."""
        call = call_data("open", terms, self.sign("driver", terms))  # as Wallet.open sends it
        return self.used(self.driver, call, terms.cap), floor(call, 0, NEW_SLOT_GAS, [OPENED])

    def claim(self, terms: Voucher, driver_signature: bytes = b"") -> contract.Argument:
        final = receipt(terms.digest(self.domain), self.now, 1)
        return claim(terms, final, signatures.sign(key("plug"), final.digest(self.domain)), driver_signature)

    def charge(self) -> None:
        """Let so much time pass that a session's final receipt is there."""
        self.chain.follow(self.now + max(ACTIVE_S, START_WINDOW_S + 1))
        self.now = self.chain.timestamp()


def stranger(bench: Bench) -> Iterator[Gas]:
    """A driver whom nobody knows: a lock, then its final receipt."""
    for balances, slot_gas in (("new", NEW_SLOT_GAS), ("known", CHANGED_SLOT_GAS)):
        terms = bench.voucher()
        opened, least_opened = bench.open(terms)
        call = call_data("settle", bench.claim(terms))
        bench.charge()
        settled = bench.used(bench.relay, call)
        least_settled = floor(call, SIGNATURE_GAS, CHANGED_SLOT_GAS + 2 * slot_gas, [SETTLED], FREED_SLOT_REFUND)
        if balances == "new":
            yield Gas("open", opened, least_opened)
        yield Gas(f"final settle, {balances} balances", settled, least_settled)
        yield Gas(f"open and final settle, {balances} balances", opened + settled, least_opened + least_settled)


def on_a_tab(bench: Bench) -> Iterator[Gas]:
    """The second final receipt on a tab: the host's balance is known, the session's slot new."""
    place = [address(name) for name in ("driver", "host", "plug")]
    bench.used(bench.driver, call_data("deposit", *place, bytes(20), 10**18), 10**18)
    for number in range(2):
        terms = bench.voucher(funding=1)
        call = call_data("settle", bench.claim(terms, bench.sign("driver", terms)))
        bench.charge()
        used = bench.used(bench.relay, call)
        if number:
            yield Gas("final settle on a tab", used, floor(call, 2 * SIGNATURE_GAS, NEW_SLOT_GAS + 2 * CHANGED_SLOT_GAS, [SETTLED]))


def many(bench: Bench) -> Iterator[Gas]:
    """A hundred final receipts of one host and plug, each of another driver, in one call; nothing is counted for what is warm already."""
    for balances, slot_gas in (("new", NEW_SLOT_GAS), ("known", CHANGED_SLOT_GAS)):
        claims = []
        for number in range(MANY):
            terms = bench.voucher(driver=address(f"driver {number}"), host=address("host of many"))
            bench.used(bench.relay, call_data("open", terms, bench.sign(f"driver {number}", terms)), terms.cap)
            claims.append(bench.claim(terms))
        bench.charge()
        call = call_data("settle_many", claims)
        inclusion = bench.relay.submit(call)
        if len(inclusion.receipt.logs) != MANY:
            raise ValueError(f"only {len(inclusion.receipt.logs)} of {MANY} claims were settled")
        slots = slot_gas + MANY * (CHANGED_SLOT_GAS + slot_gas)
        least = floor(call, MANY * SIGNATURE_GAS, slots, [SETTLED] * MANY, MANY * FREED_SLOT_REFUND)
        yield Gas(f"settle_many, a claim, {balances} balances", inclusion.receipt.gas_used / MANY, least / MANY)


def gas(folder: Path) -> Iterator[Gas]:
    with Chain(folder, START) as chain:
        bench = Bench(chain)
        yield from stranger(bench)
        yield from on_a_tab(bench)
        yield from many(bench)
        yield Gas("deployed code, bytes", bench.code_size, CODE_LIMIT)


def compiled(sources: Path) -> bytes:
    """Return the bytecode of the Wattseal.vy of a folder."""
    bundle = FilesystemInputBundle([sources])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = compile_from_file_input(
            bundle.load_file(Path("Wattseal.vy")), input_bundle=bundle, output_formats=["bytecode"], no_bytecode_metadata=True
        )
    return bytes.fromhex(output["bytecode"].removeprefix("0x"))


def without(file: str, text: str, replacement: str) -> bytes:
    """Return the bytecode of the contract without one check."""
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES.glob("*.vy"):
            code = source.read_text()
            if source.name == file:
                if code.count(text) != 1:
                    raise ValueError(f"{file} does not hold this once: {text!r}")
                code = code.replace(text, replacement)
            (Path(folder) / source.name).write_text(code)
        return compiled(Path(folder))


def paths(chain: Chain, code: bytes) -> int:
    """Return the gas of opening and settling a lock and of settling on a tab, known balances."""
    bench = Bench(chain, code)
    return sum(round(entry.used) for entry in [*list(stranger(bench))[-1:], *on_a_tab(bench)])


def checks(folder: Path) -> Iterator[Gas]:
    """What each check costs: the gas of a lock's and a tab's way beside the same without it."""
    with Chain(folder, START) as chain:
        with_all = paths(chain, contract.BYTECODE)
        for file, name, text, replacement in CHECKS:
            yield Gas(f"lock and tab, without: {name}", with_all, paths(chain, without(file, text, replacement)))
