"""Actors, the deployed contract and makers of vouchers, receipts and signatures.

Fixtures that hypothesis tests use have session scope; every test runs in a boa anchor, so nothing outlives it.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import boa
import pytest
from boa.util.abi import Address
from boa.vm.py_evm import deregister_raw_precompile, register_raw_precompile
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

from tests.contracts import p256

ROOT = Path(__file__).resolve().parents[2]
START = 1_772_374_800  # chain time when a test begins
ZERO_ADDRESS = "0x" + "00" * 20
CAP = 10**16
LOCK, TAB = 0, 1  # a voucher's funding


@pytest.fixture(autouse=True)
def anchor(wattseal, internals, token):
    """Let nothing outlive a test. What lives longer is deployed before the first one: boa remembers which slots an address ever used."""
    with boa.env.anchor():
        yield


@pytest.fixture(scope="session")
def definition():
    return json.loads((ROOT / "contracts/typed_data.json").read_text())


@pytest.fixture(scope="session")
def actors():
    """Who takes part: driver and plug sign, the others only call."""
    actors = SimpleNamespace(
        driver=Account.from_key(b"\x01" * 32),
        other_driver=Account.from_key(b"\x02" * 32),
        plug=Account.from_key(b"\x03" * 32),
        other_plug=Account.from_key(b"\x04" * 32),
        p256_plug=p256.P256Account(5),
        host=Address("0x" + "0a" * 20),
        other_host=Address("0x" + "0b" * 20),
        relay=Address("0x" + "0c" * 20),
        stranger=Address("0x" + "0d" * 20),
    )
    for payer in (actors.driver.address, actors.other_driver.address, actors.relay, actors.stranger):
        boa.env.set_balance(payer, 10**40)
    return actors


@pytest.fixture(scope="session")
def source():
    """Return the compiled contract, to be deployed at will."""
    return boa.load_partial(str(ROOT / "contracts/src/Wattseal.vy"))


@pytest.fixture(scope="session")
def p256_precompile():
    """Give boa's chain, which stops at the rules of Prague, the precompile of EIP-7951."""
    register_raw_precompile(p256.PRECOMPILE, p256.precompile)
    yield
    deregister_raw_precompile(p256.PRECOMPILE)


@pytest.fixture(scope="session")
def wattseal(source, p256_precompile):
    boa.env.timestamp = START
    return source.deploy()


@pytest.fixture(scope="session")
def storage_slots():
    """Return the slot of each mapping, from the file where the gateway's storage proofs look."""
    return json.loads((ROOT / "host_tools/wattseal/gateway/wattseal_contract.json").read_text())["storage_slots"]


@pytest.fixture(scope="session")
def internals_source():
    boa.interpret.set_search_paths([str(ROOT / "contracts/src")])
    return boa.load_partial(str(Path(__file__).parent / "mocks/wattseal_internals.vy"))


@pytest.fixture(scope="session")
def internals(internals_source, wattseal):
    """Return a contract that exposes the hashes and the signature check."""
    return internals_source.deploy()


@pytest.fixture(scope="session")
def registry_source():
    return boa.load_partial(str(ROOT / "contracts/src/Registry.vy"))


@pytest.fixture(scope="session")
def registry(registry_source, wattseal, actors):
    for payer in (actors.host, actors.other_host):
        boa.env.set_balance(payer, 10**30)
    return registry_source.deploy(wattseal.address)


@pytest.fixture(scope="session")
def enrol(registry, sign, actors):
    """Return a function with which a stranger submits a plug's statement that it charges for a host."""

    def enrol(plug, host, epoch=1, sender=None):
        values = {"plug": plug.address, "host": host, "epoch": epoch}
        registry.enrol(tuple(values.values()), sign(plug, "Enrol", values), sender=sender or actors.stranger)

    return enrol


