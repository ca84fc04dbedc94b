"""Payments for jobs, until they are settled, and what each deployment has earned.

A payment is written with its job, in one transaction. It is `open` until its settlement is first sent, `sent` while
nobody knows whether the settlement has taken effect, and then `settled`, `refused` or `late` for good.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from sqlite3 import Connection

from modelport.store.deliveries import delete_delivery

KIND = "payment"  # of the delivery that settles it
OPEN, SENT, SETTLED, REFUSED, LATE = "open", "sent", "settled", "refused", "late"
FINAL = (SETTLED, REFUSED, LATE)


@dataclass(frozen=True)
class PaymentRow:
    """number: of its job. token: what the buyer sent, removed at the end; digest: of it. demand: what it answers, JSON.

    request_id: the backend's, from its verification. receipt: JSON, or why there is none.
    """

    number: int
    deployment: str
    token: str = field(repr=False)
    digest: str
    demand: str
    request_id: str
    credits: int
    state: str = OPEN
    receipt: str = ""


@dataclass(frozen=True)
class Earnings:
    """Of one deployment: calls and credits that were paid, payments that came to nothing, and those still open."""

    paid: int = 0
    credits: int = 0
    failed: int = 0
    pending: int = 0


COLUMNS = tuple(column.name for column in fields(PaymentRow))
_SELECT = f"SELECT {', '.join(f'payments.{name}' for name in COLUMNS)} FROM payments"
_INSERT = f"INSERT INTO payments ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})"


def add_payment(connection: Connection, /, row: PaymentRow) -> None:
    connection.execute(_INSERT, asdict(row))


def get_payment(connection: Connection, /, number: int) -> PaymentRow | None:
    values = connection.execute(f"{_SELECT} WHERE number = ?", (number,)).fetchone()
    return None if values is None else PaymentRow(*values)


def find_payment(connection: Connection, /, deployment: str, owner: str, key: str) -> PaymentRow | None:
    """That of the job with this key."""
    sql = f"{_SELECT} JOIN jobs USING (number) WHERE jobs.deployment = ? AND owner = ? AND key = ? AND key <> ''"
    values = connection.execute(sql, (deployment, owner, key)).fetchone()
    return None if values is None else PaymentRow(*values)


def note_payment(connection: Connection, /, number: int, state: str) -> None:
    """Before and after an attempt to settle it, while it is not final."""
    connection.execute(
        "UPDATE payments SET state = ? WHERE number = ? AND state IN (?, ?)", (state, number, OPEN, SENT)
    )


def end_payment(connection: Connection, /, row: PaymentRow, state: str, receipt: str) -> PaymentRow:
    """As it is kept: its end, in the figures, too; its delivery is done. One that has ended stays as it is."""
    sql = "UPDATE payments SET state = ?, receipt = ?, token = '' WHERE number = ? AND state IN (?, ?)"
    if connection.execute(sql, (state, receipt, row.number, OPEN, SENT)).rowcount:
        paid = state == SETTLED
        connection.execute(
            "INSERT INTO earnings (deployment, paid, credits, failed) VALUES (?, ?, ?, ?) ON CONFLICT (deployment)"
            " DO UPDATE SET paid = paid + excluded.paid, credits = credits + excluded.credits,"
            " failed = failed + excluded.failed",
            (row.deployment, int(paid), row.credits if paid else 0, int(not paid)),
        )
    delete_delivery(connection, row.number, KIND)
    kept = get_payment(connection, row.number)
    return row if kept is None else kept


def release_payment(connection: Connection, /, number: int) -> None:
    """Its job gave no answer: nothing is owed, and the buyer may use it again."""
    connection.execute("DELETE FROM payments WHERE number = ?", (number,))
    connection.execute("UPDATE jobs SET key = '' WHERE number = ?", (number,))
    delete_delivery(connection, number, KIND)


def list_earnings(connection: Connection, /) -> dict[str, Earnings]:
    """By deployment."""
    sql = (
        "SELECT deployment, total(paid), total(credits), total(failed), total(pending) FROM ("
        "SELECT deployment, paid, credits, failed, 0 AS pending FROM earnings UNION ALL"
        " SELECT deployment, 0, 0, 0, 1 FROM payments WHERE state IN (?, ?)) GROUP BY deployment"
    )
    return {name: Earnings(*map(int, values)) for name, *values in connection.execute(sql, (OPEN, SENT))}


def forget_earnings(connection: Connection, /, deployment: str) -> None:
    connection.execute("DELETE FROM earnings WHERE deployment = ?", (deployment,))
