"""Which bucket a deployment has, and by which keys it is reached."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from dataclasses import dataclass, field, replace
from sqlite3 import Connection

from modelport.deployments.deployments import Deployment, Deployments
from modelport.errors import Conflict, Forbidden, InvalidRequest, NotFound
from modelport.objectstore.names import BUCKET_NAME, bucket_names
from modelport.settings import Settings
from modelport.store import Store
from modelport.store.objects import BucketRow, delete_bucket, forget_unfinished, list_buckets, put_bucket
from modelport.store.values import get_values, set_value_if_absent

OWNER_KEY = "oscar"
OWNER_SECRET = "bucket/owner_secret"  # noqa: S105 (the name of what is kept)
ACCOUNT = "bucket/account/"
# An account's key is its user id where that can be one. It has an @, and so is no other key.
USER_ID = re.compile(r"[A-Za-z0-9._-]{1,100}@[A-Za-z0-9._-]{1,100}", re.ASCII)

# A bucket's name has up to 63 characters, an access key should not have many more than 48.
KEY_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class BucketAccess:
    """How a bucket is reached. bucket: empty for keys that reach all. endpoint: its URL, as users have it.

    Keys are empty where there are none to give out: on another S3 service a deployment has none of its own.
    """

    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint: str
    region: str


class BucketKeys:
    """The table of buckets and keys, held in memory and kept in the store."""

    def __init__(self, settings: Settings, store: Store, deployments: Deployments) -> None:
        self._settings = settings
        self._store = store
        self._deployments = deployments
        self._rows: dict[str, BucketRow] = {}  # by bucket
        self._by_deployment: dict[str, BucketRow] = {}
        self._by_key: dict[str, BucketRow] = {}
        self._accounts: dict[str, tuple[str, str]] = {}  # by access key: (user id, secret)
        self._owner_secret = ""
        self._changing = asyncio.Lock()
        self.endpoint = settings.s3_url or settings.bucket_endpoint

    def set_endpoint(self, url: str) -> None:
        """Where users reach the S3 endpoint, unless the settings say it."""
        self.endpoint = self.endpoint or url

    @property
    def external(self) -> bool:
        return bool(self._settings.bucket_endpoint)

    async def restore(self) -> None:
        """Raises what the store raises."""
        self._owner_secret = await self._store.write(set_value_if_absent, OWNER_SECRET, secrets.token_hex(20))
        for user, secret in (await self._store.read(get_values, ACCOUNT)).items():
            self._accounts[_account_key(user)] = user, secret
        self._rows = {row.name: row for row in await self._store.read(list_buckets)}

    async def open(self, deployment: Deployment) -> str:
        """The bucket of a deployment: its own of earlier, or a new one. Its keys are valid from now on."""
        async with self._changing:
            row = self._by_deployment.get(deployment.name)
            if row is None:
                row = self._row_of(deployment)
                if not row.access_key:
                    row = self._with_keys(row)
                    await self._store.write(put_bucket, row)
                self._hold(row)
        return row.name

    async def close(self, deployment: str) -> None:
        """The deployment has gone: nobody reaches the bucket by its keys any more. The bucket stays. May be tried again
        where the store fails."""
        async with self._changing:
            row = self._by_deployment.get(deployment)
            if row is not None:
                self._by_key.pop(row.access_key, None)  # at once, whenever that can be written
                closed = replace(row, access_key="", secret_key="")
                await self._store.write(_close, closed)
                self._rows[row.name] = closed
                del self._by_deployment[deployment]

    async def make(self, name: str, user: str) -> None:
        """A bucket that is no deployment's. user: the account whose it is; empty: the owner's of the server.

        Raises InvalidRequest for a name that cannot be, or is taken; Forbidden where the account has all it may have.
        """
        if not BUCKET_NAME.fullmatch(name):
            raise InvalidRequest(
                f"bucket_name is {name[:100]!r}; 3 to 63 lower-case letters, digits and - are allowed, no - at its ends"
            )
        async with self._changing:
            folder = self._settings.buckets_path / name
            if name in self._rows or await asyncio.to_thread(folder.exists):
                raise InvalidRequest(f"there is a bucket called {name} already")
            limit = self._settings.account_buckets
            if user and sum(self.owner_of(row.name) == user for row in self._rows.values()) >= limit:
                raise Forbidden(f"an account may make {limit} buckets (account_buckets); delete one first")
            row = BucketRow(name, "", user)
            await self._store.write(put_bucket, row)
            self._rows[name] = row

    def owner_of(self, bucket: str) -> str | None:
        """Of a bucket that is no deployment's: the account, or nothing; None for any other."""
        row = self._rows.get(bucket)
        return None if row is None or row.deployment else row.owner

    async def forget(self, bucket: str) -> None:
        """Raises NotFound, and Conflict where its deployment is there."""
        async with self._changing:
            row = self._rows.get(bucket)
            if row is None:
                raise NotFound(f"there is no bucket called {bucket[:100]}")
            if self._by_deployment.get(row.deployment) is row:
                raise Conflict(f"the bucket {bucket} is that of {row.deployment}")
            await self._store.write(delete_bucket, bucket)
            del self._rows[bucket]

    async def rotate(self, deployment: str) -> BucketAccess:
        """New keys; from now on the old ones are nobody's. Raises NotFound."""
        async with self._changing:
            if (row := self._by_deployment.get(deployment)) is None:
                raise NotFound(f"there is no bucket of {deployment[:100]}")
            new = self._with_keys(row)
            await self._replace(row, new)
            self._hold(new)
        return self._access_of(new)

    def access(self, deployment: str) -> BucketAccess | None:
        """None where it has no bucket."""
        row = self._by_deployment.get(deployment)
        return None if row is None else self._access_of(row)

    def owner_access(self) -> BucketAccess:
        """Keys that reach every bucket."""
        settings = self._settings
        if self.external:
            keys = settings.bucket_access_key, settings.bucket_secret_key
        else:
            keys = OWNER_KEY, self._owner_secret
        return self._access("", *keys)

    async def account_access(self, user: str) -> BucketAccess:
        """Keys that reach the buckets of all deployments of this account, made once."""
        if self.external:
            return self._access()
        access_key = _account_key(user)
        if access_key not in self._accounts:
            secret = await self._store.write(set_value_if_absent, ACCOUNT + user, secrets.token_hex(20))
            self._accounts[access_key] = user, secret
        return self._access("", access_key, self._accounts[access_key][1])

    def secret_of(self, access_key: str) -> tuple[str, frozenset[str] | None] | None:
        """(secret, buckets that it reaches; None: all); None for a key that is nobody's."""
        if access_key == OWNER_KEY:
            return self._owner_secret, None
        if (account := self._accounts.get(access_key)) is not None:
            user, secret = account
            rows = [*self._by_deployment.values(), *(row for row in self._rows.values() if not row.deployment)]
            return secret, frozenset(row.name for row in rows if row.owner == user)
        row = self._by_key.get(access_key)
        return None if row is None else (row.secret_key, frozenset({row.name}))

    def bucket_names(self) -> list[str]:
        """All, also of what is deployed no more."""
        return sorted(self._rows)

    def deployment_of(self, bucket: str) -> str | None:
        """None where the bucket is nobody's now."""
        row = self._rows.get(bucket)
        if row is None or self._by_deployment.get(row.deployment) is not row:
            return None
        return row.deployment if row.deployment in self._deployments else None

    def _row_of(self, deployment: Deployment) -> BucketRow:
        """The row of this deployment and owner, or a new one under the first name that is nobody's."""
        owner = "" if deployment.row is None else deployment.row.owner
        for name in bucket_names(deployment.name, self._settings.bucket_prefix if self.external else ""):
            row = self._rows.get(name)
            if row is None:
                return BucketRow(name, deployment.name, owner)
            if (row.deployment, row.owner) == (deployment.name, owner):
                return row
        raise AssertionError("names do not end")

    def _with_keys(self, row: BucketRow) -> BucketRow:
        name = row.name[:KEY_NAME_CHARACTERS].rstrip("-")
        return replace(row, access_key=f"{name}-{secrets.token_hex(4)}", secret_key=secrets.token_hex(20))

    async def _replace(self, old: BucketRow, new: BucketRow) -> None:
        await self._store.write(put_bucket, new)
        self._by_key.pop(old.access_key, None)
        self._rows[new.name] = new

    def _hold(self, row: BucketRow) -> None:
        self._rows[row.name] = self._by_deployment[row.deployment] = self._by_key[row.access_key] = row

    def _access_of(self, row: BucketRow) -> BucketAccess:
        return self._access(row.name, *(() if self.external else (row.access_key, row.secret_key)))

    def _access(self, bucket: str = "", access_key: str = "", secret_key: str = "") -> BucketAccess:
        return BucketAccess(bucket, access_key, secret_key, self.endpoint, self._settings.bucket_region)


def _close(connection: Connection, /, row: BucketRow) -> None:
    put_bucket(connection, row)
    forget_unfinished(connection, row.name)


def _account_key(user: str) -> str:
    return user if USER_ID.fullmatch(user) else f"{hashlib.sha256(user.encode()).hexdigest()[:20]}@account"
