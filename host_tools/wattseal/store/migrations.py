"""The tables, as numbered steps from one format of the store to the next. Steps that were released never change.

A new SQLite file takes every step. PostgreSQL came with format 3, so its first step makes what the first three make together.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """What takes a store from the format before to this one, for each database. Where nothing differs, one text serves both."""

    sqlite: tuple[str, ...]
    postgresql: tuple[str, ...]


_FIRST = (
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
)
_KEYS = (
    "CREATE TABLE enrolments (plug BLOB PRIMARY KEY, enrolment TEXT NOT NULL, received_at INTEGER NOT NULL) STRICT",
    """CREATE TABLE retirements (
        plug BLOB PRIMARY KEY, successor BLOB NOT NULL, retirement TEXT NOT NULL, received_at INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX retirements_by_successor ON retirements (successor)",
)
_ONE_KEY = (
    # A rowid may change; the order in which vouchers came must not. Foreign keys are off meanwhile: https://www.sqlite.org/lang_altertable.html
    """CREATE TABLE numbered (
        number INTEGER PRIMARY KEY, session BLOB NOT NULL UNIQUE, plug BLOB NOT NULL, voucher TEXT NOT NULL, signature BLOB NOT NULL,
        accepted_at INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0,  -- nothing is left to settle
        trimmed INTEGER NOT NULL DEFAULT 0,  -- the interim receipts are gone
        leased_by TEXT, leased_until INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    """INSERT INTO numbered (number, session, plug, voucher, signature, accepted_at, done)
       SELECT rowid, session, plug, voucher, signature, accepted_at, done FROM vouchers""",
    "DROP TABLE vouchers",
    "ALTER TABLE numbered RENAME TO vouchers",
    "CREATE INDEX vouchers_by_plug ON vouchers (plug, number)",
    "CREATE INDEX vouchers_not_done ON vouchers (number) WHERE done = 0",
    "CREATE INDEX vouchers_not_trimmed ON vouchers (accepted_at) WHERE done = 1 AND trimmed = 0",
    "CREATE INDEX vouchers_trimmed ON vouchers (accepted_at) WHERE trimmed = 1",
    # A session is the hash of a voucher, which names the plug: one index does for plug, session and sequence, and rows are appended.
    """CREATE TABLE keyed (
        session BLOB NOT NULL REFERENCES vouchers (session), sequence INTEGER NOT NULL, plug BLOB NOT NULL, final INTEGER NOT NULL,
        receipt TEXT NOT NULL, signature BLOB NOT NULL, ocmf TEXT NOT NULL, received_at INTEGER NOT NULL, PRIMARY KEY (session, sequence)
    ) STRICT""",
    """INSERT INTO keyed (session, sequence, plug, final, receipt, signature, ocmf, received_at)
       SELECT session, sequence, plug, final, receipt, signature, ocmf, received_at FROM receipts ORDER BY received_at, session, sequence""",
    "DROP TABLE receipts",
    "ALTER TABLE keyed RENAME TO receipts",
    "CREATE TABLE plugs (plug BLOB PRIMARY KEY, first_seen_at INTEGER NOT NULL) STRICT",
    """INSERT INTO plugs (plug, first_seen_at)
       SELECT plug, min(seen_at) FROM (
           SELECT plug, accepted_at AS seen_at FROM vouchers
           UNION ALL SELECT plug, received_at FROM statuses UNION ALL SELECT plug, received_at FROM enrolments
       ) GROUP BY plug""",
    "ALTER TABLE quarantine ADD COLUMN plug BLOB",  # null: of one who is not known here
    "CREATE INDEX quarantine_by_plug ON quarantine (plug, id)",
)
_POSTGRESQL = (
    "CREATE TABLE owner (chain_id TEXT NOT NULL, contract BYTEA NOT NULL)",
    """CREATE TABLE vouchers (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session BYTEA NOT NULL UNIQUE, plug BYTEA NOT NULL, voucher TEXT NOT NULL,
        signature BYTEA NOT NULL, accepted_at BIGINT NOT NULL, done INTEGER NOT NULL DEFAULT 0, trimmed INTEGER NOT NULL DEFAULT 0,
        leased_by TEXT, leased_until BIGINT NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX vouchers_by_plug ON vouchers (plug, number)",
    "CREATE INDEX vouchers_not_done ON vouchers (number) WHERE done = 0",
    "CREATE INDEX vouchers_not_trimmed ON vouchers (accepted_at) WHERE done = 1 AND trimmed = 0",
    "CREATE INDEX vouchers_trimmed ON vouchers (accepted_at) WHERE trimmed = 1",
    """CREATE TABLE receipts (
        session BYTEA NOT NULL REFERENCES vouchers (session), sequence BIGINT NOT NULL, plug BYTEA NOT NULL, final INTEGER NOT NULL,
        receipt TEXT NOT NULL, signature BYTEA NOT NULL, ocmf TEXT NOT NULL, received_at BIGINT NOT NULL, PRIMARY KEY (session, sequence)
    )""",
    """CREATE TABLE settlements (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session BYTEA NOT NULL REFERENCES vouchers (session), sequence BIGINT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('settled', 'nothing_due', 'failed')),
        tx_hash BYTEA, block_number BIGINT, block_hash BYTEA, gas_used BIGINT, paid TEXT, total_paid TEXT,
        proof_verified INTEGER NOT NULL, code TEXT, message TEXT, recorded_at BIGINT NOT NULL
    )""",
    "CREATE INDEX settlements_by_session ON settlements (session)",
    """CREATE TABLE quarantine (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, received_at BIGINT NOT NULL, peer TEXT NOT NULL, code TEXT NOT NULL,
        message TEXT NOT NULL, raw BYTEA NOT NULL, plug BYTEA
    )""",
    "CREATE INDEX quarantine_by_plug ON quarantine (plug, id)",
    """CREATE TABLE statuses (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, plug BYTEA NOT NULL, received_at BIGINT NOT NULL, state TEXT NOT NULL, session BYTEA,
        at BIGINT NOT NULL, voltage_mv BIGINT NOT NULL, current_ma BIGINT NOT NULL, power_mw BIGINT NOT NULL, register_mwh BIGINT NOT NULL,
        contactor INTEGER NOT NULL, frequency_mhz BIGINT, contact_mc BIGINT, plug_mc BIGINT, guard TEXT NOT NULL,
        waits_for TEXT, trip TEXT, trip_detail TEXT, weld TEXT NOT NULL
    )""",
    "CREATE INDEX statuses_by_plug ON statuses (plug, id)",
    "CREATE TABLE enrolments (plug BYTEA PRIMARY KEY, enrolment TEXT NOT NULL, received_at BIGINT NOT NULL)",
    "CREATE TABLE retirements (plug BYTEA PRIMARY KEY, successor BYTEA NOT NULL, retirement TEXT NOT NULL, received_at BIGINT NOT NULL)",
    "CREATE INDEX retirements_by_successor ON retirements (successor)",
    "CREATE TABLE plugs (plug BYTEA PRIMARY KEY, first_seen_at BIGINT NOT NULL)",
)

_IN_FLIGHT = (
    """CREATE TABLE followed (
        id INTEGER PRIMARY KEY, session BLOB NOT NULL REFERENCES vouchers (session), sequence INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('sent', 'included', 'settled', 'nothing_due', 'failed')),
        tx_hash BLOB, block_number INTEGER, block_hash BLOB, gas_used INTEGER, paid TEXT, total_paid TEXT,
        proof_verified INTEGER NOT NULL, code TEXT, message TEXT, recorded_at INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO followed SELECT * FROM settlements",
    "DROP TABLE settlements",
    "ALTER TABLE followed RENAME TO settlements",
    "CREATE INDEX settlements_by_session ON settlements (session)",
    "CREATE UNIQUE INDEX settlements_in_flight ON settlements (session) WHERE state IN ('sent', 'included')",
    """CREATE TABLE transactions (
        number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, sender BLOB NOT NULL, nonce INTEGER NOT NULL, raw BLOB NOT NULL,
        signed_at INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0  -- its nonce is used in a final block
    ) STRICT""",
    "CREATE INDEX transactions_not_done ON transactions (sender, nonce) WHERE done = 0",
)
_IN_FLIGHT_POSTGRESQL = (
    "ALTER TABLE settlements DROP CONSTRAINT settlements_state_check",
    """ALTER TABLE settlements ADD CONSTRAINT settlements_state_check
       CHECK (state IN ('sent', 'included', 'settled', 'nothing_due', 'failed'))""",
    "CREATE UNIQUE INDEX settlements_in_flight ON settlements (session) WHERE state IN ('sent', 'included')",
    """CREATE TABLE transactions (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hash BYTEA NOT NULL UNIQUE, sender BYTEA NOT NULL, nonce BIGINT NOT NULL,
        raw BYTEA NOT NULL, signed_at BIGINT NOT NULL, done INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX transactions_not_done ON transactions (sender, nonce) WHERE done = 0",
)

STEPS: tuple[Step, ...] = (
    Step(_FIRST, ()),
    Step(_KEYS, ()),
    Step(_ONE_KEY, _POSTGRESQL),
    Step(_IN_FLIGHT, _IN_FLIGHT_POSTGRESQL),
)
