"""Errors as S3 has them: a code, a status, a document."""

from __future__ import annotations

import secrets

from aiohttp import web

from modelport.errors import ModelportError
from modelport.frontends.s3.documents import XML, element
from modelport.http.body import BrokenBody, SlowBody
from modelport.objectstore.sigv4 import BadSignature

# Status and, where nobody says it better, message by code.
CODES = {
    "AccessDenied": (403, "Access Denied."),
    "BadDigest": (400, "The Content-MD5 or checksum value that you specified did not match what the server received."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The access key ID you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid argument."),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified is not valid."),
    "InvalidPart": (400, "One or more of the specified parts could not be found, or did not have the ETag given."),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidRange": (416, "The requested range is not satisfiable."),
    "InvalidRequest": (400, "Invalid request."),
    "InvalidURI": (400, "Could not parse the specified URI."),
    "KeyConflict": (409, "The key is in the way of another."),
    "KeyTooLongError": (400, "Your key is too long."),
    "MalformedTrailerError": (400, "The request contained trailing data that was not well-formed."),
    "MalformedXML": (400, "The XML you provided was not well-formed or did not validate against our schema."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (404, "The specified multipart upload does not exist: it may have been aborted or completed."),
    "NoSuchVersion": (404, "The specified version does not exist: objects have no versions here."),
    "NotImplemented": (501, "What you ask for implies functionality that is not implemented."),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold."),
    "RequestTimeout": (400, "Your socket connection to the server was not read from or written to in time."),
    "ServiceUnavailable": (503, "The object store is starting. Please try again."),
    "SignatureDoesNotMatch": (403, "The signature does not match."),
    "SlowDown": (503, "Please reduce your request rate."),
    "StorageFull": (507, "There is no room for the object."),
    "XAmzContentSHA256Mismatch": (400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
}

# Errors of the rest of the server, which here come from what follows an upload.
KINDS = {
    "invalid_request": "InvalidRequest",
    "too_large": "EntityTooLarge",
    "not_found": "NoSuchKey",
    "conflict": "KeyConflict",
    "forbidden": "AccessDenied",
    "overloaded": "SlowDown",
    "starting": "ServiceUnavailable",
    "cancelled": "ServiceUnavailable",
    "bucket_unavailable": "ServiceUnavailable",
    "storage_full": "StorageFull",
}

# What is answered before there is an operation.
REFUSALS = {
    414: "InvalidURI",
    429: "TooManyRequests",
    431: "RequestHeaderSectionTooLarge",
    500: "InternalError",
}

RETRY_AFTER_S = 1


class S3Error(ModelportError):
    """A request that is answered with an error of S3. code: one of CODES."""

    kind = "internal"

    def __init__(self, code: str, message: str = "", *, retry_after_s: float | None = None) -> None:
        status, usual = CODES[code]
        super().__init__(message or usual, status=status, retry_after_s=retry_after_s)
        self.code = code


def code_of(error: ModelportError) -> str:
    if isinstance(error, (S3Error, BadSignature)):
        return error.code
    if isinstance(error, (SlowBody, BrokenBody)):
        return "RequestTimeout" if isinstance(error, SlowBody) else "IncompleteBody"
    return KINDS.get(error.kind, "InternalError")


def response(error: ModelportError, resource: str, request_id: str, method: str) -> web.Response:
    """The answer; without a body where HTTP has none."""
    code = code_of(error)
    status = CODES[code][0] if code in CODES and not isinstance(error, BadSignature) else error.status or 400
    headers = {"Content-Type": "application/xml"}
    if status in (503, 507):
        headers["Retry-After"] = str(max(RETRY_AFTER_S, round(error.retry_after_s or 0)))
    if method == "HEAD":
        return web.Response(status=status, headers=headers)
    message = CODES[code][1] if code == "InternalError" else error.message
    return web.Response(status=status, body=_document(code, message, resource, request_id), headers=headers)


def refusal(error: ModelportError, status: int) -> web.Response:
    """The answer to a request that has not come as far as an operation."""
    body = _document(REFUSALS.get(status, "InvalidRequest"), error.message, "/", secrets.token_hex(8).upper())
    return web.Response(status=status, body=body, content_type="application/xml")


def _document(code: str, message: str, resource: str, request_id: str) -> bytes:
    return (XML + element("Error", Code=code, Message=message, Resource=resource, RequestId=request_id)).encode()
