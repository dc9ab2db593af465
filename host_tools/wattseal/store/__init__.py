"""Everything the relay keeps, in one database, and every SQL statement there is."""

from wattseal.errors import ConfigError
from wattseal.store.database import is_url
from wattseal.store.export import Export, Exported
from wattseal.store.quarantine import Quarantine, Quarantined
from wattseal.store.receipts import Added, Around
from wattseal.store.retention import Retention
from wattseal.store.settlements import SettlementRecord, Unsettled
from wattseal.store.statuses import Statuses
from wattseal.store.transactions import Transactions

__all__ = ["Added", "Around", "Exported", "Quarantined", "SettlementRecord", "Store", "Unsettled", "is_url"]


class Store(Retention, Export, Quarantine, Statuses, Transactions):
    """The relay's database."""

    def check_writable(self) -> None:
        """Write and commit something that changes nothing. Raises StoreError."""
        self._execute("UPDATE owner SET chain_id = chain_id")

    def bind(self, chain_id: int, contract: bytes) -> None:
        """Make the file belong to one chain and contract (20 bytes) for good. Raises ConfigError if it belongs to another."""
        with self.transaction():
            row = self._row("SELECT chain_id, contract FROM owner")
            if row is None:
                self._execute("INSERT INTO owner (chain_id, contract) VALUES (?, ?)", str(chain_id), contract)
            elif (int(row["chain_id"]), row["contract"]) != (chain_id, contract):
                raise ConfigError(
                    f"{self._adapter.name} belongs to chain {row['chain_id']} and contract 0x{row['contract'].hex()}, "
                    f"not to {chain_id} and 0x{contract.hex()}: give another --store"
                )
