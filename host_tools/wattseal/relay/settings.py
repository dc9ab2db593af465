"""The relay's settings, each defined once (docs/operations.md); `settings_reading` says where they come from.

A new setting is one line of `RelaySettings`; option, variable, key, help and check follow from it. Secrets are no settings: only names of files are.
"""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from wattseal import keys
from wattseal.errors import ConfigError
from wattseal.gateway.connect import ONE_OF_THREE, ChainSettings
from wattseal.gateway.mempool import Limits
from wattseal.relay.links import Timings
from wattseal.relay.links.mqtt_client import BrokerAddress
from wattseal.relay.links.running import EmbeddedSettings, LinkSettings
from wattseal.relay.links.tls import client_context
from wattseal.relay.settle_policy import SettlePolicy
from wattseal.relay.sites import Site

PREFIX = "WATTSEAL_RELAY_"
KEY_VARIABLE = PREFIX + "KEY"
PASSWORD_VARIABLE = PREFIX + "KEY_PASSWORD"
MQTT_PASSWORD_VARIABLE = PREFIX + "MQTT_PASSWORD"
GWEI = 10**9
_BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}


def address(text: object) -> object:
    """Read HOST:PORT. Raises ValueError."""
    match = re.fullmatch(r"\[([0-9a-fA-F:.]+)\]:(\d{1,5})|([^:]+):(\d{1,5})", text) if isinstance(text, str) else None
    if match is None or int(match[2] or match[4]) > 0xFFFF:
        raise ValueError(f"{text!r:.60} is not HOST:PORT, as in 127.0.0.1:7140 or [::1]:7140")
    return match[1] or match[3], int(match[2] or match[4])


def _hex(length: int) -> BeforeValidator:
    def read(text: object) -> object:
        if not isinstance(text, str) or not re.fullmatch(rf"0x[0-9a-fA-F]{{{2 * length}}}", text):
            raise ValueError(f"{text!r:.80} is not 0x and {2 * length} hex digits")
        return bytes.fromhex(text[2:])

    return BeforeValidator(read)


def _words(value: object) -> object:
    return value.split() if isinstance(value, str) else value


def _broker(url: object) -> object:
    if not isinstance(url, str) or "@" in url:
        # not repeated: there may be a password in it
        raise ValueError(f"holds a user: give mqtt_user, and the password in {MQTT_PASSWORD_VARIABLE} or mqtt_password_file")
    parts = urlsplit(url)
    try:
        port = parts.port or _BROKER_PORTS[parts.scheme]
    except (KeyError, ValueError):
        port = 0
    if not port or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r:.80} is not mqtts://HOST[:PORT] or mqtt://HOST[:PORT]")
    return url


def _shards(text: object) -> object:
    match = re.fullmatch(r"([0-9a-f]{2})-([0-9a-f]{2})", text) if isinstance(text, str) else None
    if not match or match[1] > match[2]:
        raise ValueError(f"{text!r:.40} is no range of bytes as 00-7f")
    return text


