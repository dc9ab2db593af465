"""contracts/deploy.py against anvil: what it sends, what it notes, and what a check of the book finds."""

import contextlib
import io
import json
import runpy
from pathlib import Path

import pytest
from eth_account import Account
from wattseal.demo.processes import CHAIN_ID, Chain
from wattseal.gateway.rpc import quantity
from wattseal.protocol.eip712 import domain_separator

ROOT = Path(__file__).resolve().parents[2]
DEPLOYER = Account.from_key(b"\x61" * 32)
PLUG, FOUNDER = "0x" + "70" * 20, "0x" + "f0" * 20
SHARES = ["--plug", PLUG, "--founder", FOUNDER, "--shares", "1000", "--for-sale", "400", "--price-wei", "7", "--name", "Plug 7", "--symbol", "WS7"]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with Chain(tmp_path_factory.mktemp("anvil"), 1_772_374_800) as chain:
        chain.fund(bytes.fromhex(DEPLOYER.address[2:]), 10**20)
        yield chain


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return a folder with a keystore and its password."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "password").write_text("correct horse\n")
    (folder / "keystore.json").write_text(json.dumps(Account.encrypt(DEPLOYER.key, "correct horse", kdf="pbkdf2", iterations=1000)))
    return folder


@pytest.fixture(scope="module")
def main():
    """Return the script's main function; its neighbours are imported from its folder, as when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "contracts")
        yield runpy.run_path(str(ROOT / "contracts/deploy.py"))["main"]


@pytest.fixture(scope="module")
def run(main, chain, keys, tmp_path_factory):
    """Return a function that runs the script; it returns exit code, output and the address book."""
    addresses = tmp_path_factory.mktemp("addresses")

    def run(command, *more, chain_id=CHAIN_ID, keystore="keystore.json", password="password", folder=addresses):
        pay = [] if command == "check" else ["--keystore", str(keys / keystore), "--password-file", str(keys / password)]
        where = ["--rpc", chain.url, "--chain-id", str(chain_id), "--trust-rpc", "--addresses", str(folder)]
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = main([*where, command, *pay, *more])
        book = folder / f"{chain_id}.json"
        return code, output.getvalue(), json.loads(book.read_text()) if book.exists() else None

    return run


@pytest.fixture(scope="module")
def book(run):
    """Return the address book after all three contracts were deployed, one of them twice."""
    for command, more in (("wattseal", []), ("registry", []), ("shares", SHARES), ("wattseal", [])):
        code, output, book = run(command, *more, "--send")
        assert code == 0, output
    return book


def test_without_send_nothing_is_sent(run, chain, keys, tmp_path):
    nonce = chain.rpc.call("eth_getTransactionCount", DEPLOYER.address, "latest")
    code, output, book = run("wattseal", folder=tmp_path)
    assert (code, book) == (0, None)
    assert "nothing was sent" in output
    assert chain.rpc.call("eth_getTransactionCount", DEPLOYER.address, "latest") == nonce
    assert keys.joinpath("password").read_text().strip() not in output


def test_a_registry_needs_an_escrow_in_the_book(run, tmp_path):
    code, output, _ = run("registry", "--send", folder=tmp_path)
    assert code == 1
    assert "deploy it first" in output


def test_the_book_says_what_is_there(book, chain):
    assert [entry["contract"] for entry in book["contracts"]] == ["Wattseal", "Registry", "PlugShares", "Wattseal"]
    assert book["chain_id"] == CHAIN_ID
    wattseal, registry, shares, newer = book["contracts"]
    assert registry["arguments"] == {"escrow": wattseal["address"]}
    assert (shares["arguments"]["registry"], shares["arguments"]["plug"]) == (registry["address"], PLUG)
    assert newer["address"] != wattseal["address"]
    for entry in book["contracts"]:
        receipt = chain.rpc.call("eth_getTransactionReceipt", entry["transaction"])
        assert receipt["contractAddress"] == entry["address"]
        assert quantity(receipt["blockNumber"], "block") == entry["block"]
        assert entry["deployer"] == DEPLOYER.address.lower()


def test_the_parts_know_each_other_and_the_chain(book, chain):
    wattseal, registry, *_ = (bytes.fromhex(entry["address"][2:]) for entry in book["contracts"])
    separator = chain.rpc.call("eth_call", {"to": "0x" + registry.hex(), "data": "0x3644e515"}, "latest")  # DOMAIN_SEPARATOR()
    assert separator == "0x" + domain_separator(CHAIN_ID, wattseal).hex()


def test_a_right_book_passes_the_check(book, run):
    code, output, _ = run("check")
    assert code == 0, output
    assert output.count("the code of these sources") == len(book["contracts"])


@pytest.mark.parametrize("wrong", ["other code", "no code", "other escrow"])
def test_a_wrong_book_does_not(book, run, tmp_path, wrong):
    changed = json.loads(json.dumps(book))
    entries = changed["contracts"]
    if wrong == "other code":
        entries[0]["address"] = entries[1]["address"]
    elif wrong == "no code":
        entries[0]["address"] = PLUG
    else:
        entries[1]["arguments"]["escrow"] = entries[3]["address"]
    (tmp_path / f"{CHAIN_ID}.json").write_text(json.dumps(changed))
    code, output, _ = run("check", folder=tmp_path)
    assert code == 1
    assert "do not use it" in output


def test_a_book_of_another_chain_is_refused(book, run, tmp_path):
    (tmp_path / "1.json").write_text(json.dumps(book))
    code, output, _ = run("check", chain_id=1, folder=tmp_path)
    assert code == 1
    assert f"is of chain {CHAIN_ID}" in output


def test_a_node_of_another_chain_is_refused(run, tmp_path):
    code, output, _ = run("wattseal", "--send", chain_id=1, folder=tmp_path)
    assert code == 1
    assert f"serves chain {CHAIN_ID}, not 1" in output


def test_a_wrong_password_opens_nothing(run, keys, tmp_path):
    (keys / "wrong").write_text("battery staple")
    code, output, book = run("wattseal", "--send", password="wrong", folder=tmp_path)
    assert (code, book) == (1, None)
    assert "does not open with this password" in output


def test_a_password_file_that_is_not_there_is_one_line(run, tmp_path):
    code, output, book = run("wattseal", "--send", password="nowhere", folder=tmp_path)
    assert (code, book) == (1, None)
    assert output.splitlines()[-1].startswith("config: cannot read the password in ")


def test_a_keystore_that_names_another_address_is_refused(run, keys, chain, tmp_path):
    keystore = json.loads((keys / "keystore.json").read_text())
    chain.fund(bytes.fromhex(FOUNDER[2:]), 10**20)
    (keys / "other.json").write_text(json.dumps(keystore | {"address": FOUNDER[2:]}))
    code, output, book = run("wattseal", "--send", keystore="other.json", folder=tmp_path)
    assert (code, book) == (1, None)
    assert "but its key is that of" in output


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"address": 5}', '{"address": "no hex"}'])
def test_what_is_no_keystore_is_refused(run, keys, tmp_path, content):
    (keys / "none.json").write_text(content)
    code, output, _ = run("wattseal", keystore="none.json", folder=tmp_path)
    assert code == 1
    assert "is no keystore" in output


def test_arguments_that_do_not_fit_are_refused(book, run):
    code, output, _ = run("shares", *SHARES, "--for-sale", str(2**64))
    assert code == 1
    assert "does not take" in output


def test_what_the_contract_refuses_is_not_sent(book, run):
    code, output, after = run("shares", *SHARES, "--for-sale", "1001", "--send")
    assert code == 1
    assert "bad_terms" in output
    assert after == book


def test_what_vouches_for_headers_has_to_be_said(main, chain, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--rpc", chain.url, "--chain-id", str(CHAIN_ID), "check"])
    assert ended.value.code == 2
    assert "--beacon --simulated-beacon --trust-rpc is required" in capsys.readouterr().err
