"""Deployments as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Error, connect
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from modelport.errors import Conflict, NotFound


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """What strangers pay for a call"""

    credits: Annotated[int, Meta(ge=1, le=1_000_000, description="Of a plan, for each call")] = 1
    plan_ids: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(description="None: not on sale yet")] = []
    agent_id: str = ""
    scheme: Annotated[str, Meta(description="How a plan is bought")] = "nvm:erc4337"
    network: Annotated[str, Meta(description="Empty: that of the key's environment")] = ""


class Shift(Struct, frozen=True, forbid_unknown_fields=True):
    """Calls that another deployment answers, a version"""

    to: Annotated[str, Meta(description="The name of the version")]
    share: Annotated[int, Meta(ge=1, le=100, description="Per cent of the calls")] = 100


@dataclass(frozen=True)
class DeploymentRow:
    """One deployment. None takes the server's setting.

    What may hold a secret is not shown in its repr, and so not in a log.
    owner: user id; empty: the server's owner.
    secrets: variables for the model like `environment`, but never given out again.
    token: bearer token of its callers, as it is, since they ask for it again; "" where none was made yet.
    definition: the OSCAR service definition as it was sent, to be echoed.
    price: None: its calls are not sold. shift: None: it answers all of its calls itself.
    created, updated: UTC, as 2026-06-11T10:50:46Z; set by the store.
    """

    name: str
    module: str
    python: str | None = None
    title: str = ""
    description: str = ""
    owner: str = ""
    enabled: bool = True
    min_workers: int | None = None
    max_workers: int | None = None
    idle_s: float | None = None
    timeout_s: float | None = None
    memory_bytes: int | None = None
    cpu: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    definition: Mapping[str, Any] | None = field(default=None, repr=False)
    created: str = ""
    updated: str = ""
    executor: str | None = None
    price: Price | None = None
    shift: Shift | None = None

    @property
    def kept(self) -> bool:
        """Whether it was deployed; what is named on the command line is not."""
        return bool(self.created)

    @property
    def variables(self) -> dict[str, str]:
        """For the model: environment and secrets."""
        return {**self.environment, **self.secrets}


COLUMNS = tuple(field.name for field in fields(DeploymentRow))
JSON_COLUMNS: dict[str, Any] = {"environment": Any, "secrets": Any, "definition": Any, "price": Price, "shift": Shift}

# The names come from the class above, no text from outside.
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM deployments"
_INSERT = (
    f"INSERT INTO deployments ({', '.join(COLUMNS)}) VALUES ({', '.join(':' + column for column in COLUMNS)})"
    " ON CONFLICT (name) DO NOTHING"
)
_UPDATE = f"UPDATE deployments SET {', '.join(f'{column} = :{column}' for column in COLUMNS[1:])} WHERE name = :name"


def add_deployment(connection: Connection, /, row: DeploymentRow) -> DeploymentRow:
    """The row as it is kept, with its times. Raises Conflict if the name is taken."""
    now = _now()
    row = replace(row, created=now, updated=now)
    if connection.execute(_INSERT, _to_columns(row)).rowcount != 1:
        raise Conflict(f"there is already a service called {row.name}")
    return row


def update_deployment(connection: Connection, /, name: str, **changes: Any) -> DeploymentRow:
    """The row as it is kept with these fields changed. Raises NotFound."""
    if not changes.keys().isdisjoint({"name", "created", "updated"}):
        raise TypeError("the name and the times of a deployment cannot be changed")
    row = replace(get_deployment(connection, name), **changes, updated=_now())
    connection.execute(_UPDATE, _to_columns(row))
    return row


def delete_deployment(connection: Connection, /, name: str) -> None:
    """Raises NotFound."""
    if connection.execute("DELETE FROM deployments WHERE name = ?", (name,)).rowcount != 1:
        raise NotFound(f"there is no service called {name}")


def get_deployment(connection: Connection, /, name: str) -> DeploymentRow:
    """Raises NotFound."""
    values = connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
    if values is None:
        raise NotFound(f"there is no service called {name}")
    return _from_columns(values)


def list_deployments(connection: Connection, /) -> list[DeploymentRow]:
    """All, by name."""
    return [_from_columns(values) for values in connection.execute(f"{_SELECT} ORDER BY name")]


def holds_deployments(path: Path) -> bool:
    """Whether there are any in a store that this process has not opened. One that cannot be read counts: its server
    will say what is wrong with it."""
    if not path.exists():
        return False
    try:
        with closing(connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM deployments").fetchone() is not None
    except Error:
        return True


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _to_columns(row: DeploymentRow) -> dict[str, Any]:
    columns = {name: getattr(row, name) for name in COLUMNS}
    for name in JSON_COLUMNS:
        if columns[name] is not None:
            columns[name] = msgspec.json.encode(columns[name]).decode()
    return columns


def _from_columns(values: tuple[Any, ...]) -> DeploymentRow:
    columns = dict(zip(COLUMNS, values, strict=True))
    for name, kind in JSON_COLUMNS.items():
        if columns[name] is not None:
            columns[name] = msgspec.json.decode(columns[name], type=kind)
    columns["enabled"] = bool(columns["enabled"])
    return DeploymentRow(**columns)
