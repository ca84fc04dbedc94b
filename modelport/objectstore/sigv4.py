"""Signature version 4: who sent a request, and that nobody has changed it. Checking, and signing.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html

The path is encoded once and never made shorter, as S3 has it. The region is whatever the request says, the empty one
too: the tutorial's script signs with region_name="". Access keys may contain "/", so a scope is read from its right.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

from modelport.errors import Unauthorized

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()

# How far the client's clock may be off, as S3 has it.
SKEW = timedelta(minutes=15)
LONGEST_PRESIGNED_S = 7 * 86400

# Headers that begin so say what is to be done, so a signature must cover them; the others only say who calls.
_MEANT = "x-amz-"
_NOT_MEANT = frozenset({"x-amz-user-agent", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"})

_TIMESTAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PARAMETER = re.compile(r"X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)")

Headers = Iterable[tuple[str, str]]


def _quoted(text: str, safe: str = "") -> str:
    return quote(text, safe=f"-_.~{safe}", errors="surrogateescape")


class BadSignature(Unauthorized):
    """The request is not signed as it must be. code: S3's name of what is wrong. status: S3's status for it."""

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message, status=status)
        self.code = code


@dataclass(frozen=True)
class Claim:
    """What a request says of its own signature. expires_s: only of a presigned URL.

    payload_hash: of the body, or a word that says that the body is not signed, or signed in pieces.
    """

    access_key: str
    scope: str
    timestamp: str
    signed_headers: Sequence[str]
    signature: str
    payload_hash: str
    expires_s: int | None = None

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.timestamp)


# Reading and checking


def read(headers: Mapping[str, str], query: Sequence[tuple[str, str]]) -> Claim:
    """headers: looked up without regard to case. query: decoded. Raises BadSignature, also where nothing is signed."""
    if any(name == "X-Amz-Algorithm" for name, _ in query):
        return _from_query(headers, query)
    authorization = headers.get("Authorization", "")
    if not authorization:
        if any(name in ("AWSAccessKeyId", "Signature") for name, _ in query):
            raise _other_version()
        raise BadSignature("AccessDenied", "Requests must be signed: anonymous access is forbidden.")
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise _other_version()
    return _from_header(headers, rest)


def _other_version() -> BadSignature:
    # boto3 makes presigned URLs of version 2 unless it is told otherwise.
    message = (
        f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM} (with boto3: "
        'Config(signature_version="s3v4")).'
    )
    return BadSignature("InvalidRequest", message, 400)


def _from_header(headers: Mapping[str, str], rest: str) -> Claim:
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    timestamp = headers.get("x-amz-date", "")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise BadSignature("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header.")
    if "x-amz-content-sha256" not in headers:
        raise BadSignature("InvalidRequest", "Missing required header for this request: x-amz-content-sha256.", 400)
    return _claim(parts, timestamp, headers["x-amz-content-sha256"], None, "AuthorizationHeaderMalformed")


def _from_query(headers: Mapping[str, str], query: Sequence[tuple[str, str]]) -> Claim:
    code = "AuthorizationQueryParametersError"
    parts = {name.removeprefix("X-Amz-"): value for name, value in query if _PARAMETER.fullmatch(name)}
    if parts["Algorithm"] != ALGORITHM:
        raise _other_version()
    timestamp = parts.get("Date", "")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise BadSignature(code, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\".", 400)
    expires = parts.get("Expires", "")
    if not (expires.isascii() and expires.isdecimal() and 1 <= int(expires[:10]) <= LONGEST_PRESIGNED_S):
        raise BadSignature(code, f"X-Amz-Expires must be a number from 1 to {LONGEST_PRESIGNED_S} seconds.", 400)
    payload = dict(query).get("X-Amz-Content-Sha256") or headers.get("x-amz-content-sha256", UNSIGNED)
    return _claim(parts, timestamp, payload, int(expires), code)


def _claim(parts: Mapping[str, str], timestamp: str, payload_hash: str, expires_s: int | None, code: str) -> Claim:
    access_key, *scope = parts.get("Credential", "").rsplit("/", 4)
    if len(scope) != 4 or scope[0] != timestamp[:8] or scope[2:] != [SERVICE, "aws4_request"]:
        expected = f"<access key>/{timestamp[:8]}/<region>/{SERVICE}/aws4_request"
        raise BadSignature(code, f"The credential is malformed; expecting {expected}.", 400)
    names = parts.get("SignedHeaders", "").split(";")
    signature = parts.get("Signature", "")
    if "host" not in names or not _SIGNATURE.fullmatch(signature):
        raise BadSignature(code, "SignedHeaders must name host, and Signature be 64 hexadecimal digits.", 400)
    try:
        claim = Claim(access_key, "/".join(scope), timestamp, names, signature, payload_hash, expires_s)
        claim.time  # noqa: B018 (whether it is one)
    except ValueError as error:
        raise BadSignature(code, f"{timestamp} is not a valid time.", 400) from error
    return claim


@dataclass(frozen=True)
class Seed:
    """What the signatures of a body's pieces go on from."""

    key: bytes
    scope: str
    timestamp: str
    signature: str


