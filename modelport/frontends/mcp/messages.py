"""JSON-RPC as the revisions of MCP send it: which era a request is of, and whether its envelope is right.

Clients of the first era begin with `initialize`. Those of 2026-07-28 send everything with each request: the revision
and their capabilities in `params._meta`, and the method and the tool's name once more in headers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Raw, Struct, UnsetType

from modelport.extending import json_answer

MODERN = "2026-07-28"
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LATEST_HANDSHAKE = HANDSHAKE[-1]

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
# Clients of the first era end the session at any status that is not 200, so what a session can survive is 200 there.
STATUSES = {METHOD_NOT_FOUND: 404, INTERNAL_ERROR: 200}
SURVIVED = (METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR)

VERSION_HEADER, METHOD_HEADER, NAME_HEADER = "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"
META = "io.modelcontextprotocol/"
SHOWN_CHARS = 100

JSON = "application/json"
Params = dict[str, Raw]


class Message(Struct):
    """A request, or a notification, which has no id."""

    method: str
    jsonrpc: Literal["2.0"]
    id: str | int | UnsetType = UNSET
    params: Params | UnsetType = UNSET


class Fault(Struct):
    code: int
    message: str
    data: Any = UNSET


class Refused(Exception):
    """An error of the protocol. id: of the request, as far as it is known."""

    def __init__(self, code: int, message: str, data: Any = UNSET) -> None:
        super().__init__(message)
        self.fault = Fault(code, message, data)


@dataclass(frozen=True)
class Received:
    """A message, and the era that its client is of. meta: of its params."""

    message: Message
    modern: bool
    params: Params
    meta: Mapping[str, Raw]

    @property
    def is_notification(self) -> bool:
        return self.message.id is UNSET


def decoded(raw: bytes | Raw, type: Any, what: str) -> Any:
    """Raises Refused."""
    try:
        return msgspec.json.decode(raw, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(INVALID_PARAMS, f"{what}: {error}") from error


def parse(body: bytes) -> Message:
    """Raises Refused."""
    try:
        message: Message = msgspec.json.decode(body, type=Message)
    except msgspec.ValidationError as error:
        raise Refused(INVALID_REQUEST, f"the body is not one JSON-RPC request: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(PARSE_ERROR, f"the body is not valid JSON: {error}") from error
    return message


def classify(request: web.Request) -> str | None:
    """The revision that a client of the newer era names, known or not; None: it is of the first era."""
    version = request.headers.get(VERSION_HEADER)
    return None if version is None or version in HANDSHAKE else version


def receive(request: web.Request, message: Message) -> Received:
    """Raises Refused."""
    version = classify(request)
    params: Params = {} if message.params is UNSET else message.params
    meta = decoded(params["_meta"], dict[str, Raw], "params._meta") if "_meta" in params else {}
    received = Received(message, version is not None, params, meta)
    if version is not None:
        _check_envelope(request, received, version)
    return received


def _check_envelope(request: web.Request, received: Received, version: str) -> None:
    message, meta = received.message, received.meta
    if received.is_notification:
        _check_version(version)
        return
    for name in ("protocolVersion", "clientCapabilities"):
        if META + name not in meta:
            raise Refused(INVALID_PARAMS, f"params._meta lacks {META}{name}")
    named = decoded(meta[f"{META}protocolVersion"], str, f"params._meta {META}protocolVersion")
    decoded(meta[f"{META}clientCapabilities"], dict[str, Raw], f"params._meta {META}clientCapabilities")
    _check_header(request, VERSION_HEADER, named)
    _check_header(request, METHOD_HEADER, message.method)
    if message.method == "tools/call" and "name" in received.params:
        _check_header(request, NAME_HEADER, decoded(received.params["name"], str, "params.name"))
    _check_version(named)


def _check_version(version: str) -> None:
    if version != MODERN:
        data = {"supported": [*HANDSHAKE, MODERN], "requested": version[:SHOWN_CHARS]}
        raise Refused(UNSUPPORTED_VERSION, f"the protocol version {version[:SHOWN_CHARS]!r} is not supported", data)


def _check_header(request: web.Request, name: str, expected: str) -> None:
    values = request.headers.getall(name, [])
    if len(values) != 1 or _header_value(values[0]) != expected:
        raise Refused(HEADER_MISMATCH, f"the header {name} must be there once and say the same as the body")


def _header_value(value: str) -> str | None:
    """Text beyond ASCII comes as `=?base64?…?=`. None where that is broken."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[len("=?base64?") : -2], validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def status_of(fault: Fault, modern: bool) -> int:
    return 200 if not modern and fault.code in SURVIVED else STATUSES.get(fault.code, 400)


def response(id: Any, status: int = 200, **answer: Any) -> web.Response:
    """id: None where it could not be read. answer: its result, or its error."""
    document = {"jsonrpc": "2.0", "id": None if id is UNSET else id, **answer}
    return json_answer(document, status, {"Content-Type": JSON})
