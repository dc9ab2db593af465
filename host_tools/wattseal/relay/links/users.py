"""Passwords of plugs at a broker, in Mosquitto's password file: `user:$7$iterations$salt$hash`, PBKDF2 with SHA-512 (mosquitto_passwd(1))."""

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from wattseal.errors import ConfigError

RELAY = "relay"  # the relay's own user; plugs have their id in hex
MAX_USERS = 100_000
_ITERATIONS = 101  # Mosquitto's own; our passwords have 128 random bits
_MAX_ITERATIONS = 100_000  # what checking may cost
_LINE = re.compile(r"([^:\s]{1,64}):\$7\$(\d{1,6})\$([A-Za-z0-9+/=]{1,100})\$([A-Za-z0-9+/=]{88})")


@dataclass(frozen=True)
class Hashed:
    """A password that can be checked and not be read."""

    iterations: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def fits(self, password: bytes) -> bool:
        """Return whether this is the password."""
        return hmac.compare_digest(hashlib.pbkdf2_hmac("sha512", password, self.salt, self.iterations), self.digest)


def read_users(path: Path) -> Mapping[str, Hashed]:
    """Return the users of a file. Raises ConfigError, naming file and line."""
    users: dict[str, Hashed] = {}
    for number, line in enumerate(_lines(path), 1):
        match = _LINE.fullmatch(line)
        if match is None or int(match[2]) not in range(1, _MAX_ITERATIONS + 1) or len(users) >= MAX_USERS:
            raise ConfigError(f"line {number} of {path} is not what `wattseal plug mqtt-user` or mosquitto_passwd writes: user:$7$...")
        try:
            users[match[1]] = Hashed(int(match[2]), base64.b64decode(match[3], validate=True), base64.b64decode(match[4], validate=True))
        except ValueError as error:
            raise ConfigError(f"line {number} of {path} is damaged: {error}") from error
    return users


def make_user(path: Path, user: str) -> str:
    """Give a user a new password, which is returned, and keep its hash in the file; make the file, readable by its owner only, if needed.

    Raises ConfigError where that cannot be done; the file is then as before.
    """
    if path.exists():
        read_users(path)
    others = [line for line in _lines(path) if line.partition(":")[0] != user] if path.exists() else []
    password, salt = secrets.token_urlsafe(16), os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    line = f"{user}:$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
    new = path.with_name(path.name + ".new")
    try:
        with suppress(FileNotFoundError):
            new.unlink()
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            if path.exists():
                before = path.stat()
                os.fchown(file.fileno(), before.st_uid, before.st_gid)  # the broker's user must still be able to read it
                os.fchmod(file.fileno(), before.st_mode & 0o777)
            file.write("\n".join([*others, line, ""]))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}") from error
    return password


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the users' file {path}: {error}; make it by `wattseal plug mqtt-user`") from error