def check(
    claim: Claim,
    secret: str,
    method: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Sequence[tuple[str, str]],
    *,
    hosts: Collection[str] = (),
    now: datetime | None = None,
) -> Seed:
    """Raises BadSignature. path: as it was sent, encoded. query: decoded.

    hosts: names of this server beside that in the Host header, for a proxy in front that does not pass it on.
    """
    _check_time(claim, now or datetime.now(UTC))
    _check_covered(claim, headers)
    key = signing_key(secret, claim.scope)
    pairs = [pair for pair in query if pair[0] != "X-Amz-Signature"] if claim.expires_s is not None else query
    for host in (None, *hosts):
        canonical = _canonical(method, path, pairs, _with_host(headers, host), claim.signed_headers, claim.payload_hash)
        expected = _signature(key, claim.timestamp, claim.scope, canonical)
        if hmac.compare_digest(expected, claim.signature):
            return Seed(key, claim.scope, claim.timestamp, claim.signature)
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method."
    )
    raise BadSignature("SignatureDoesNotMatch", message)


def _check_time(claim: Claim, now: datetime) -> None:
    if claim.expires_s is not None:
        if claim.time - now > SKEW:
            raise BadSignature("AccessDenied", "Request is not valid yet.")
        if now > claim.time + timedelta(seconds=claim.expires_s):
            raise BadSignature("AccessDenied", "Request has expired.")
    elif abs(claim.time - now) > SKEW:
        message = "The difference between the request time and the current time is too large."
        raise BadSignature("RequestTimeTooSkewed", message)


def _check_covered(claim: Claim, headers: Headers) -> None:
    meant = [name for name, _ in headers if name.lower().startswith(_MEANT) and name.lower() not in _NOT_MEANT]
    if claim.expires_s is None:
        meant.append("x-amz-date")  # or the request could be sent again at any later time
    for name in meant:
        if name.lower() not in claim.signed_headers:
            message = f"There were headers present in the request which were not signed: {name[:100]}."
            raise BadSignature("AccessDenied", message)


def _with_host(headers: Headers, host: str | None) -> Headers:
    if host is None:
        return headers
    return [(name, host if name.lower() == "host" else value) for name, value in headers]


# The pieces of a signature


