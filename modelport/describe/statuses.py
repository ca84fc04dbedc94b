"""HTTP statuses: of each kind of error, and what they tell a client."""

from __future__ import annotations

# The status of an error by its kind; a front end whose contract says otherwise has a table of its own. Of several kinds
# with one status, the first is what that status means to a client that is told nothing else.
STATUS = {
    "invalid_request": 400,
    "invalid_json": 400,
    "unauthorized": 401,
    "payment_required": 402,
    "forbidden": 403,
    "disabled": 403,
    "not_found": 404,
    "not_acceptable": 406,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media": 415,
    "invalid_arguments": 422,
    "model_failed": 500,
    "worker_lost": 500,
    "load_failed": 500,
    "no_such_plugin": 500,
    "store_failed": 500,
    "not_implemented": 501,
    "overloaded": 503,
    "starting": 503,
    "cancelled": 503,
    "interrupted": 503,
    "bucket_unavailable": 503,
    "issuer_unreachable": 503,
    "deadline_exceeded": 504,
    "storage_full": 507,
}

# What a refusal means, by its status; the answer itself says what was wrong with the request.
REFUSALS = {
    400: "The request cannot be read",
    401: "No token, or a wrong one",
    402: "The call must be paid: see the header payment-required",
    403: "The server's settings do not provide this",
    404: "There is no such thing, or the caller may not know of it",
    409: "The name is taken, or the state does not allow this",
    410: "The job was cancelled",
    413: "The request is too large",
    415: "The body has a type that is not read here",
    422: "Arguments are missing, unknown, or have values that are not allowed",
    500: "The model failed, or its process was lost",
    501: "The model does not have this function",
    503: "Not now: all workers are busy and the queue is full, or the model is still loading; see Retry-After",
    504: "The prediction did not end before its deadline",
    507: "The disk has no room",
}

# Those of a prediction.
CALL_REFUSALS = (400, 401, 413, 422, 500, 503, 504)