@pytest.fixture(scope="session")
def make_listing():
    def make_listing(**changes):
        listing = {
            "ratedPowerW": 2300,
            "token": "0x" + "00" * 20,
            "pricePerKwh": 3 * 10**14,
            "pricePerHour": 10**14,
            "isOffered": True,
            "metadataHash": b"\x4d" * 32,
            "uri": "ipfs://bafkreigh2akiscaildc",
        }
        return tuple((listing | changes).values())

    return make_listing


@pytest.fixture
def wallet(wallet_source):
    """Return a contract that is driver, host or receiver."""
    return wallet_source.deploy()


@pytest.fixture(scope="session")
def wallet_source():
    return boa.load_partial(str(Path(__file__).parent / "mocks/wallet.vy"))


@pytest.fixture(scope="session")
def token(actors):
    """Return an honest token, of which driver and relay have plenty."""
    token = boa.load(str(Path(__file__).parent / "mocks/token.vy"))
    for owner in (actors.driver.address, actors.other_driver.address, actors.relay):
        token.mint(owner, 2**130)
    return token


@pytest.fixture(scope="session")
def hostile_token(actors):
    """Return a token that returns nothing and does what a test says, of which driver and relay have plenty."""
    token = boa.load(str(Path(__file__).parent / "mocks/hostile_token.vy"))
    for owner in (actors.driver.address, actors.relay):
        token.mint(owner, 2**100)
    return token


@pytest.fixture(scope="session")
def sign_for_token(wattseal, token):
    """Return a function that signs a Permit or a ReceiveWithAuthorization of a voucher's cap to the contract: r || s || v, v 0 or 1."""
    fields = {
        "Permit": ["address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline"],
        "ReceiveWithAuthorization": [
            *("address from", "address to", "uint256 value", "uint256 validAfter", "uint256 validBefore", "bytes32 nonce"),
        ],
    }

    def sign_for_token(account, type_name, voucher, **changes):
        names = [field.split()[1] for field in fields[type_name]]
        if type_name == "Permit":
            values = [voucher["driver"], wattseal.address, voucher["cap"], token.nonces(voucher["driver"]), voucher["validUntil"]]
        else:
            session = wattseal.session_of(tuple(voucher.values()))
            values = [voucher["driver"], wattseal.address, voucher["cap"], 0, voucher["validUntil"], session]
        domain = {"name": "Token", "chainId": boa.env.evm.patch.chain_id, "verifyingContract": str(token.address)}
        types = {type_name: [dict(zip(("type", "name"), field.split(), strict=True)) for field in fields[type_name]]}
        message = encode_typed_data(domain, types, dict(zip(names, values, strict=True)) | changes)
        signature = account.sign_message(message).signature
        return signature[:64] + bytes([signature[64] - 27])

    return sign_for_token


@pytest.fixture(scope="session")
def sign(wattseal, definition):
    """Return a function of account, type name and values that signs what eth_account hashes; the domain can be changed."""

    def sign(account, type_name, values, chain_id=None, contract=None):
        domain = definition["domain"] | {
            "chainId": boa.env.evm.patch.chain_id if chain_id is None else chain_id,
            "verifyingContract": str(contract or wattseal.address),
        }
        fields = [{"type": kind, "name": field} for kind, field in definition["types"][type_name]]
        message = encode_typed_data(domain, {type_name: fields}, values)
        if isinstance(account, p256.P256Account):
            return account.sign_digest(keccak(b"\x19\x01" + message.header + message.body))
        signature = account.sign_message(message).signature
        return signature[:64] + bytes([signature[64] - 27])

    return sign


@pytest.fixture(scope="session")
def make_voucher(actors):
    """Return a function that makes a voucher that can be opened at START, with changes."""

    def make_voucher(**changes):
        voucher = {
            "driver": actors.driver.address,
            "host": actors.host,
            "plug": actors.plug.address,
            "token": ZERO_ADDRESS,
            "funding": 0,
            "pricePerKwh": 3 * 10**14,
            "pricePerHour": 10**14,
            "maxPowerW": 4600,
            "cap": CAP,
            "issuedAt": START - 10,
            "validUntil": START + 86_400,
            "nonce": 0x1234_5678_9ABC_DEF0,
        }
        return voucher | changes

    return make_voucher


