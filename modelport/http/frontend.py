"""The contract of a front end: what it declares, and the routes that it gives. See `modelport.extending`.

A front end of another package is given a `FrontendContext` and gives routes; the server adds them. So every request
has passed the gate, its token has been checked and its body comes by the reader, whatever the front end has thought of.
Most of our own are `GatewayFrontend`s: they stand in for other servers to the last byte, or show the server itself, and
need the whole gateway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from aiohttp import web

from modelport.contract.card import Card
from modelport.describe.documents import JSON, Failure, Schema, by_media, refusals, response
from modelport.describe.openapi import path_parameter
from modelport.errors import ModelportError
from modelport.http.context import FrontendContext
from modelport.http.gateway import Gateway, Handler
from modelport.http.json_answers import error_answer
from modelport.settings import Setting

TEXT: Schema = {"type": "string"}
BYTES: Schema = {"type": "string", "format": "binary"}


class Access(Enum):
    """Who may ask for a route; whoever may not is answered 401 before its handler is called.

    CALLER: of a path with `{name}`, whoever may call the deployment of this name; of another one, whoever may call any
    deployment, or has the server's token. OWNER: the owner of the server. ANYONE: also strangers.
    """

    CALLER = "caller"
    OWNER = "owner"
    ANYONE = "anyone"


@dataclass(frozen=True)
class Route:
    """path: as aiohttp has it, without `base_path`: `/echo/{name}`. GET answers HEAD, too.

    The rest describes the route in /openapi.json; without a summary it is not listed there. answers: by status: the
    type or schema of JSON, a media type, schemas by media type, or None where there is no body. errors: statuses of
    refusals. parameters: those that are not in the path. body: what is sent, as in `answers`. id: the operation's.
    """

    method: str
    path: str
    handler: Handler
    access: Access = Access.CALLER
    summary: str = ""
    answers: Mapping[int, Any] = field(default_factory=dict)
    errors: Sequence[int] = ()
    parameters: Sequence[Schema] = ()
    body: Any = None
    id: str = ""

    def described(self, tag: str, failure: Any) -> Schema:
        listed = [path_parameter(name) for name in re.findall(r"{(\w+)", self.path)] + [*self.parameters]
        answers = {str(status): response(status, _content(answer)) for status, answer in self.answers.items()}
        described: Schema = {"operationId": self.id} if self.id else {}
        described |= {"summary": self.summary, "tags": [tag]}
        described["responses"] = {**answers, **refusals(self.errors, lambda status: {JSON: failure})}
        if self.body is not None:
            described["requestBody"] = {"required": True, **by_media(_content(self.body))}
        return {**described, "parameters": listed} if listed else described


def _content(answer: Any) -> Schema | None:
    """Schemas by media type."""
    if isinstance(answer, str):
        return {answer: TEXT if answer.startswith("text/") else BYTES}
    by_type = isinstance(answer, Mapping) and all("/" in name for name in answer)
    return answer if answer is None or by_type else {JSON: answer}


def path_items(routes: Iterable[Route], tag: str, failure: Any = Failure) -> dict[str, Schema]:
    """Of the routes that say what they do."""
    paths: dict[str, Schema] = {}
    for route in routes:
        if route.summary:
            path = re.sub(r"(?<=\w):[^{}]+(?=})", "", route.path)  # aiohttp's pattern of a part
            paths.setdefault(path, {})[route.method.lower()] = route.described(tag, failure)
    return paths


@dataclass(frozen=True)
class GreetingRow:
    """A line of the page that browsers get at the root. link: a browser can follow `path`."""

    path: str
    text: str
    link: bool = False


@dataclass(frozen=True)
class ExampleCall:
    """A call that works, for a snippet. url: of the server, without a final slash. token: empty where none is needed.

    values: of the arguments that are needed, by the names in a request. files: paths of example files, by these names.
    """

    name: str
    url: str
    token: str
    card: Card
    values: Mapping[str, Any]
    files: Mapping[str, str]


@dataclass(frozen=True)
class Snippet:
    """Lines to be pasted. label: of the tab in the dashboard, such as "Python: words"."""

    label: str
    text: str


class Frontend:
    """A front end: translates a protocol to calls, and outcomes to the protocol. Made once, before the server listens.

    segments: the first parts of its paths: `("echo",)` for `/echo/…`. They are its own: no service is deployed under
        such a name, and two front ends with the same one do not start.
    shares: first parts that another front end has, under which this one adds paths which that one does not have.
    settings: its own; each name begins with the front end's. `context.options` has their values.
    statuses: HTTP statuses by an error's kind, where they differ from the usual ones.
    exposed: headers of its answers that pages of other origins may read.
    tag: its group in /openapi.json. failure: the type of an error's body there.
    """

    segments: ClassVar[tuple[str, ...]] = ()
    shares: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[Setting, ...]] = ()
    statuses: ClassVar[Mapping[str, int]] = {}
    exposed: ClassVar[tuple[str, ...]] = ()
    tag: ClassVar[str] = ""
    failure: ClassVar[Any] = Failure

    def __init__(self, context: FrontendContext) -> None:
        self.context = context

    def routes(self) -> Iterable[Route]:
        """In the order in which they are tried."""
        raise NotImplementedError

    def error(self, error: ModelportError, status: int) -> web.Response:
        """How an error looks: raised by a handler, or for a request that is refused before."""
        return error_answer(error, status)

    async def describe(self, request: web.Request) -> dict[str, Any]:
        """Path items for /openapi.json by path, without `base_path`: of what this caller may know of."""
        return path_items(self.routes(), self.tag, self.failure)

    def greeting(self) -> Iterable[GreetingRow]:
        return ()

    def snippets(self, call: ExampleCall) -> Iterable[Snippet]:
        """How to call a deployment by this protocol; the dashboard shows it on the deployment's page."""
        return ()

    async def start(self) -> None:
        """Called before the server listens: to open a port, or a connection."""

    async def stop(self) -> None:
        """Called when the server has stopped answering."""


class GatewayFrontend:
    """One of our own. What it needs of the gateway beyond a `FrontendContext`, its docstring says."""

    segments: ClassVar[tuple[str, ...]] = ()
    shares: ClassVar[tuple[str, ...]] = ()
    add_routes: Callable[[web.Application], None]

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def greeting(self) -> Iterable[GreetingRow]:
        return ()
