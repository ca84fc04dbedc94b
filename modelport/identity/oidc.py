"""Account tokens: JWTs of OpenID Connect issuers that the settings name, checked with the issuers' published keys.

An issuer's discovery document says where its keys and its user-info are; both are fetched when first needed, kept, and
fetched again when a token names a key that is not there, though not more often than `REFRESH_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from modelport.errors import InvalidRequest, ModelportError, Unauthorized
from modelport.identity.links import OWNER
from modelport.settings import Settings

if TYPE_CHECKING:
    import jwt

# `jwt` is imported where it is used: with its cryptography it would be a tenth of every server's start, and most
# servers never see an account token.

logger = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256")
ANSWER_BYTES = 1 << 20
# Keys are fetched anew after this time; for an unknown key, and after a failure, at most this often.
KEYS_S, REFRESH_S = 3600.0, 30.0
# Of so many tokens the groups from user-info are remembered.
GROUPS_LIMIT = 1000
# Clocks differ.
LEEWAY_S = 10
SUBJECT_CHARS = 255
TOKEN_CHARS = 16 << 10


class IssuerUnreachable(ModelportError):
    """The issuer of a token did not answer, so that nobody can tell whether the token is good."""


@dataclass
class _Issuer:
    """What was fetched of one issuer; times on the monotonic clock."""

    url: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    user_info: str = ""
    fetched: float = -KEYS_S
    tried: float = -REFRESH_S


class Accounts:
    """Checks account tokens, by the settings `oidc_…`. `close` it at the end."""

    def __init__(self, settings: Settings) -> None:
        self.issuers = {url: _Issuer(url) for url in _split(settings.oidc_issuers)}  # exact texts of `iss`
        self.groups = frozenset(_split(settings.oidc_groups))
        self._audience = settings.oidc_audience
        self._timeout_s, self._groups_s = settings.oidc_timeout_s, settings.oidc_groups_s
        self._session: aiohttp.ClientSession | None = None
        self._checked: OrderedDict[bytes, tuple[float, frozenset[str]]] = OrderedDict()

    @property
    def enabled(self) -> bool:
        return bool(self.issuers)

    async def check(self, token: str) -> str:
        """Whose token this is: the user's id.

        Raises InvalidRequest (it is no JWT), Unauthorized (with a message only where the issuer is not listed: who
        is refused need not learn why), IssuerUnreachable.
        """
        header, claims = _unverified(token)
        issuer = self.issuers.get(str(claims.get("iss", "")))
        if issuer is None:
            raise Unauthorized(f"tokens of the issuer {str(claims.get('iss', ''))[:200]!r} are not accepted here")
        if header.get("alg") not in ALGORITHMS:
            raise Unauthorized("")
        key = await self._key(issuer, str(header.get("kid", "")), str(header["alg"]))
        claims = self._verified(token, key, issuer)
        subject = claims["sub"]
        if (
            not isinstance(subject, str)
            or not 0 < len(subject) <= SUBJECT_CHARS
            or not subject.isprintable()
            or subject.startswith(OWNER)
        ):
            raise Unauthorized("")
        groups = groups_of(issuer.url, claims)
        if self.groups and not groups & self.groups:
            groups = await self._user_groups(issuer, token, subject)
            if not groups & self.groups:
                raise Unauthorized("")
        return subject

    def _verified(self, token: str, key: jwt.PyJWK, issuer: _Issuer) -> dict[str, Any]:
        import jwt

        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=issuer.url,
                audience=self._audience or None,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "sub"], "verify_aud": bool(self._audience)},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            logger.info("an account token was refused: %s", error)
            raise Unauthorized("") from error
        return claims

    # Keys

    async def _key(self, issuer: _Issuer, id: str, algorithm: str) -> jwt.PyJWK:
        async with issuer.lock:
            now = time.monotonic()
            stale = now - issuer.fetched >= KEYS_S or _pick(issuer.keys, id, algorithm) is None
            if stale and now - issuer.tried >= REFRESH_S:
                issuer.tried = now
                await self._fetch_keys(issuer)
        key = _pick(issuer.keys, id, algorithm)
        if key is None and not issuer.keys:
            raise IssuerUnreachable(f"{issuer.url} does not give its keys; ask again later", retry_after_s=REFRESH_S)
        if key is None:
            raise Unauthorized("")
        return key

    async def _fetch_keys(self, issuer: _Issuer) -> None:
        """Old keys stay where there are no new ones."""
        unreadable = (ValueError, KeyError, TypeError, RecursionError)
        try:
            about = await self._fetch(issuer.url.rstrip("/") + "/.well-known/openid-configuration")
            if about.get("issuer") != issuer.url:
                raise ValueError(f"the discovery document is that of {about.get('issuer')!r}")
            document = await self._fetch(str(about["jwks_uri"]))
            issuer.keys = _keys(document)
            issuer.user_info = str(about.get("userinfo_endpoint") or "")
            issuer.fetched = time.monotonic()
        except (aiohttp.ClientError, TimeoutError, OSError, *unreadable) as error:
            logger.warning("the keys of %s cannot be fetched or read: %r", issuer.url, error)

    async def _fetch(self, url: str, token: str = "") -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s), cookie_jar=aiohttp.DummyCookieJar()
            )
        headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self._session.get(url, headers=headers, allow_redirects=not token) as response:
            response.raise_for_status()
            data = await response.content.read(ANSWER_BYTES)
            while len(data) < ANSWER_BYTES and (more := await response.content.read(ANSWER_BYTES - len(data))):
                data += more
        document = msgspec.json.decode(data)
        if not isinstance(document, dict):
            raise ValueError(f"{url} answers no JSON object")
        return document

    # Groups

    async def _user_groups(self, issuer: _Issuer, token: str, subject: str) -> frozenset[str]:
        """From user-info, for the token does not tell them."""
        if not issuer.user_info:
            return frozenset()
        key, now = hashlib.sha256(token.encode()).digest(), time.monotonic()
        until, groups = self._checked.get(key, (0.0, frozenset()))
        if until > now:
            return groups
        try:
            document = await self._fetch(issuer.user_info, token)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
            logger.warning("the user-info of %s cannot be fetched: %r", issuer.url, error)
            return frozenset()
        # Another's answer is nobody's here: https://openid.net/specs/openid-connect-core-1_0.html, 5.3.2.
        groups = groups_of(issuer.url, document) if document.get("sub") == subject else frozenset()
        self._checked[key] = now + self._groups_s, groups
        while len(self._checked) > GROUPS_LIMIT:
            self._checked.popitem(last=False)
        return groups

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def is_jwt(token: str) -> bool:
    """Whether it looks like one: three parts."""
    return token.count(".") == 2


def groups_of(issuer: str, claims: Mapping[str, Any]) -> frozenset[str]:
    """Where an issuer keeps them: EGI in the fifth field of URNs, AI4EOSC in Keycloak's roles, others in a list."""
    if "/realms/egi" in issuer:
        urns = [text.split(":") for text in _texts(claims.get("entitlements", claims.get("eduperson_entitlement")))]
        return frozenset(fields[4] for fields in urns if len(fields) > 4)
    if "/realms/ai4eosc" in issuer:
        access = claims.get("realm_access")
        return frozenset(_texts(access.get("roles")) if isinstance(access, dict) else [])
    return frozenset(_texts(claims.get("group_membership")))


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, before anybody has vouched for them. Raises InvalidRequest."""
    import jwt

    if len(token) > TOKEN_CHARS:
        raise InvalidRequest("the token is too long")
    try:
        decoded = jwt.api_jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(f"the token is not a JWT: {error}") from error
    return decoded["header"], decoded["payload"]


def _keys(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Those that sign as we accept it; none, where the issuer has withdrawn all. Others are not ours to judge."""
    import jwt

    keys = {}
    for number, entry in enumerate(document["keys"]):
        if isinstance(entry, dict) and entry.get("use", "sig") == "sig":
            with contextlib.suppress(jwt.PyJWTError, ValueError, TypeError):  # of a kind that is not known here
                key = jwt.PyJWK(entry)
                if key.algorithm_name in ALGORITHMS:
                    keys[str(key.key_id or f"#{number}")] = key
    return keys


def _pick(keys: Mapping[str, jwt.PyJWK], id: str, algorithm: str) -> jwt.PyJWK | None:
    """The key by its id; where the token names none, the only one of its kind."""
    if id:
        key = keys.get(id)
        return key if key is not None and key.algorithm_name == algorithm else None
    fitting = [key for key in keys.values() if key.algorithm_name == algorithm]
    return fitting[0] if len(fitting) == 1 else None
