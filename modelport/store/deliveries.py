"""The outbox: deliveries that the ends of jobs have made, until they are done or given up.

They are added where a job ends (`job_states`), in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from sqlite3 import Connection


@dataclass(frozen=True)
class DeliveryRow:
    """number: of the job. attempts: how often it has failed."""

    number: int
    job_id: str
    kind: str
    attempts: int = 0


def list_deliveries(connection: Connection, /, after: tuple[int, str], limit: int) -> list[DeliveryRow]:
    """In the order of their jobs, from the one after (number, kind) on."""
    sql = (
        "SELECT deliveries.number, id, kind, attempts FROM deliveries JOIN jobs USING (number)"
        " WHERE (deliveries.number, kind) > (?, ?) ORDER BY deliveries.number, kind LIMIT ?"
    )
    return [DeliveryRow(*values) for values in connection.execute(sql, (*after, limit))]


def pending_kinds(connection: Connection, /, number: int) -> list[str]:
    rows = connection.execute("SELECT kind FROM deliveries WHERE number = ? ORDER BY kind", (number,))
    return [kind for (kind,) in rows]


def note_failure(connection: Connection, /, number: int, kind: str) -> None:
    connection.execute("UPDATE deliveries SET attempts = attempts + 1 WHERE number = ? AND kind = ?", (number, kind))


def delete_delivery(connection: Connection, /, number: int, kind: str) -> None:
    """It need not exist."""
    connection.execute("DELETE FROM deliveries WHERE number = ? AND kind = ?", (number, kind))
