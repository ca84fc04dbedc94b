"""Who has signed in with a browser: sessions, and the one-time codes that open them.

A session is a random text in the browser's cookie. Here, and in the store, is only its hash: who reads the store cannot
sign in with what is there.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections import deque
from sqlite3 import Connection

from modelport.errors import StorageFull
from modelport.identity.owner import digest_of
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.values import delete_value, get_values, set_value

KEPT = "session/"

# Of codes that were never used the newest stay.
CODES_LIMIT = 20


class Sessions:
    """The browsers that are the owner's."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._ends: dict[str, float] = {}  # time of day by hash: it must mean the same after a restart
        self._codes: deque[tuple[str, float]] = deque(maxlen=CODES_LIMIT)

    async def restore(self) -> None:
        """Those that have not ended. Raises what the store raises."""
        kept = {name: float(end) for name, end in (await self._store.read(get_values, KEPT)).items()}
        now = time.time()
        self._ends = {name: end for name, end in kept.items() if end > now}
        ended = kept.keys() - self._ends.keys()
        if ended:
            with contextlib.suppress(StorageFull):  # they are ended all the same, and go another time
                await self._store.write(_forget, ended)

    # Codes

    def new_code(self) -> str:
        """Opens one session, within `sign_in_link_s` and before this server ends."""
        code = secrets.token_urlsafe(32)
        self._codes.append((digest_of(code), time.monotonic() + self._settings.sign_in_link_s))
        return code

    def take_code(self, code: str) -> bool:
        """Whether it was one; it is none any more."""
        digest, now = digest_of(code), time.monotonic()
        for entry in self._codes:
            if entry[0] == digest:  # hashes: how long comparing them takes tells nothing
                self._codes.remove(entry)
                return entry[1] > now
        return False

    # Sessions

    async def open(self) -> str:
        """A new session's text, for the cookie. Raises StoreFailed, StorageFull."""
        session = secrets.token_urlsafe(32)
        name, end = digest_of(session), time.time() + self._settings.session_s
        count = max(0, len(self._ends) - self._settings.sessions_limit + 1)
        spare = sorted(self._ends, key=self._ends.__getitem__)[:count]
        await self._store.write(_keep, name, end, spare)
        for digest in spare:
            self._ends.pop(digest, None)
        self._ends[name] = end
        return session

    def holds(self, session: str) -> bool:
        return bool(session) and self._ends.get(digest_of(session), 0.0) > time.time()

    async def close(self, session: str) -> None:
        """It need not be one. Raises StoreFailed."""
        self._ends.pop(digest_of(session), None)
        await self._store.write(delete_value, KEPT + digest_of(session))


def _keep(connection: Connection, /, name: str, end: float, spare: list[str]) -> None:
    _forget(connection, spare)
    set_value(connection, KEPT + name, str(end))


def _forget(connection: Connection, /, names: set[str] | list[str]) -> None:
    for name in names:
        delete_value(connection, KEPT + name)
