"""Settings: where each comes from, what goes before what, and every mistake by its key."""

from pathlib import Path
from typing import Any

import pytest
from wattseal import keys
from wattseal.errors import ConfigError
from wattseal.relay.settings import PREFIX, RelaySettings, read_key
from wattseal.relay.settings_reading import WrongSettings, load, option_of
from wattseal.relay.settle_policy import SettlePolicy
from wattseal.relay.sites import Site

CONTRACT = "0x" + "5f" * 20
PLUGS = ["0x" + f"{number:02x}" * 20 for number in (1, 2, 3)]
KEY = "0x" + "01" * 32
LEAST: dict[str, Any] = {"store": "s.sqlite", "contract": CONTRACT, "chain_id": "31337", "rpc": ["http://127.0.0.1:1"], "trust_rpc": True}
FILE = f"""
store = "relay.sqlite"
contract = "{CONTRACT}"
chain_id = 31337
rpc = ["https://one.example/v3/SECRET", "http://127.0.0.1:8545"]
trust_rpc = true
poll_s = 3

[[sites]]
name = "garage"
breaker_ma = 32000
reserve_ma = 2000
plugs = {{ "{PLUGS[0]}" = 10000, "{PLUGS[1]}" = 16000 }}
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*RelaySettings.model_fields, "key", "config"):
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text(FILE)
    return path


def mistakes(options: dict[str, Any] | None = None, file: Path | None = None) -> list[str]:
    with pytest.raises(WrongSettings) as caught:
        load(options or {}, file)
    return caught.value.mistakes


def test_options_alone_are_enough_and_the_rest_has_defaults() -> None:
    settings = load(LEAST, None)
    assert (settings.chain_id, settings.contract, settings.listen) == (31337, b"\x5f" * 20, ("127.0.0.1", 7140))
    assert settings.sites == ()
    assert settings.chain.rpc == ("http://127.0.0.1:1",)
    assert settings.timings.ping_s == 60
    assert settings.counts == "optimistic"
    assert settings.policy == SettlePolicy()


def test_an_option_goes_before_the_environment_and_that_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load({}, file).poll_s == 3
    monkeypatch.setenv("WATTSEAL_RELAY_POLL_S", "2")
    assert load({}, file).poll_s == 2
    assert load({"poll_s": "1.5", "ping_s": None}, file).poll_s == 1.5
    assert load({}, file).ping_s == 60


def test_lists_from_the_environment_are_words_and_replace_those_of_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTSEAL_RELAY_RPC", "http://one http://two")
    assert load({}, file).rpc == ("http://one", "http://two")


def test_sites_are_read_as_the_planner_wants_them(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (bytes.fromhex(plug[2:]) for plug in PLUGS[:2])
    assert load({}, file).planned_sites() == [Site("garage", 32_000, 2_000, {one: 10_000, two: 16_000})]
    monkeypatch.setenv("WATTSEAL_RELAY_SITES", f'[{{"name": "car port", "breaker_ma": 16000, "plugs": {{"{PLUGS[2]}": 8000}}}}]')
    assert [site.name for site in load({}, file).sites] == ["car port"]


def test_every_mistake_is_said_at_once_with_its_key_and_where_it_comes_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTSEAL_RELAY_API", "nowhere")
    file.write_text('store = "s"\nchain_id = "many"\nrpcs = ["http://x"]\npoll_s = 0\nkey = "0x01"\n[[sites]]\nname = "x"\nbreaker_ma = 900\n')
    said = mistakes({"listen": "127.0.0.1:99999"}, file)
    for start, part in (
        ("contract: is missing", "--contract, WATTSEAL_RELAY_CONTRACT"),
        ("chain_id: ", "'many'"),
        ("rpc: is missing", "--rpc"),
        ("rpcs: no such setting", "did you mean rpc?"),
        ("poll_s: ", str(file)),
        ("key: no such setting", "key_file"),
        ("api: 'nowhere' is not HOST:PORT", "(WATTSEAL_RELAY_API)"),
        ("listen: '127.0.0.1:99999' is not HOST:PORT", "(option --listen)"),
        ("sites[0].breaker_ma: ", "900"),
        ("sites[0].plugs: is missing", str(file)),
    ):
        assert [line for line in said if line.startswith(start) and part in line], (start, part, said)
    assert len(said) == 10


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"trust_rpc": None}, "choose one of"),
        ({"simulated_beacon": "http://127.0.0.1:1"}, "choose one of"),
        ({"checkpoint": "0x" + "11" * 32}, "checkpoint"),
        ({"light_client_store": "x"}, "light_client_store"),
        ({"trust_rpc": None, "beacon": ["http://127.0.0.1:1"]}, "light_client_store"),
        ({"rpc": ["ftp://x"]}, "rpc[0]"),
        ({"finality": "final"}, "finality"),
        ({"finality": "soon"}, "finality"),
        ({"key_password_file": "x"}, "key_file"),
    ],
)
def test_what_does_not_go_together_is_said(changes: dict[str, Any], part: str) -> None:
    (line,) = mistakes(LEAST | changes)
    assert part in line


@pytest.mark.parametrize(
    ("site", "part"),
    [
        (f'name = "x"\nbreaker_ma = 12000\nplugs = {{ "{PLUGS[2]}" = 16000 }}', "never be on"),
        (f'name = "x"\nbreaker_ma = 32000\nplugs = {{ "{PLUGS[0]}" = 16000 }}', "behind two breakers"),
        (f'name = "garage"\nbreaker_ma = 32000\nplugs = {{ "{PLUGS[2]}" = 16000 }}', "same name"),
        (f'name = "x"\nbreaker_ma = 32000\nplugs = {{ "{PLUGS[2]}" = "16000" }}', "16000"),
        ('name = "x"\nbreaker_ma = 32000\nplugs = { "0x22" = 16000 }', "sites[1].plugs.0x22"),
        ('name = "x"\nbreaker_ma = 32000\nplugs = {}', "sites[1].plugs"),
    ],
)
def test_a_site_that_cannot_be_is_said(file: Path, site: str, part: str) -> None:
    file.write_text(f"{FILE}\n[[sites]]\n{site}\n")
    (line,) = mistakes(file=file)
    assert part in line


def test_a_variable_that_nobody_reads_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTSEAL_RELAY_POL", "2")
    assert mistakes(LEAST) == ["WATTSEAL_RELAY_POL: no such setting, did you mean poll_s?; unset it"]


def test_a_password_in_the_file_is_refused_and_shown_nowhere(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://relay:hunter2@db/wattseal"
    file.write_text(FILE.replace('"relay.sqlite"', f'"{url}"'))
    (line,) = mistakes(file=file)
    assert "WATTSEAL_RELAY_STORE" in line
    assert "hunter2" not in line
    file.write_text(FILE)
    monkeypatch.setenv("WATTSEAL_RELAY_STORE", url)
    settings = load({}, file)
    assert settings.store == url
    shown = settings.effective()
    assert "hunter2" not in shown
    assert "SECRET" not in shown


def test_what_is_shown_is_a_file_of_the_same_settings(file: Path, tmp_path: Path) -> None:
    file.write_text(FILE.replace("/v3/SECRET", ""))
    settings = load({}, file)
    again = tmp_path / "again.toml"
    again.write_text(settings.effective())
    assert load({}, again).model_dump() == settings.model_dump()


def test_a_file_that_cannot_be_read_or_is_no_toml_is_one_line(tmp_path: Path) -> None:
    assert "cannot be read" in mistakes(file=tmp_path / "missing")[0]
    broken = tmp_path / "broken.toml"
    broken.write_text("store = ")
    assert "is no TOML" in mistakes(file=broken)[0]
    broken.write_bytes(b"#" * (2 << 20))
    assert "no file of settings" in mistakes(file=broken)[0]


def test_each_setting_has_an_option_of_its_own() -> None:
    options = [option_of(name) for name in RelaySettings.model_fields]
    assert len(set(options)) == len(options)
    assert all(RelaySettings.model_fields[name].description for name in RelaySettings.model_fields)


# -- the key --------------------------------------------------------------------------------------------------------------------------


def test_the_key_comes_from_the_environment_or_a_file_and_not_from_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, password = tmp_path / "key", tmp_path / "password"
    keys.save_key(key, b"\x01" * 32, "hunter2")
    password.write_text("hunter2\n")
    files = {"key_file": str(key), "key_password_file": str(password)}
    assert read_key(load(LEAST | files, None)) == b"\x01" * 32
    monkeypatch.setenv("WATTSEAL_RELAY_KEY", KEY)
    assert read_key(load(LEAST, None)) == b"\x01" * 32
    with pytest.raises(ConfigError, match="both"):
        read_key(load(LEAST | files, None))


def test_without_any_key_it_is_said_where_one_may_be() -> None:
    with pytest.raises(ConfigError, match="WATTSEAL_RELAY_KEY"):
        read_key(load(LEAST, None))
