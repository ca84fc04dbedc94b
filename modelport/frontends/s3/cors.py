"""Browsers: pages of other origins, such as OSCAR's dashboard, by the setting `cors_origins`."""

from __future__ import annotations

from aiohttp import web

METHODS = "GET, HEAD, PUT, POST, DELETE"
EXPOSED = (
    "ETag, Content-Length, Content-Range, Content-Type, Content-Disposition, Last-Modified, Accept-Ranges, Location, "
    "Retry-After, x-amz-request-id, x-amz-checksum-crc32, x-amz-checksum-crc32c, x-amz-checksum-crc64nvme, "
    "x-amz-checksum-sha1, x-amz-checksum-sha256"
)
MAX_AGE_S = 3000
HEADERS_LENGTH = 4096


def headers(origins: str, request: web.BaseRequest) -> dict[str, str]:
    """For every answer, errors too. origins: separated by commas; *: any; empty: none."""
    origin = request.headers.get("Origin", "")
    allowed = {each.strip().rstrip("/") for each in origins.split(",") if each.strip()}
    if not origin or not allowed:
        return {}
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    if origin not in allowed:
        return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def preflight(origins: str, request: web.BaseRequest) -> web.Response:
    """The answer to OPTIONS, which is not signed. SDKs send headers of many names: all that are asked for may come."""
    found = headers(origins, request)
    if "Access-Control-Allow-Origin" in found:
        found["Access-Control-Allow-Methods"] = METHODS
        found["Access-Control-Max-Age"] = str(MAX_AGE_S)
        asked = request.headers.get("Access-Control-Request-Headers", "")
        if asked and asked.isascii() and asked.isprintable() and len(asked) <= HEADERS_LENGTH:
            found["Access-Control-Allow-Headers"] = asked
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            # Chrome asks where a page of the web wants to reach a server on the user's own network.
            found["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=found)
