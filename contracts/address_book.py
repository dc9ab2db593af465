"""The address book of a chain: what was deployed there, and whether a node has exactly that.

contracts/addresses/<chain id>.json lists deployments, oldest first; a new version stands beside the old, nothing is taken out.
"""

import json
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak
from generate import ROOT
from wattseal.errors import ConfigError, ProofError
from wattseal.gateway.chain import Chain
from wattseal.gateway.rpc import to_hex
from wattseal.protocol.eip712 import domain_separator

METADATA = ROOT / "contracts/bundles/metadata.json"


class AddressBook:
    """The deployments of one chain in a JSON file."""

    def __init__(self, folder: Path, chain_id: int) -> None:
        """Read `folder`/<chain_id>.json, or begin with none. Raises ConfigError when it is another chain's."""
        self.path = folder / f"{chain_id}.json"
        self._chain_id = chain_id
        book: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {"chain_id": chain_id, "contracts": []}
        if book["chain_id"] != chain_id:
            raise ConfigError(f"{self.path} is of chain {book['chain_id']}; rename it, or ask for that chain")
        self.entries: list[dict[str, Any]] = book["contracts"]

    def newest(self, name: str) -> dict[str, Any]:
        """Return the newest deployment of a contract. Raises ConfigError when there is none."""
        found = [entry for entry in self.entries if entry["contract"] == name]
        if not found:
            raise ConfigError(f"{self.path} has no {name}; deploy it first")
        return found[-1]

    def add(self, entry: dict[str, Any]) -> None:
        """Add a deployment and write the file."""
        self.entries.append(entry)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"chain_id": self._chain_id, "contracts": self.entries}, indent=1) + "\n")

    def check(self, chain: Chain) -> list[str]:
        """Compare every deployment with the code that is proven for the chain's newest block; return a line on each.

        Raises RpcError, ProofError: at the first code that is not what the book says.
        """
        header = chain.headers.latest()
        metadata = json.loads(METADATA.read_text())
        lines = []
        for entry in self.entries:
            address = bytes.fromhex(entry["address"][2:])
            account = chain.account(header, address)
            found = to_hex(account.code_hash) if account else "none"
            if found != entry["code_hash"]:
                raise ProofError(f"{entry['contract']} at {entry['address']} has code {found}, not {entry['code_hash']}: do not use it")
            facts = metadata[entry["contract"]]
            if entry["creation_code_hash"] == facts["creation_code_hash"]:
                self._check_code(chain.code(header, address), entry, facts)
                lines.append(f"{entry['contract']} at {entry['address']}: the code of these sources")
            else:
                lines.append(f"{entry['contract']} at {entry['address']}: the code that was deployed, of other sources ({entry['version']})")
        return lines

    def _check_code(self, code: bytes, entry: dict[str, Any], facts: dict[str, Any]) -> None:
        size = facts["runtime_bytes"]
        if to_hex(keccak(code[:size])) != facts["runtime_hash"]:
            raise ProofError(f"{entry['contract']} at {entry['address']} is not made from these sources: do not use it")
        escrow = {"Wattseal": entry["address"], "Registry": entry["arguments"].get("escrow")}.get(entry["contract"])
        if escrow and domain_separator(self._chain_id, bytes.fromhex(escrow[2:])) not in code[size:]:
            raise ProofError(f"{entry['contract']} at {entry['address']} has another signing domain: do not use it")
