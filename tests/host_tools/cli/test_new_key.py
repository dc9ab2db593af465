from pathlib import Path

import pytest
from typer.testing import CliRunner
from wattseal import keys
from wattseal.cli.main import app
from wattseal.protocol import signatures
from wattseal.protocol.messages import to_hex


def test_a_new_key_is_in_the_file_and_its_address_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTSEAL_RELAY_KEY_PASSWORD", "a pass phrase")
    file = tmp_path / "relay.key"
    result = CliRunner().invoke(app, ["new-key", str(file)])
    assert result.exit_code == 0
    secret = keys.load_key(file, "a pass phrase")
    assert result.stdout == to_hex(signatures.address(secret)) + "\n"
    written = file.read_text()
    again = CliRunner().invoke(app, ["new-key", str(file)])
    assert again.exit_code == 1
    assert "not overwritten" in again.stderr
    assert file.read_text() == written
