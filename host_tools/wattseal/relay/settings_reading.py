"""Where the relay's settings come from: options, else the environment, else a TOML file, else defaults; and every mistake in them, in words."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsError

from wattseal.errors import ConfigError
from wattseal.relay.settings import KEY_VARIABLE, MQTT_PASSWORD_VARIABLE, PASSWORD_VARIABLE, PREFIX, RelaySettings, shown

_NOT_SETTINGS = (KEY_VARIABLE, PASSWORD_VARIABLE, MQTT_PASSWORD_VARIABLE, PREFIX + "CONFIG")
_MAX_FILE_BYTES = 1 << 20
_SECRETS = re.compile(r"key|password|secret|token|mnemonic|seed", re.IGNORECASE)


class WrongSettings(ConfigError):
    """Settings are missing or wrong; `mistakes` has a line for each, `of_options` says whether any of them was given as an option."""

    def __init__(self, mistakes: list[str], of_options: bool = False) -> None:
        """Keep the lines."""
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes
        self.of_options = of_options


def option_of(name: str) -> str:
    """Return the option of a setting."""
    extra = RelaySettings.model_fields[name].json_schema_extra
    return str(extra["option"]) if isinstance(extra, dict) else "--" + name.replace("_", "-")


def load(options: Mapping[str, Any], file: Path | None) -> RelaySettings:
    """Return the settings from these options (by name; None is not given), the environment and a file. Raises WrongSettings with every mistake."""
    given = {name: value for name, value in options.items() if value is not None}
    in_file = {} if file is None else _read(file)
    mistakes = _misplaced(in_file)

    class Loaded(RelaySettings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, in_file)

    loaded: RelaySettings | None = None
    of_options = False
    try:
        loaded = Loaded(**given)
    except SettingsError as error:
        mistakes.append(f"a variable {PREFIX}... that holds a list or a table is no JSON: {error}")
    except ValidationError as error:
        for one in error.errors(include_url=False):
            if one["type"] == "too_short" and one["input"]:  # and its items are named
                continue
            mistakes.append(_said(one, given, file))
            name = str(one["loc"][0]) if one["loc"] else ""
            of_options |= name in given or (file is None and PREFIX + name.upper() not in os.environ)
    if loaded is None or mistakes:
        raise WrongSettings(mistakes, of_options)
    return loaded


# -- what is wrong, in words ----------------------------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise WrongSettings([f"{path} has more than {_MAX_FILE_BYTES} bytes: it is no file of settings"])
        return tomllib.loads(data.decode())
    except OSError as error:
        raise WrongSettings([f"{path} cannot be read: {error.strerror}; check name and permissions"]) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongSettings([f"{path} is no TOML: {error}"]) from error


def _misplaced(in_file: Mapping[str, Any]) -> list[str]:
    """Return what is where it must not be: passwords in the file, variables that nobody reads."""
    mistakes = []
    for name, value in in_file.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and "://" in text and urlsplit(text).password is not None:
                mistakes.append(f"{name}: holds a password; take it out of the file and set {PREFIX}{name.upper()} instead")
    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and variable not in _NOT_SETTINGS and name not in RelaySettings.model_fields:
            mistakes.append(f"{variable}: no such setting{_near(name)}; unset it")
    return mistakes


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, RelaySettings.model_fields, 1)
    return f", did you mean {near[0]}?" if near else ""


def _said(error: Any, given: Mapping[str, Any], file: Path | None) -> str:
    loc = [part for part in error["loc"] if part != "[key]"]
    name = str(loc[0]) if loc else ""
    key = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(str(part) for part in loc)) or "together"
    variable = PREFIX + name.upper()
    if error["type"] == "missing" and len(loc) == 1:
        return f"{key}: is missing; give {option_of(name)}, {variable}, or {name} in a file by --config"
    if error["type"] == "missing":
        return f"{key}: is missing; add it to {file or variable}"
    if error["type"] == "extra_forbidden":
        hint = (
            "; secrets never stand in the file: name a file by key_file, or set a variable"
            if _SECRETS.search(key)
            else _near(name)
            if len(loc) == 1
            else ""
        )
        return f"{key}: no such setting{hint}"
    source = f"option {option_of(name)}" if name in given else variable if variable in os.environ else str(file) if loc else ""
    what = str(error["ctx"]["error"]) if error["type"] == "value_error" else f"{error['msg'].lower()}, not {_quoted(error['input'])}"
    return f"{key}: {what}" + (f" ({source})" if source else "")


def _quoted(value: object) -> str:
    return f"{shown(value)!r:.80}"
