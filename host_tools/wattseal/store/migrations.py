"""The tables, as the steps from one format of the store to the next."""

# Each entry takes a file from one user_version to the next. Entries that were released never change.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE owner (chain_id TEXT NOT NULL, contract BLOB NOT NULL) STRICT",
        """CREATE TABLE vouchers (
            session BLOB PRIMARY KEY, plug BLOB NOT NULL, voucher TEXT NOT NULL, signature BLOB NOT NULL, accepted_at INTEGER NOT NULL,
            done INTEGER NOT NULL DEFAULT 0  -- nothing is left to settle
        ) STRICT""",
        "CREATE INDEX vouchers_by_plug ON vouchers (plug)",
        "CREATE INDEX vouchers_not_done ON vouchers (session) WHERE done = 0",
        """CREATE TABLE receipts (
            plug BLOB NOT NULL, session BLOB NOT NULL REFERENCES vouchers (session), sequence INTEGER NOT NULL, final INTEGER NOT NULL,
            receipt TEXT NOT NULL, signature BLOB NOT NULL, ocmf TEXT NOT NULL, received_at INTEGER NOT NULL,
            PRIMARY KEY (plug, session, sequence)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX receipts_by_session ON receipts (session, sequence)",
        """CREATE TABLE settlements (
            id INTEGER PRIMARY KEY, session BLOB NOT NULL REFERENCES vouchers (session), sequence INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('settled', 'nothing_due', 'failed')),
            tx_hash BLOB, block_number INTEGER, block_hash BLOB, gas_used INTEGER, paid TEXT, total_paid TEXT,
            proof_verified INTEGER NOT NULL, code TEXT, message TEXT, recorded_at INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX settlements_by_session ON settlements (session)",
        """CREATE TABLE quarantine (
            id INTEGER PRIMARY KEY, received_at INTEGER NOT NULL, peer TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
            raw BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE statuses (
            id INTEGER PRIMARY KEY, plug BLOB NOT NULL, received_at INTEGER NOT NULL, state TEXT NOT NULL, session BLOB, at INTEGER NOT NULL,
            voltage_mv INTEGER NOT NULL, current_ma INTEGER NOT NULL, power_mw INTEGER NOT NULL, register_mwh INTEGER NOT NULL,
            contactor INTEGER NOT NULL, frequency_mhz INTEGER, contact_mc INTEGER, plug_mc INTEGER, guard TEXT NOT NULL,
            waits_for TEXT, trip TEXT, trip_detail TEXT, weld TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX statuses_by_plug ON statuses (plug, id)",
    ),
    (
        "CREATE TABLE enrolments (plug BLOB PRIMARY KEY, enrolment TEXT NOT NULL, received_at INTEGER NOT NULL) STRICT",
        """CREATE TABLE retirements (
            plug BLOB PRIMARY KEY, successor BLOB NOT NULL, retirement TEXT NOT NULL, received_at INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX retirements_by_successor ON retirements (successor)",
    ),
)
