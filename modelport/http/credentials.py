"""What a request presents in its header Authorization."""

from __future__ import annotations

import base64
import binascii

from aiohttp import web

TOKEN_NEEDED = "a bearer token is needed: send the header Authorization: Bearer <token>"  # noqa: S105


def bearer(request: web.BaseRequest) -> str:
    """The token of `Authorization: Bearer …`; empty where there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(request: web.BaseRequest) -> tuple[str, str]:
    """User name and password of `Authorization: Basic …`; empty where there are none."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password
