"""The contract of a front end: what it declares, and the routes that it gives. See `modelport.extending`.

A front end of another package is given a `FrontendContext` and gives routes; the server adds them. So every request
has passed the gate, its token has been checked and its body comes by the reader, whatever the front end has thought of.
Our own front ends are `GatewayFrontend`s: they stand in for other servers to the last byte, and need the whole gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from aiohttp import web

from modelport.contract.card import Card
from modelport.errors import ModelportError
from modelport.http.context import FrontendContext
from modelport.http.gateway import Gateway, Handler
from modelport.http.json_answers import error_answer
from modelport.settings import Setting


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
    """path: as aiohttp has it, without `base_path`: `/echo/{name}`. GET answers HEAD, too."""

    method: str
    path: str
    handler: Handler
    access: Access = Access.CALLER


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
    """

    segments: ClassVar[tuple[str, ...]] = ()
    shares: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[Setting, ...]] = ()
    statuses: ClassVar[Mapping[str, int]] = {}
    exposed: ClassVar[tuple[str, ...]] = ()

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
        return {}

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
