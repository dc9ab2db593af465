import json
import os
import stat

import pytest
from eth_account import Account
from wattseal import keys
from wattseal.errors import ConfigError

SECRET = bytes(range(1, 33))
PASSWORD = "pàss word"
# From the specification's own test vectors.
VECTOR_PASSWORD = "testpassword"
VECTOR_SECRET = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
VECTOR = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


@pytest.fixture
def quick(monkeypatch):
    """Files that open fast."""
    encrypt = Account.encrypt
    monkeypatch.setattr(keys.Account, "encrypt", lambda secret, password: encrypt(secret, password, kdf="scrypt", iterations=1024))


def write(path, keystore):
    path.write_text(json.dumps(keystore))
    return path


def test_key_of_the_specifications_vector(tmp_path):
    assert keys.load_key(write(tmp_path / "key", VECTOR), VECTOR_PASSWORD) == VECTOR_SECRET


def test_saved_key_is_loaded_and_private(tmp_path):
    path = tmp_path / "key"
    keys.save_key(path, SECRET, PASSWORD)
    assert keys.load_key(path, PASSWORD) == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET.hex() not in path.read_text()
    assert os.listdir(tmp_path) == ["key"]


def test_nothing_is_overwritten(tmp_path, quick):
    path = tmp_path / "key"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="not overwritten"):
        keys.save_key(path, SECRET, PASSWORD)
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["key"]


def test_nothing_is_overwritten_that_came_meanwhile(tmp_path, quick, monkeypatch):
    path = tmp_path / "key"
    path.write_text("mine")
    monkeypatch.setattr(type(path), "exists", lambda _: False)
    with pytest.raises(ConfigError, match="not overwritten"):
        keys.save_key(path, SECRET, PASSWORD)
    assert path.read_text() == "mine"


def test_folder_that_is_not_there(tmp_path, quick):
    with pytest.raises(ConfigError, match="check its folder"):
        keys.save_key(tmp_path / "none" / "key", SECRET, PASSWORD)


def test_password_must_be_one(tmp_path):
    with pytest.raises(ConfigError, match="is empty"):
        keys.save_key(tmp_path / "key", SECRET, "")


def test_wrong_password_and_nothing_said_of_the_right_one(tmp_path, quick):
    keys.save_key(tmp_path / "key", SECRET, PASSWORD)
    with pytest.raises(ConfigError, match="does not open with this password") as caught:
        keys.load_key(tmp_path / "key", "another")
    assert "another" not in str(caught.value)
    assert caught.value.__cause__ is None


def changed(**parameters):
    return {**VECTOR, "crypto": {**VECTOR["crypto"], "kdfparams": {**VECTOR["crypto"]["kdfparams"], **parameters}}}


SCRYPT = {**VECTOR, "crypto": {**VECTOR["crypto"], "kdf": "scrypt", "kdfparams": {"n": 1 << 30, "r": 8, "p": 1, "dklen": 32, "salt": "00"}}}


@pytest.mark.parametrize(
    ("keystore", "message"),
    [
        ([], "no keystore file"),
        ({}, "no keystore file"),
        ({**VECTOR, "version": 4}, "no keystore file"),
        ({**VECTOR, "crypto": None}, "no keystore file"),
        ({**VECTOR, "crypto": {**VECTOR["crypto"], "kdf": "argon2"}}, "no keystore file"),
        (changed(dklen=16), "no keystore file"),
        (changed(prf="hmac-md5"), "no keystore file"),
        (changed(c="1"), "no keystore file"),
        (changed(c=10**9), "more work"),
        (changed(c=0), "more work"),
        (SCRYPT, "more work"),
        (changed(salt=7), "does not open"),
        (changed(salt="zz"), "does not open"),
        ({**VECTOR, "crypto": {**VECTOR["crypto"], "ciphertext": "00"}}, "does not open"),
        ({**VECTOR, "crypto": {k: v for k, v in VECTOR["crypto"].items() if k != "mac"}}, "does not open"),
    ],
)
def test_bad_keystore(tmp_path, keystore, message):
    with pytest.raises(ConfigError, match=message):
        keys.load_key(write(tmp_path / "key", keystore), VECTOR_PASSWORD)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[" * 10_000, b" " * (keys.MAX_FILE_BYTES + 1)])
def test_file_that_is_none(tmp_path, raw):
    (tmp_path / "key").write_bytes(raw)
    with pytest.raises(ConfigError, match="no keystore file"):
        keys.load_key(tmp_path / "key", "")


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the key file"):
        keys.load_key(tmp_path / "key", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [("0x" + "00" * 32, "no secp256k1 key"), ("0x" + "ff" * 32, "no secp256k1 key"), ("0x12", "4 characters"), ("11" * 33, "66 characters")],
)
def test_bad_key_in_the_environment(monkeypatch, text, message):
    monkeypatch.setenv("A_KEY", text)
    with pytest.raises(ConfigError, match=message) as caught:
        keys.key_of_environment("A_KEY")
    assert text not in str(caught.value)


def test_key_in_the_environment(monkeypatch):
    monkeypatch.delenv("A_KEY", raising=False)
    assert keys.key_of_environment("A_KEY") is None
    monkeypatch.setenv("A_KEY", "0x" + SECRET.hex())
    assert keys.key_of_environment("A_KEY") == SECRET


def test_where_a_password_comes_from(tmp_path, monkeypatch):
    monkeypatch.setenv("A_PASSWORD", "of the environment")
    (tmp_path / "password").write_text("of the file\r\nanother line\n")
    assert keys.password_of(tmp_path / "password", "A_PASSWORD", "Password") == "of the file"
    assert keys.password_of(None, "A_PASSWORD", "Password") == "of the environment"
    with pytest.raises(ConfigError, match="cannot read the password"):
        keys.password_of(tmp_path / "none", "A_PASSWORD", "Password")
    monkeypatch.delenv("A_PASSWORD")
    with pytest.raises(ConfigError, match="set A_PASSWORD"):  # a test has no terminal
        keys.password_of(None, "A_PASSWORD", "Password")


@pytest.mark.parametrize(("typed", "taken"), [(["one", "one"], "one"), (["one", "another"], None)])
def test_a_new_password_is_asked_for_twice(monkeypatch, typed, taken):
    monkeypatch.setattr(keys.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(keys.getpass, "getpass", lambda _: typed.pop(0))
    monkeypatch.delenv("A_PASSWORD", raising=False)
    if taken is None:
        with pytest.raises(ConfigError, match="differ"):
            keys.password_of(None, "A_PASSWORD", "Password", again=True)
    else:
        assert keys.password_of(None, "A_PASSWORD", "Password", again=True) == taken