Address = Annotated[tuple[str, int], NoDecode, BeforeValidator(address)]
Urls = Annotated[tuple[Annotated[str, Field(pattern=r"^https?://")], ...], NoDecode, BeforeValidator(_words)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Plug = Annotated[bytes, _hex(20)]


def setting(default: Any, description: str, option: str | None = None, **bounds: Any) -> Any:
    """Define a setting; `default` is ... where it must be given, `option` its option where that is not its name."""
    return Field(default, description=description, json_schema_extra={"option": option} if option else None, **bounds)


class SiteSettings(BaseModel):
    """A breaker and the plugs behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1, max_length=64)
    breaker_ma: int = Field(ge=1_000, le=1_000_000)
    reserve_ma: int = Field(0, ge=0)
    plugs: dict[Plug, Annotated[int, Field(ge=1_000, le=100_000)]] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        capacity_ma = self.breaker_ma - self.reserve_ma
        for plug, limit_ma in self.plugs.items():
            if limit_ma > capacity_ma:
                raise ValueError(f"plug 0x{plug.hex()} needs {limit_ma} mA and breaker_ma less reserve_ma leaves {capacity_ma}: it could never be on")
        return self


class RelaySettings(BaseSettings):
    """Everything that `wattseal relay` is told but secrets."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    store: str = setting(
        ..., "SQLite file for vouchers, receipts and settlements, made if missing; or postgresql://USER@HOST/DATABASE.", min_length=1
    )
    contract: Annotated[bytes, NoDecode, _hex(20)] = setting(..., "Address of Wattseal.vy.")
    chain_id: int = setting(..., "Chain id; a server of another chain is not used.", ge=1)
    rpc: Urls = setting(..., "JSON-RPC server to ask, http://...; several are asked in this order, and one that lies no more.", min_length=1)
    beacon: Urls = setting((), "Beacon node, http://...: follow the sync committee, and take no server's word for headers.")
    light_client_store: Path | None = setting(None, "File that the light client keeps between runs, with beacon or simulated_beacon.")
    checkpoint: Annotated[bytes, NoDecode, _hex(32)] | None = setting(
        None, "Root of a recent final block, from a source that you trust; once, for a new store."
    )
    simulated_beacon: str | None = setting(None, "`wattseal simulated-beacon` on this machine, for development: it proves nothing.")
    trust_rpc: bool = setting(False, "Take headers on the servers' word, where no beacon node is to be had.")
    timeout_s: float = setting(10, "Seconds to wait for a server of the chain.", "--timeout", ge=0.1)
    key_file: Path | None = setting(None, f"Encrypted key file (Web3 Secret Storage v3) that pays for gas, in place of {KEY_VARIABLE}.")
    key_password_file: Path | None = setting(
        None, f"File whose first line is the key file's password; else {PASSWORD_VARIABLE}, else it is asked for."
    )
    listen: Address = setting("127.0.0.1:7140", "Where plugs connect, HOST:PORT. Plugs on the LAN need 0.0.0.0:7140.")
    broker: Annotated[str, BeforeValidator(_broker)] | None = setting(
        None, "MQTT broker where plugs are too, mqtts://HOST[:PORT], or mqtt:// without TLS."
    )
    mqtt_user: str | None = setting(None, "User of this relay at the broker.")
    mqtt_password_file: Path | None = setting(None, f"File whose first line is that user's password; else {MQTT_PASSWORD_VARIABLE} holds it.")
    mqtt_ca: Path | None = setting(None, "Certificate of the CA that vouches for the broker; else the system's CAs.")
    mqtt_cert: Path | None = setting(None, "Certificate that this relay shows the broker, or with mqtt_listen the plugs.")
    mqtt_key: Path | None = setting(None, "File with the key of mqtt_cert, unencrypted.")
    mqtt_listen: Address | None = setting(None, "Be the broker, for up to 64 plugs, on HOST:PORT; needs wattseal[broker].")
    mqtt_users: Path | None = setting(None, "File of the plugs' passwords, made by `wattseal plug mqtt-user`, for mqtt_listen.")
    shards: Annotated[str, BeforeValidator(_shards)] = setting(
        "00-ff", "First bytes of the plugs' ids that this relay serves at the broker, as 00-7f; every relay others."
    )
    serial: Words = setting((), "Serial line with a plug: a device, or a URL of pyserial as socket://HOST:PORT.")
    api: Address = setting("127.0.0.1:7141", "Where the HTTP API listens, HOST:PORT.")
    drivers: Address | None = setting(None, "Where drivers find offers, sessions and their page, HOST:PORT; nothing there is the host's.")
    poll_s: float = setting(1, "Seconds between two looks at the chain.", "--poll", ge=0.01)
    ping_s: float = setting(60, "Seconds between two pings to a plug.", "--ping", ge=0.01)
    time_s: float = setting(600, "Seconds between two time messages to a plug.", "--time-every", ge=0.01)
    finality: Literal["final", "optimistic"] | None = setting(
        None, "A settlement counts once its block is final, or optimistic: at once. Default: final; with trust_rpc, where nothing is, not."
    )
    max_fee_gwei: int = setting(200, "Most that a unit of gas may cost, in gwei. A stuck transaction is made dearer up to this.", "--max-fee", ge=1)
    stuck_after_s: int = setting(60, "Seconds in no block after which a transaction is made dearer.", "--stuck-after", ge=12)
    settle_batch: int = setting(1, "So many receipts are worth a transaction; fewer wait settle_wait_s.", ge=1, le=100)
    settle_wait_s: int = setting(0, "Seconds that a receipt waits for others, at most.", "--settle-wait", ge=0)
    interim_every_s: int = setting(86_400, "Seconds after which a session that still runs is paid for so far.", "--interim-every", ge=60)
    interim_risk: int | None = setting(None, "Pay for a running session so far once so much is due and not paid, in base units of its token.", ge=1)
    max_base_fee_gwei: int | None = setting(
        None, "Above this base fee, in gwei, settlements wait while their deadline is days away.", "--max-base-fee", ge=1
    )
    max_plugs: int = setting(1000, "For how many plugs anything is kept.", ge=1)
    keep_interim_days: int = setting(90, "Days after settlement until interim receipts are deleted.", ge=1)
    keep_sessions_days: int = setting(3653, "Days after settlement until all of a session is deleted.", ge=1)
    head_age_s: float = setting(900, "/healthz says not ready where the chain's newest header is older than so many seconds.", "--head-age", ge=1)
    sites: tuple[SiteSettings, ...] = setting((), "Breakers with several plugs behind them (docs/sites.md); in the file, or JSON.")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if bool(self.beacon) + (self.simulated_beacon is not None) + self.trust_rpc != 1:
            raise ValueError(f"what vouches for headers? {ONE_OF_THREE}")
        if self.checkpoint is not None and not self.beacon:
            raise ValueError("checkpoint is of no use without beacon: take it out")
        if self.light_client_store is not None and self.trust_rpc:
            raise ValueError("light_client_store is of no use with trust_rpc: take it out")
        if self.beacon and self.light_client_store is None:
            raise ValueError("light_client_store is needed with beacon: name a file for the light client to keep")
        if self.finality == "final" and self.trust_rpc:
            raise ValueError("finality: nothing says what is final with trust_rpc; choose optimistic, or beacon")
        if self.key_password_file is not None and self.key_file is None:
            raise ValueError("key_password_file is of no use without key_file: take it out")
        if (self.mqtt_cert is None) != (self.mqtt_key is None):
            raise ValueError("mqtt_cert and mqtt_key go together")
        if self.broker is not None and self.mqtt_listen is not None:
            raise ValueError("mqtt_listen is of no use with broker: there is a broker already")
        if (self.mqtt_listen is None) != (self.mqtt_users is None):
            raise ValueError("mqtt_listen and mqtt_users go together: who may come in?")
        if self.broker is None and (self.mqtt_user or self.mqtt_ca):
            raise ValueError("mqtt_user and mqtt_ca are of no use without broker")
        if self.broker is not None and self.broker.startswith("mqtt:") and (self.mqtt_ca or self.mqtt_cert):
            raise ValueError("mqtt_ca and mqtt_cert are of no use with mqtt://: give mqtts://")
        if self.mqtt_user is None and (self.mqtt_password_file is not None or MQTT_PASSWORD_VARIABLE in os.environ):
            raise ValueError("mqtt_user is needed with a password for the broker")
        names = [site.name for site in self.sites]
        plugs = [plug for site in self.sites for plug in site.plugs]
        if len(set(names)) < len(names) or len(set(plugs)) < len(plugs):
            raise ValueError("sites: two have the same name, or a plug is behind two breakers")
        return self

    @property
    def chain(self) -> ChainSettings:
        """How to read the chain."""
        names = ("chain_id", "rpc", "beacon", "light_client_store", "checkpoint", "simulated_beacon", "trust_rpc", "timeout_s")
        return ChainSettings(**{name: getattr(self, name) for name in names})

    def links(self) -> LinkSettings:
        """Return where plugs come in. Raises ConfigError where a file is wrong."""
        certificate = None if self.mqtt_cert is None or self.mqtt_key is None else (self.mqtt_cert, self.mqtt_key)
        first, last = (int(text, 16) for text in self.shards.split("-"))
        where: BrokerAddress | EmbeddedSettings | None = None
        if self.mqtt_listen is not None and self.mqtt_users is not None:
            where = EmbeddedSettings(self.mqtt_listen, self.mqtt_users, certificate)
        elif self.broker is not None:
            parts = urlsplit(self.broker)
            password = None
            if self.mqtt_password_file is not None or os.environ.get(MQTT_PASSWORD_VARIABLE):
                password = keys.password_of(self.mqtt_password_file, MQTT_PASSWORD_VARIABLE, "")
            tls = client_context(self.mqtt_ca, certificate) if parts.scheme == "mqtts" else None
            where = BrokerAddress(parts.hostname or "", parts.port or _BROKER_PORTS[parts.scheme], self.mqtt_user, password, tls)
        return LinkSettings(self.listen, where, range(first, last + 1), self.serial)

    @property
    def timings(self) -> Timings:
        """How fast to go."""
        return Timings(poll_s=self.poll_s, ping_s=self.ping_s, time_s=self.time_s)

    @property
    def counts(self) -> str:
        """When a settlement counts: a value of `gateway.settlements.Finality`."""
        return self.finality or ("optimistic" if self.trust_rpc else "final")

    @property
    def limits(self) -> Limits:
        """What a transaction may cost."""
        return Limits(max_fee_wei=self.max_fee_gwei * GWEI, stuck_s=self.stuck_after_s)

    @property
    def policy(self) -> SettlePolicy:
        """When what is settled."""
        max_base_fee_wei = None if self.max_base_fee_gwei is None else self.max_base_fee_gwei * GWEI
        return SettlePolicy(self.settle_batch, self.settle_wait_s, self.interim_risk, self.interim_every_s, max_base_fee_wei)

    def planned_sites(self) -> list[Site]:
        """Return the sites as the planner wants them."""
        return [Site(site.name, site.breaker_ma, site.reserve_ma, dict(site.plugs)) for site in self.sites]

    def effective(self) -> str:
        """Return every setting as TOML, what may hold a password left out of it."""
        values = {name: shown(getattr(self, name)) for name in type(self).model_fields if name != "sites"}
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
        for site in self.sites:
            plugs = ", ".join(f'"0x{plug.hex()}" = {limit_ma}' for plug, limit_ma in site.plugs.items())
            lines += ["", "[[sites]]", f"name = {json.dumps(site.name)}", f"breaker_ma = {site.breaker_ma}", f"reserve_ma = {site.reserve_ma}"]
            lines.append(f"plugs = {{ {plugs} }}")
        return "\n".join(lines)


