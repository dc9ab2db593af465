"""Deploy a contract and note it in the chain's address book; or check a book against a node. Without --send nothing is sent.

python contracts/deploy.py CHAIN wattseal --keystore FILE [--send]
python contracts/deploy.py CHAIN registry --keystore FILE [--send]         beside the book's newest Wattseal
python contracts/deploy.py CHAIN shares --keystore FILE ... [--send]       beside the book's newest Registry
python contracts/deploy.py CHAIN check

CHAIN is --rpc URL --chain-id N and what vouches for headers: --beacon URL --light-client-store FILE --checkpoint 0x..., or --trust-rpc, or for
development --simulated-beacon URL.

The keystore is Web3 Secret Storage, version 3; its password is in the file that --password-file names, in WATTSEAL_DEPLOY_PASSWORD, or asked for.
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import rlp
from address_book import METADATA, AddressBook
from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_hash.auto import keccak
from generate import CONTRACT_FILES, ROOT
from wattseal import keys
from wattseal.errors import ConfigError, ProofError, WattsealError
from wattseal.gateway.chain import Chain
from wattseal.gateway.connect import ChainSettings, connect
from wattseal.gateway.rpc import quantity, to_hex
from wattseal.gateway.submit import Submitter
from wattseal.protocol import signatures

NATIVE_COIN = "0x" + "00" * 20
PASSWORD_VARIABLE = "WATTSEAL_DEPLOY_PASSWORD"  # noqa: S105 - a name


class Deployment:
    """A contract with its constructor's arguments by name, and who pays for it (20 bytes)."""

    def __init__(self, name: str, arguments: dict[str, Any], deployer: bytes) -> None:
        """Encode the call. Raises ConfigError when an argument does not fit."""
        self.name, self.arguments, self.deployer = name, arguments, deployer
        artifact = json.loads((ROOT / CONTRACT_FILES[name]).read_text())
        inputs = next(entry["inputs"] for entry in artifact["abi"] if entry["type"] == "constructor")
        self._creation = bytes.fromhex(artifact["bytecode"][2:])
        try:
            self.call = self._creation + encode([parameter["type"] for parameter in inputs], list(arguments.values()))
        except EncodingError as error:
            raise ConfigError(f"{name} does not take {arguments}: {error}") from error

    def plan(self, chain: Chain) -> list[str]:
        """Return in words what sending would do; the gas is a server's estimate. Raises GatewayError."""
        head = chain.headers.latest()
        account = chain.account(head, self.deployer)
        nonce, balance = (account.nonce, account.balance) if account else (0, 0)
        transaction = {"from": to_hex(self.deployer), "data": to_hex(self.call)}
        gas = chain.upstreams.ask(lambda rpc: quantity(rpc.call("eth_estimateGas", transaction), "gas estimate"))
        return [
            f"contract   {self.name}, {len(self._creation)} bytes of creation code, hash {to_hex(keccak(self._creation))}",
            f"arguments  {json.dumps(self.arguments)}",
            f"address    {to_hex(self._address(nonce))}, if nothing else is sent before",
            f"gas        {gas}, {gas * head.base_fee_per_gas} wei at the base fee of now; {to_hex(self.deployer)} has {balance} wei",
            f"believed   {chain.basis}",
        ]

    def send(self, chain: Chain, key: bytes) -> dict[str, Any]:
        """Deploy, and return the address book's entry, whose code hash is proven. Raises GatewayError."""
        inclusion = Submitter(chain, key).submit(None, self.call)
        address = inclusion.transaction.created()
        account = None if address is None else chain.account(inclusion.header, address)
        if address is None or account is None or account.code_hash == keccak(b""):
            raise ProofError(f"no contract at {to_hex(address or b'')} after its deployment in block {inclusion.header.number}")
        facts = json.loads(METADATA.read_text())[self.name]
        return {
            "contract": self.name,
            "version": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
            "address": to_hex(address),
            "block": inclusion.header.number,
            "transaction": to_hex(inclusion.receipt.tx_hash),
            "deployer": to_hex(self.deployer),
            "arguments": self.arguments,
            "compiler": facts["compiler"],
            "creation_code_hash": facts["creation_code_hash"],
            "code_hash": to_hex(account.code_hash),
        }

    def _address(self, nonce: int) -> bytes:
        return keccak(rlp.encode([self.deployer, nonce]))[-20:]


