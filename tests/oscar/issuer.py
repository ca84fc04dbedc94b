"""An OpenID Connect issuer of our own: real keys, discovery, user-info, on a loopback socket."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = "s" * 64


def published(key: Any, id: str) -> dict[str, Any]:
    public = key.public_key()
    rsa_key = isinstance(key, rsa.RSAPrivateKey)
    text = RSAAlgorithm.to_jwk(public) if rsa_key else ECAlgorithm.to_jwk(public)
    return {**json.loads(text), "kid": id, "use": "sig", "alg": "RS256" if rsa_key else "ES256"}


class Issuer:
    """keys: what it publishes. requests: how often each path was asked for. broken: it answers 500."""

    def __init__(self, path: str = "/realms/egi") -> None:
        self.path = path
        self.keys = [published(RSA_KEY, "one"), published(EC_KEY, "two")]
        self.requests: Counter[str] = Counter()
        self.user_info: dict[str, Any] = {}
        self.broken = False
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Issuer:
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}{self.path}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        what = request.path.removeprefix(self.path).rpartition("/")[2]
        self.requests[what] += 1
        if self.broken:
            return web.Response(status=500)
        if what == "openid-configuration":
            return web.json_response(
                {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "userinfo_endpoint": f"{self.url}/userinfo"}
            )
        if what == "keys":
            others = [{"kty": "oct", "k": "AAAA", "kid": "one-more"}] if self.keys else []
            return web.json_response({"keys": [*others, *self.keys]})
        return web.json_response(self.user_info)

    def token(self, subject: str = "me@egi.eu", *, key: Any = RSA_KEY, id: str | None = "one", **claims: Any) -> str:
        """claims: None leaves one out."""
        now = int(time.time())
        found = {"iss": self.url, "sub": subject, "exp": now + 600, "iat": now, "aud": "modelport", **claims}
        algorithm = "HS256" if isinstance(key, str) else "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        headers = {"kid": id} if id is not None else {}
        payload = {name: value for name, value in found.items() if value is not None}
        return jwt.encode(payload, key, algorithm=algorithm, headers=headers)
