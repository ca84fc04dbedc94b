"""The errors of modelport, one tree.

    ModelportError
    ├── InvalidRequest · InvalidJson · InvalidArguments     the client's: what was sent
    ├── TooLarge · NotAcceptable · UnsupportedMedia
    ├── Unauthorized · Forbidden · NotFound · Conflict · Disabled    the client's: who asks for what
    ├── PaymentRequired                                     … and has not paid
    ├── ModelFailed · NotImplementedByModel · LoadFailed · NoSuchPlugin    the plugin's
    ├── WorkerLost · DeadlineExceeded · Cancelled           what happened to the process
    ├── Interrupted                                         … and to the server
    ├── Overloaded · Starting · StorageFull · BucketUnavailable    ours: not now
    └── of one subject, and defined there: StoreFailed, IssuerUnreachable, BadSetting, Unreachable …

Each class has a `kind`: its name, unless it says otherwise; below these, that of its base. A front end maps kinds to
its own words in one table. Errors cross from the child to the gateway as plain data (`to_plain`, `from_plain`), so
nothing here may need more than the standard library of Python 3.8.
"""

from __future__ import annotations

import errno
import re
from typing import Any, Iterator, Mapping

# Every class by its kind, wherever it is defined; of two with one kind the first.
KINDS: dict[str, type[ModelportError]] = {}
# What an error says beside its message.
FACTS = ("fields", "status", "retry_after_s", "detail", "raised")


class ModelportError(Exception):
    """Something a caller should be told.

    message: one sentence for the client: what was wrong, with which value, what is allowed.
    fields: messages by argument name, as marshmallow writes them: {"count": ["Not a valid integer."]}.
    status, reason: what a plugin's own HTTP exception asked for.
    retry_after_s: when it makes sense to ask again.
    detail: for the server's log and those who may see it (a traceback), never for a client.
    raised: the class of the plugin's own exception, where the message begins with it: "ValueError: no such breed".
    """

    kind = "internal"

    def __init_subclass__(cls) -> None:
        if cls.__base__ is ModelportError and "kind" not in vars(cls):
            cls.kind = re.sub(r"\B(?=[A-Z])", "_", cls.__name__).lower()
        KINDS.setdefault(cls.kind, cls)

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, Any] | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        detail: str = "",
        raised: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fields: dict[str, Any] = dict(fields or {})
        self.status = status
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.raised = raised

    @property
    def own_text(self) -> str:
        """The message without the class of the exception."""
        prefix = f"{self.raised}: "
        if self.raised and self.message.startswith(prefix):
            return self.message[len(prefix) :]
        return "" if self.raised else self.message  # an exception without a text

    def to_plain(self) -> dict[str, Any]:
        facts = {name: value for name in FACTS if (value := getattr(self, name))}
        return {"kind": self.kind, "message": self.message, **facts}


KINDS[ModelportError.kind] = ModelportError


def from_plain(plain: Mapping[str, Any]) -> ModelportError:
    """The error that `to_plain` described; an unknown kind becomes the root class."""
    cls = KINDS.get(str(plain.get("kind")), ModelportError)
    return cls(str(plain.get("message", "")), **{name: plain[name] for name in FACTS if name in plain})


class InvalidRequest(ModelportError):
    """The request cannot be read: a broken multipart body, a header that is none."""


class InvalidJson(ModelportError):
    """The body says it is JSON and is not."""


class InvalidArguments(ModelportError):
    """The plugin's fields refuse a value; `fields` names each argument at fault."""

    @classmethod
    def of(cls, name: str, problem: str) -> InvalidArguments:
        """One argument is at fault."""
        return cls(f"{name}: {problem}", fields={name: [problem]})


class TooLarge(ModelportError):
    """Over a named limit."""


class NotAcceptable(ModelportError):
    """The plugin answers in none of the media types asked for."""


class UnsupportedMedia(ModelportError):
    """A body of a media type that this front end does not read."""


class Unauthorized(ModelportError):
    """No token or a wrong one."""


class PaymentRequired(ModelportError):
    """The call is sold, and was not paid. headers: of the answer."""

    kind = "payment_required"

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.headers = dict(headers or {})


class Forbidden(ModelportError):
    """The caller is known and this is not theirs, or the request comes from where nobody may ask."""


class NotFound(ModelportError):
    """There is no such thing, or none that the caller may know of."""


class Conflict(ModelportError):
    """The name is taken, or the state does not allow it."""


class Disabled(ModelportError):
    """This endpoint has been switched off by the operator."""


class ModelFailed(ModelportError):
    """`predict` or `train` raised, or returned what cannot be encoded."""


class NotImplementedByModel(ModelportError):
    """The plugin has no function of this name."""

    kind = "not_implemented"


class LoadFailed(ModelportError):
    """The plugin could not be found, imported, described or warmed."""


class NoSuchPlugin(LoadFailed):
    """There is no entry point, module or path of this name."""

    kind = "no_such_plugin"


class WorkerLost(ModelportError):
    """The worker process died during the call."""


class DeadlineExceeded(ModelportError):
    """The call did not end before its deadline; its worker was stopped."""


class Cancelled(ModelportError):
    """The caller cancelled the call, or the server is stopping."""


class Interrupted(ModelportError):
    """The server ended while this ran, and it is not run again by itself."""


class Overloaded(ModelportError):
    """All workers are busy and the queue is full."""


class Starting(ModelportError):
    """The model is still loading, and the caller's patience has ended."""


# No room, over the quota, over the largest size of a file.
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StorageFull(ModelportError):
    """The disk has no room for the upload or the answer."""


class BucketUnavailable(ModelportError):
    """The object store cannot be reached, is too slow, refuses our keys, or has lost the bucket."""


def messages(fields: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(argument, message) from marshmallow's messages, however deep: {"box": {0: {"x": ["Missing."]}}} is box.0.x."""
    if isinstance(fields, dict):
        for key, value in fields.items():
            yield from messages(value, f"{name}.{key}" if name else str(key))
    elif isinstance(fields, (list, tuple)):
        for field in fields:
            yield from messages(field, name)
    else:
        yield name, str(fields)