def can_open_key(settings: RelaySettings) -> bool:
    """Return whether the password of the key file need not be asked for."""
    return settings.key_password_file is not None or PASSWORD_VARIABLE in os.environ


def read_key(settings: RelaySettings) -> bytes:
    """Return the key that pays for settlements (32 bytes). Raises ConfigError, which never shows it."""
    if settings.key_file is not None:
        if os.environ.get(KEY_VARIABLE):
            raise ConfigError(f"{KEY_VARIABLE} and key_file are both set: give one of them")
        return keys.load_key(settings.key_file, keys.password_of(settings.key_password_file, PASSWORD_VARIABLE, f"Password of {settings.key_file}"))
    found = keys.key_of_environment(KEY_VARIABLE)
    if found is None:
        raise ConfigError(f"no key pays for settlements: name a key_file, or put it into {KEY_VARIABLE}, 0x and 64 hex digits")
    return found


def shown(value: Any) -> Any:
    """Return a setting's value for people: of an URL no more than its scheme, user, host and port, since paths and queries often hold keys."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
        return f"[{value[0]}]:{value[1]}" if ":" in value[0] else f"{value[0]}:{value[1]}"
    if isinstance(value, tuple | list):
        return [shown(one) for one in value]
    if isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        user = f"{parts.username}@" if parts.username and not parts.password else ""
        return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}" + ("/..." if parts.path.strip("/") or parts.query else "")
    return str(value) if isinstance(value, Path) else value
