"""Pages of other origins, by the setting `cors_origins`; the same at every port."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from aiohttp import web

MAX_AGE_S = 600
# Of what a page says that it will send, as much is repeated.
ASKED_CHARS = 4096
ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Origins:
    """The origins whose pages may read answers."""

    def __init__(self, origins: str) -> None:
        """origins: separated by commas; *: any; empty: none."""
        named = {origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()}
        self.any = "*" in named
        self._named = frozenset(named - {"*"})
        self.vary = {"Vary": "Origin"} if named and not self.any else {}

    def names(self, request: web.BaseRequest) -> bool:
        """Whether the request comes from a page whose origin is listed: * lists none."""
        return request.headers.get("Origin") in self._named

    def headers(self, request: web.BaseRequest, exposed: Iterable[str]) -> dict[str, str]:
        """For every answer, errors too. exposed: the headers of the answer that pages may read."""
        origin = request.headers.get("Origin")
        if origin is None or not (self.any or origin in self._named):
            return self.vary
        allowed = {"Access-Control-Allow-Origin": "*" if self.any else origin, **self.vary}
        return {**allowed, "Access-Control-Expose-Headers": ", ".join(exposed)}

    def preflight(self, request: web.BaseRequest, methods: Collection[str]) -> web.Response:
        """The answer to OPTIONS, which carries no token. Clients send headers of many names: all may come."""
        allow = ", ".join([*(method for method in ORDER if method in methods), "OPTIONS"])
        headers = {"Allow": allow, **self.headers(request, ())}
        if headers.pop("Access-Control-Expose-Headers", None) is not None:
            headers["Access-Control-Allow-Methods"] = allow
            headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
            asked = request.headers.get("Access-Control-Request-Headers", "")
            if asked and asked.isascii() and asked.isprintable() and len(asked) <= ASKED_CHARS:
                headers["Access-Control-Allow-Headers"] = asked
            if request.headers.get("Access-Control-Request-Private-Network") == "true":
                # Chrome asks where a page of the web wants to reach a server on the user's own network.
                headers["Access-Control-Allow-Private-Network"] = "true"
        return web.Response(status=204, headers=headers)


def promises_token(request: web.BaseRequest) -> bool:
    """Whether a page asks for leave to send a token, so that its request will be judged by that."""
    asked = request.headers.get("Access-Control-Request-Headers", "").lower()
    return request.method == "OPTIONS" and "authorization" in [name.strip() for name in asked.split(",")]
