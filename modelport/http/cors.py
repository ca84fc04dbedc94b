"""Pages of other origins, by the setting `cors_origins`."""

from __future__ import annotations

from aiohttp import web

from modelport.http import prefer
from modelport.http.http import Hall

# What the other origin's page may read of an answer, beside what it always may.
EXPOSED = f"Content-Disposition, Retry-After, Server-Timing, {prefer.EXPOSED}"
# By the standard, * does not cover Authorization.
ASKED = f"Authorization, Content-Type, Accept, {prefer.ASKED}, Last-Event-ID"
MAX_AGE_S = 600


def origins_for_jobs(hall: Hall) -> str:
    """Where something here asks for no token, * does not hold: it would be whatever page the user looks at."""
    open = not hall.settings.token and any(each.row is None for each in hall.deployments)
    return "" if open and "*" in hall.settings.cors_origins else hall.settings.cors_origins


def cors_headers(origins: str, request: web.Request) -> dict[str, str]:
    """For every answer, errors too. origins: separated by commas; *: any; empty: none."""
    allowed = {each.strip().rstrip("/") for each in origins.split(",") if each.strip()}
    if not allowed:
        return {}
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    origin = request.headers.get("Origin", "")
    if origin not in allowed:
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def preflight(origins: str, request: web.Request, methods: str) -> web.Response:
    """The answer to OPTIONS, which carries no token."""
    headers = cors_headers(origins, request)
    if "Access-Control-Allow-Origin" in headers:
        headers["Access-Control-Allow-Methods"] = methods
        headers["Access-Control-Allow-Headers"] = ASKED
        headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
    return web.Response(status=204, headers={"Allow": methods, **headers})