@pytest.fixture(scope="session")
def make_receipt(wattseal):
    """Return a function that makes an interim receipt of one hour that started a minute after the voucher was issued, with changes."""

    def make_receipt(voucher, **changes):
        receipt = {
            "session": wattseal.session_of(tuple(voucher.values())),
            "sequence": 1,
            "startedAt": voucher["issuedAt"] + 60,
            "asOf": voucher["issuedAt"] + 3660,
            "activeSeconds": 3600,
            "registerWh": 1000,
            "energyWh": 2000,
            "flags": 2,
            "evidence": b"\x5e" * 32,
        }
        return receipt | changes

    return make_receipt


@pytest.fixture(scope="session")
def open_session(wattseal):
    """Return a function with which the driver opens the session of a voucher; tokens were approved."""

    def open_session(voucher):
        value = voucher["cap"] if voucher["token"] == ZERO_ADDRESS else 0
        wattseal.open(tuple(voucher.values()), b"", value=value, sender=voucher["driver"])

    return open_session


def word(value):
    """Return a value as the word that was signed."""
    return value if isinstance(value, int | bytes) else int(value, 16)


def signature_words(signature):
    """Return the words of a signature's bytes: r, s, v, 0 or r, s, x, y; zeros of none."""
    return [int.from_bytes(signature[start : start + 32], "big") for start in range(0, 128, 32)]


@pytest.fixture(scope="session")
def claim(actors, sign):
    """Return a function that makes the claim of a receipt, signed by the plug, and for a tab by the driver, unless signatures are given."""

    def claim(voucher, receipt, signature=None, driver_signature=None):
        signature = sign(actors.plug, "Receipt", receipt) if signature is None else signature
        if driver_signature is None:
            drivers = {account.address: account for account in (actors.driver, actors.other_driver)}
            driver_signature = sign(drivers[voucher["driver"]], "Voucher", voucher) if voucher["funding"] == TAB else b""
        words = [tuple(map(word, struct.values())) for struct in (voucher, receipt)]
        return *words, signature_words(signature), signature_words(driver_signature)[:3]

    return claim


@pytest.fixture(scope="session")
def settle(wattseal, actors, claim):
    """Return a function with which the relay settles a receipt, signed as `claim` says."""

    def settle(voucher, receipt, signature=None, driver_signature=None):
        wattseal.settle(claim(voucher, receipt, signature, driver_signature), sender=actors.relay)

    return settle


@pytest.fixture(scope="session")
def deposit(wattseal):
    """Return a function with which a voucher's driver puts coins into its tab."""

    def deposit(voucher, amount):
        wattseal.deposit(voucher["driver"], voucher["host"], voucher["plug"], ZERO_ADDRESS, amount, value=amount, sender=voucher["driver"])

    return deposit


@pytest.fixture(scope="session")
def tab_of(wattseal):
    """Return a function that gives balance and exit time of a voucher's tab."""
    return lambda voucher: wattseal.tab_of(*(voucher[party] for party in ("driver", "host", "plug", "token")))


@pytest.fixture(scope="session")
def due_of():
    """Return what a receipt is worth under a voucher: docs/protocol.md, section 1, in Python integers."""

    def due_of(voucher, receipt):
        energy_wh = min(receipt["energyWh"], voucher["maxPowerW"] * receipt["activeSeconds"] // 3600)
        amount = energy_wh * voucher["pricePerKwh"] // 1000 + receipt["activeSeconds"] * voucher["pricePerHour"] // 3600
        return min(voucher["cap"], amount)

    return due_of


@pytest.fixture
def voucher(make_voucher):
    return make_voucher()


@pytest.fixture
def opened(voucher, open_session):
    """Return the voucher of an open session, two hours after it was issued."""
    open_session(voucher)
    boa.env.timestamp = voucher["issuedAt"] + 7200
    return voucher
