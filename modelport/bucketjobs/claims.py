"""Who works on an object, where several servers share an external store.

    .modelport/claims/<hash of the key>      the server, and the ETag and time of the content that it works on
    .modelport/servers/<server>              changes every few seconds while that server works on something

A courtesy that saves work, never relied on: two servers may both believe an object theirs, and then the same result is
put twice. Whether a server lives is seen by its object changing, with the observer's own monotonic clock.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING

from modelport.objectstore import ObjectInfo
from modelport.objectstore.names import OWN
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.values import set_value_if_absent

if TYPE_CHECKING:
    from modelport.objectstore.remote import RemoteStore

SERVER = "bucket/server"
# A claim is some hundred bytes.
LIMIT_BYTES = 4096

# A server whose object has not changed for so many intervals of listing, and at least so long, has gone.
SILENT_INTERVALS = 10
SILENT_LEAST_S = 3.0


class Claims:
    def __init__(self, settings: Settings, store: Store, objects: RemoteStore) -> None:
        self._store = store
        self._objects = objects
        self._silent_s = max(SILENT_INTERVALS * settings.bucket_list_s, SILENT_LEAST_S)
        self._server = ""
        self._seen: dict[tuple[str, str], tuple[bytes | None, float]] = {}  # by (bucket, server): (sign of life, since)

    async def restore(self) -> None:
        """Who we are: the same after a restart, as our jobs are."""
        self._server = await self._store.write(set_value_if_absent, SERVER, secrets.token_hex(8))

    async def take(self, bucket: str, info: ObjectInfo) -> bool:
        """Whether this content is ours to work on."""
        name, content = _name(info.key), f"{info.etag}\n{int(info.modified)}\n"
        mine = f"{self._server}\n{content}".encode()
        claim = await self._read(bucket, name)
        if claim is None:
            return await self._objects.create(bucket, name, mine)
        server, _, other = claim.decode(errors="replace").partition("\n")
        if other == content and server != self._server and await self._lives(bucket, server):
            return False
        if claim != mine:
            await self._objects.put(bucket, name, mine)
        return True

    async def release(self, bucket: str, key: str) -> None:
        await self._objects.delete(bucket, [_name(key)])

    async def beat(self, bucket: str) -> None:
        """A sign of life; to be repeated while there is work."""
        await self._objects.put(bucket, f"{OWN}servers/{self._server}", secrets.token_bytes(8))

    async def _lives(self, bucket: str, server: str) -> bool:
        sign = await self._read(bucket, f"{OWN}servers/{server}")
        now = time.monotonic()
        seen, since = self._seen.get((bucket, server), (b"?", now))
        if seen != sign:
            seen, since = self._seen[bucket, server] = sign, now
        return now - since < self._silent_s

    async def _read(self, bucket: str, key: str) -> bytes | None:
        return (await self._objects.read_small(bucket, [key], LIMIT_BYTES)).get(key)


def _name(key: str) -> str:
    return f"{OWN}claims/{hashlib.sha256(key.encode()).hexdigest()[:32]}"