def _canonical(
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Headers,
    signed_headers: Sequence[str],
    payload_hash: str,
) -> str:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(" ".join(value.split()))
    lines = [f"{name}:{','.join(values.get(name, []))}\n" for name in signed_headers]
    pairs = sorted((_quoted(name), _quoted(value)) for name, value in query)
    return "\n".join(
        (
            method,
            quote(unquote_to_bytes(path), safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            "".join(lines),
            ";".join(signed_headers),
            payload_hash,
        )
    )


@lru_cache(maxsize=256)
def signing_key(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _signature(key: bytes, timestamp: str, scope: str, canonical: str) -> str:
    # A header that is not UTF-8 has lone surrogates in place of its bytes.
    digest = hashlib.sha256(canonical.encode(errors="surrogateescape")).hexdigest()
    return hmac.digest(key, f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}".encode(), "sha256").hex()


def piece_signature(seed: Seed, previous: str, piece_hash: str) -> str:
    """Of a piece of a body sent in signed pieces. previous: the signature of the one before, first the request's."""
    text = f"{ALGORITHM}-PAYLOAD\n{seed.timestamp}\n{seed.scope}\n{previous}\n{EMPTY_HASH}\n{piece_hash}"
    return hmac.digest(seed.key, text.encode(), "sha256").hex()


def trailer_signature(seed: Seed, previous: str, trailers: bytes) -> str:
    """Of the trailers behind such a body, each as name:value and a line feed."""
    text = f"{ALGORITHM}-TRAILER\n{seed.timestamp}\n{seed.scope}\n{previous}\n{hashlib.sha256(trailers).hexdigest()}"
    return hmac.digest(seed.key, text.encode(), "sha256").hex()


# Signing


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    access_key: str,
    secret: str,
    region: str,
    *,
    payload_hash: str = UNSIGNED,
    now: datetime | None = None,
) -> dict[str, str]:
    """`headers`, all of them signed, with those that the signature needs."""
    parts = urlsplit(url)
    timestamp = f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    signed = {name.lower(): value for name, value in headers.items()}
    signed |= {"host": parts.netloc, "x-amz-content-sha256": payload_hash, "x-amz-date": timestamp}
    scope = f"{timestamp[:8]}/{region}/{SERVICE}/aws4_request"
    names = sorted(signed)
    pairs = decode_query(parts.query)
    canonical = _canonical(method, parts.path or "/", pairs, signed.items(), names, payload_hash)
    signature = _signature(signing_key(secret, scope), timestamp, scope, canonical)
    credential = f"Credential={access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return {**signed, "authorization": f"{ALGORITHM} {credential}"}


def presign(
    method: str,
    url: str,
    access_key: str,
    secret: str,
    region: str,
    expires_s: int,
    headers: Mapping[str, str] | None = None,
    *,
    now: datetime | None = None,
) -> str:
    """`url` with a signature in its query, by which anybody may do `method` until it expires.

    url: encoded, perhaps with a query. headers: what the caller will have to send just so, such as Content-Type.
    """
    if not 1 <= expires_s <= LONGEST_PRESIGNED_S:
        raise ValueError(f"a URL can be signed for 1 to {LONGEST_PRESIGNED_S} seconds, not for {expires_s}")
    parts = urlsplit(url)
    timestamp = f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    scope = f"{timestamp[:8]}/{region}/{SERVICE}/aws4_request"
    signed = {**{name.lower(): value for name, value in (headers or {}).items()}, "host": parts.netloc}
    names = sorted(signed)
    pairs = [
        *decode_query(parts.query),
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", f"{access_key}/{scope}"),
        ("X-Amz-Date", timestamp),
        ("X-Amz-Expires", str(expires_s)),
        ("X-Amz-SignedHeaders", ";".join(names)),
    ]
    canonical = _canonical(method, parts.path or "/", pairs, signed.items(), names, UNSIGNED)
    pairs.append(("X-Amz-Signature", _signature(signing_key(secret, scope), timestamp, scope, canonical)))
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)
    return f"{parts.scheme}://{parts.netloc}{parts.path or '/'}?{query}"


def decode_query(query: str) -> list[tuple[str, str]]:
    """Names and values in their order. What is not UTF-8 keeps its bytes as lone surrogates."""
    return parse_qsl(query, keep_blank_values=True, errors="surrogateescape", separator="&")