def arguments_of(options: argparse.Namespace, book: AddressBook) -> tuple[str, dict[str, Any]]:
    """Return the contract's name and its constructor's arguments, in order. Raises ConfigError."""
    if options.command == "wattseal":
        return "Wattseal", {}
    if options.command == "registry":
        return "Registry", {"escrow": book.newest("Wattseal")["address"]}
    return "PlugShares", {
        "registry": book.newest("Registry")["address"],
        "plug": options.plug,
        "founder": options.founder,
        "income_tokens": options.token or [NATIVE_COIN],
        "shares": options.shares,
        "shares_for_sale": options.for_sale,
        "price": options.price_wei,
        "name": options.name,
        "symbol": options.symbol,
    }


def claimed_address(path: Path) -> bytes:
    """Return the address (20 bytes) that a keystore claims. Raises ConfigError when it is none."""
    try:
        return bytes.fromhex(json.loads(path.read_text())["address"].removeprefix("0x"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no keystore of Web3 Secret Storage with an address; make one with `wattseal new-key` or any wallet") from error


def unlock(path: Path, address: bytes, password_file: Path | None) -> bytes:
    """Return the secret key of a keystore. Raises ConfigError when the password does not open it, or the key is not this address's (20 bytes)."""
    key = keys.load_key(path, keys.password_of(password_file, PASSWORD_VARIABLE, f"password of {path}"))
    if signatures.address(key) != address:
        raise ConfigError(f"{path} says {to_hex(address)}, but its key is that of {to_hex(signatures.address(key))}; correct the file")
    return key


def run(options: argparse.Namespace) -> None:
    """Do what the command line says. Raises WattsealError."""
    chain = connect(
        ChainSettings(
            chain_id=options.chain_id,
            rpc=tuple(options.rpc),
            beacon=tuple(options.beacon or ()),
            light_client_store=options.light_client_store,
            checkpoint=options.checkpoint,
            simulated_beacon=options.simulated_beacon,
            trust_rpc=options.trust_rpc,
        )
    )
    book = AddressBook(options.addresses, options.chain_id)
    if options.command == "check":
        print("\n".join(book.check(chain)) or f"{book.path} lists nothing")
        return
    chain.headers.latest()  # the right chain, before anything else
    deployer = claimed_address(options.keystore)
    deployment = Deployment(*arguments_of(options, book), deployer)
    print("\n".join(deployment.plan(chain)))
    if not options.send:
        print("nothing was sent; say --send to deploy")
        return
    entry = deployment.send(chain, unlock(options.keystore, deployer, options.password_file))
    book.add(entry)
    print(f"deployed   {entry['contract']} at {entry['address']} in block {entry['block']}; noted in {book.path}")


def _root(text: str) -> bytes:
    root = bytes.fromhex(text.removeprefix("0x"))
    if len(root) != 32:
        raise argparse.ArgumentTypeError("is not 0x and 64 hex digits")
    return root


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    top = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top.add_argument("--rpc", required=True, action="append", help="URL of a node; several are asked in this order")
    top.add_argument("--chain-id", required=True, type=int, help="the chain that the node must serve")
    trust = top.add_mutually_exclusive_group(required=True)
    trust.add_argument("--beacon", action="append", help="URL of a beacon node: follow the sync committee")
    trust.add_argument("--simulated-beacon", help="URL of `wattseal simulated-beacon`, for development")
    trust.add_argument("--trust-rpc", action="store_true", help="take headers on the node's word")
    top.add_argument("--light-client-store", type=Path, help="file that the light client keeps, with --beacon")
    top.add_argument("--checkpoint", type=_root, help="root of a recent final block that you trust, for a new store")
    top.add_argument("--addresses", type=Path, default=ROOT / "contracts/addresses", help="folder of the address books")
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="compare the address book with the node's code")
    for name in ("wattseal", "registry", "shares"):
        command = commands.add_parser(name, help=f"deploy the {name} contract")
        command.add_argument("--keystore", required=True, type=Path, help="who pays: a file of Web3 Secret Storage")
        command.add_argument("--password-file", type=Path, help=f"file with the keystore's password; else {PASSWORD_VARIABLE}, else it is asked for")
        command.add_argument("--send", action="store_true", help="deploy; without it nothing is sent")
    command.add_argument("--plug", required=True, help="whose income is shared")
    command.add_argument("--founder", required=True, help="who sells the shares and acts as host")
    command.add_argument("--token", action="append", help="address of a token in which income is shared, up to 4 times; default: the native coin")
    command.add_argument("--shares", required=True, type=int, help="how many there are")
    command.add_argument("--for-sale", required=True, type=int, help="how many of them are for sale")
    command.add_argument("--price-wei", required=True, type=int, help="of one share")
    command.add_argument("--name", required=True, help="of the token, up to 32 characters")
    command.add_argument("--symbol", required=True, help="of the token, up to 8 characters")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, or these arguments, and run; return the exit code."""
    try:
        run(parser().parse_args(arguments))
    except WattsealError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
