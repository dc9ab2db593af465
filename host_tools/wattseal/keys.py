"""Secret keys at rest: Web3 Secret Storage v3 files, and the environment. Never arguments, never logs.

The file format is https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage, as geth and eth-account write it.
"""

import contextlib
import getpass
import json
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any

from eth_account import Account

from wattseal.errors import ConfigError
from wattseal.protocol import signatures
from wattseal.protocol.framing import strict_json

MAX_FILE_BYTES = 16 << 10
# What a file may ask of this machine before anything of it is known to be right: twice of what geth writes.
MAX_SCRYPT_BYTES = 512 << 20
MAX_SCRYPT_LANES = 16
MAX_PBKDF2_ROUNDS = 10_000_000

_EXISTS = "{} exists and is not overwritten; give another name, or move it away"
_HEX_KEY = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


def load_key(path: Path, password: str) -> bytes:
    """Return the 32-byte secret of a keystore file. Raises ConfigError: unreadable, no such file, wrong password, no secp256k1 key."""
    keystore = _read(path)
    try:
        secret = bytes(Account.decrypt(keystore, password))
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):  # the cause may quote what it was given: not chained
        raise ConfigError(f"{path} does not open with this password; check the password, or whether the file is whole") from None
    return _checked(secret, str(path))


def save_key(path: Path, secret: bytes, password: str) -> None:
    """Encrypt a 32-byte secret into a new file that only this user can read; it is there whole or not at all.

    Raises ConfigError for an empty password, and where the file exists (nothing is overwritten) or cannot be written.
    """
    if not password:
        raise ConfigError(f"the password for {path} is empty; choose one")
    if path.exists():
        raise ConfigError(_EXISTS.format(path))
    text = json.dumps(Account.encrypt(_checked(secret, "the secret"), password))
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, path)  # unlike a rename, fails where something is there
        finally:
            unfinished.unlink()
        _flush_folder(path.parent)
    except FileExistsError:
        raise ConfigError(_EXISTS.format(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; check its folder") from error


def key_of_environment(variable: str) -> bytes | None:
    """Return the 32-byte secret in an environment variable, None where it is not set. Raises ConfigError."""
    text = os.environ.get(variable)
    if not text:
        return None
    if not _HEX_KEY.fullmatch(text):
        raise ConfigError(f"{variable} is not 0x and 64 hex digits (it has {len(text)} characters)")
    return _checked(bytes.fromhex(text[2:]), variable)


def password_of(file: Path | None, variable: str, prompt: str, *, again: bool = False) -> str:
    """Return a password: the first line of `file` if given, else of the environment variable, else asked on the terminal (twice with `again`).

    Raises ConfigError.
    """
    if file is not None:
        try:
            with file.open("rb") as opened:
                return opened.read(MAX_FILE_BYTES).decode().split("\n")[0].removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(f"cannot read the password in {file}: {why}") from None
    text = os.environ.get(variable)
    if text:
        return text
    if not sys.stdin.isatty():
        raise ConfigError(f"there is no terminal to ask for the password on; name a file that holds it, or set {variable}")
    typed = getpass.getpass(f"{prompt}: ")
    if again and getpass.getpass("Once more: ") != typed:
        raise ConfigError("the two passwords differ; try again")
    return typed


def _checked(secret: bytes, source: str) -> bytes:
    try:
        signatures.address(secret)
    except ValueError:
        raise ConfigError(f"{source} is no secp256k1 key: that is 32 bytes, above 0 and below the group order") from None
    return secret


def _read(path: Path) -> dict[str, Any]:
    """Return a keystore file's object, checked so far that opening it costs no more than it may."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} has more than {MAX_FILE_BYTES} bytes; it is no keystore file")
    keystore: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        keystore = strict_json(raw)
    match keystore:
        case {"version": 3, "crypto": {"kdf": "scrypt", "kdfparams": {"n": int(n), "r": int(r), "p": int(p), "dklen": 32}}}:
            affordable = 0 < n * r * 128 <= MAX_SCRYPT_BYTES and 0 < p <= MAX_SCRYPT_LANES
        case {"version": 3, "crypto": {"kdf": "pbkdf2", "kdfparams": {"c": int(rounds), "prf": "hmac-sha256", "dklen": 32}}}:
            affordable = 0 < rounds <= MAX_PBKDF2_ROUNDS
        case _:
            raise ConfigError(f"{path} is no keystore file of version 3 (Web3 Secret Storage)")
    if not affordable:
        raise ConfigError(f"{path} asks for more work to open it than any honest keystore file does; it is not opened")
    return keystore


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
