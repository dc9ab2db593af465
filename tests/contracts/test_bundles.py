"""What a block explorer is given compiles, alone, to the code that is deployed."""

import json
from pathlib import Path

import pytest
from eth_utils import keccak
from vyper.cli.vyper_json import compile_json

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "contracts/bundles"
METADATA = json.loads((BUNDLES / "metadata.json").read_text())


@pytest.mark.parametrize(("name", "contract_file"), [("Wattseal", "wattseal"), ("Registry", "registry"), ("PlugShares", "plug_shares")])
def test_a_bundle_makes_the_code(monkeypatch, tmp_path, name, contract_file):
    monkeypatch.chdir(tmp_path)
    standard_input = json.loads((BUNDLES / f"{name}.json").read_text())
    standard_input["settings"]["outputSelection"] = {f"{name}.vy": ["evm.bytecode", "evm.deployedBytecode", "abi"]}
    code = compile_json(standard_input)["contracts"][f"{name}.vy"][name]["evm"]
    creation, runtime = (bytes.fromhex(code[part]["object"].removeprefix("0x")) for part in ("bytecode", "deployedBytecode"))
    written = json.loads((ROOT / f"host_tools/wattseal/gateway/{contract_file}_contract.json").read_text())
    assert "0x" + creation.hex() == written["bytecode"]
    facts = METADATA[name]
    assert facts["creation_code_hash"] == "0x" + keccak(creation).hex()
    assert (facts["runtime_bytes"], facts["runtime_hash"]) == (len(runtime), "0x" + keccak(runtime).hex())
    assert standard_input["compiler_version"] == facts["compiler"]


@pytest.mark.parametrize("name", METADATA)
def test_the_sources_in_a_bundle_are_those_of_the_tree(name):
    sources = json.loads((BUNDLES / f"{name}.json").read_text())["sources"]
    assert f"{name}.vy" in sources
    for path, source in sources.items():
        assert source["content"] == (ROOT / "contracts/src" / path).read_text()
