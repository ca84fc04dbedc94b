"""The owner of the server: who may deploy, and see every token."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from modelport.settings import Settings
from modelport.store import Store
from modelport.store.values import set_value_if_absent

# As the OSCAR platform calls its administrator; clients have it built in.
USER = "oscar"


class Owner:
    """The owner's password and token: as set, else made once and kept in the store."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self.password = settings.password
        self.token = settings.token

    async def restore(self) -> None:
        """Before the server listens. Raises what the store raises."""
        if not self.password:
            self.password = await self._store.write(set_value_if_absent, "owner/password", secrets.token_urlsafe(18))
        if not self.token:
            self.token = await self._store.write(set_value_if_absent, "owner/token", secrets.token_hex(32))

    def has_token(self, token: str) -> bool:
        return bool(self.token) and same_secret(token, self.token)

    def has_password(self, user: str, password: str) -> bool:
        # Both are compared whatever the first says.
        return bool(self.password) and same_secret(user, USER) & same_secret(password, self.password)


def digest_of(secret: str) -> str:
    """What is kept of a secret that is random, and long enough not to be guessed from it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def same_secret(secret: str, expected: str) -> bool:
    """In constant time."""
    # A header that is not UTF-8 has lone surrogates.
    return hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), expected.encode())
