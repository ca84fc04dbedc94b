"""Shared links: tokens that may call one deployment until a time, and perhaps only so often.

A token is `link_<id>_<secret>`. Here, and in the store, is only its hash: who reads the store cannot call with what is
there. What a token opens, `http/sharing` says.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

from modelport.errors import Conflict, Forbidden, NotFound, StorageFull, Unauthorized
from modelport.identity.owner import digest_of
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.links import (
    LinkRow,
    add_link,
    delete_link,
    delete_links_but,
    delete_links_of,
    list_links,
    note_calls,
)
from modelport.tasks import Tasks

PREFIX = "link_"
# Of the owners of jobs that were made by links; no account may have such a name.
OWNER = "link:"


class LinkEnded(Unauthorized):
    """The token was right, so its holder may know what is the matter with it."""


class Links:
    """All shared links of this server."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._limit, self._kept_s = settings.links_limit, settings.link_kept_s
        self._store = store
        self._rows: dict[str, LinkRow] = {}
        self._unsaved: set[str] = set()
        self._tasks = Tasks("links")

    async def restore(self, deployments: Collection[str]) -> None:
        """Those of what is deployed: a later deployment of the same name does not get them. Raises what the store
        raises."""
        with contextlib.suppress(StorageFull):  # they open nothing all the same, and go another time
            await self._store.write(delete_links_but, deployments, time.time() - self._kept_s)
        self._rows = {row.id: row for row in await self._store.read(list_links) if row.deployment in deployments}

    def of(self, deployment: str) -> list[LinkRow]:
        """In the order in which they were made."""
        return [row for row in self._rows.values() if row.deployment == deployment]

    async def make(
        self, deployment: str, ends: float, calls_limit: int | None = None, note: str = ""
    ) -> tuple[LinkRow, str]:
        """A new link, and its token, which is not to be had again. Raises Conflict, StorageFull, StoreFailed."""
        if len(self.of(deployment)) >= self._limit:
            raise Conflict(
                f"{deployment} has {self._limit} links, which is the limit (the setting links_limit); revoke one first"
            )
        id = secrets.token_hex(4)
        token = f"{PREFIX}{id}_{secrets.token_hex(32)}"
        row = LinkRow(id, deployment, digest_of(token), note, time.time(), ends, calls_limit)
        self._rows[id] = row  # counted before others ask; nobody has its token yet
        await self._tasks.finish(self._add(row))
        return row, token

    async def _add(self, row: LinkRow) -> None:
        try:
            await self._store.add(add_link, row)
        except BaseException:
            self._forget([row.id])
            raise

    def find(self, token: str) -> LinkRow | None:
        """The link of this token, also one that has ended."""
        if not token.startswith(PREFIX):
            return None
        row = self._rows.get(token[len(PREFIX) :].partition("_")[0])
        return row if row is not None and hmac.compare_digest(digest_of(token), row.digest) else None

    def take(self, id: str) -> None:
        """Count a call. Raises Forbidden where all have been made."""
        row = self._rows[id]
        if row.calls_limit is not None and row.calls >= row.calls_limit:
            raise Forbidden(f"this link was for {row.calls_limit} calls, and all have been made; ask for a new one")
        self._rows[id] = replace(row, calls=row.calls + 1, used=time.time())
        self._unsaved.add(id)
        if len(self._unsaved) == 1:
            self._tasks.spawn(self._save())

    async def _save(self) -> None:
        """What was counted up to now. Counts of the last moment are lost if the server is killed."""
        ids, self._unsaved = self._unsaved, set()
        await self._store.write(note_calls, [self._rows[id] for id in ids if id in self._rows])

    async def revoke(self, deployment: str, id: str) -> None:
        """Raises NotFound, StoreFailed."""
        row = self._rows.get(id)
        if row is None or row.deployment != deployment:
            raise NotFound(f"{deployment} has no link {id[:20]}")
        await self._tasks.finish(self._store.write(delete_link, id))
        self._forget([id])

    async def forget(self, deployment: str) -> None:
        """It has been undeployed."""
        self._forget([row.id for row in self.of(deployment)])
        await self._store.write(delete_links_of, deployment)

    def _forget(self, ids: Collection[str]) -> None:
        for id in ids:
            self._rows.pop(id, None)

    async def stop(self) -> None:
        await self._tasks.end()


def owner_of_jobs(row: LinkRow | None, deployment: str) -> str:
    """Whose the jobs of this deployment are that were made by the link; empty: none's, as without a link."""
    return OWNER + row.id if row is not None and row.deployment == deployment else ""


def state_of(row: LinkRow) -> str:
    """valid, expired or used up."""
    if has_ended(row):
        return "expired"
    return "used up" if row.calls_limit is not None and row.calls >= row.calls_limit else "valid"


def has_ended(row: LinkRow) -> bool:
    return row.ends <= time.time()


def check_end(row: LinkRow) -> None:
    """Raises LinkEnded."""
    if has_ended(row):
        raise LinkEnded(
            f"this link ended on {datetime.fromtimestamp(row.ends, UTC):%Y-%m-%d %H:%M} UTC; ask for a new one"
        )
