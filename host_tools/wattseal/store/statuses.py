"""What plugs report of themselves."""

from dataclasses import fields

from wattseal.protocol.messages import Status
from wattseal.store.plugs import Plugs

MAX_STATUS_ROWS = 50_000  # of one plug: a month at one a minute


class Statuses(Plugs):
    """Statuses of plugs: unsigned, for display only."""

    def add_status(self, plug: bytes, status: Status) -> None:
        """Keep what a plug reports of itself; beyond MAX_STATUS_ROWS of a plug its oldest goes. Raises TooMany."""
        values = {field.name: getattr(status, field.name) for field in fields(status)}
        columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self.transaction():
            self._admit(plug)
            self._execute(
                f"INSERT INTO statuses (plug, received_at, {columns}) VALUES (:plug, :received_at, {places})",  # noqa: S608 - the names are ours
                plug=plug,
                received_at=self._now(),
                **values,
            )
            self._execute(
                """DELETE FROM statuses WHERE plug = :plug
                   AND id <= (SELECT id FROM statuses WHERE plug = :plug ORDER BY id DESC LIMIT 1 OFFSET :rows)""",
                plug=plug,
                rows=MAX_STATUS_ROWS,
            )

    def statuses(self, plug: bytes, limit: int = MAX_STATUS_ROWS) -> list[Status]:
        """Return a plug's newest statuses, oldest first."""
        rows = self._rows("SELECT * FROM statuses WHERE plug = ? ORDER BY id DESC LIMIT ?", plug, limit)
        return [Status(**{field.name: row[field.name] for field in fields(Status)}) for row in reversed(rows)]
