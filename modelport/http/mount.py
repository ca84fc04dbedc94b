"""Front ends in a server: their segments claimed, their routes added, each behind its check."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from modelport.errors import LoadFailed, ModelportError
from modelport.http.context import FrontendContext
from modelport.http.frontend import Access, Frontend, GatewayFrontend
from modelport.http.gate import PathRules
from modelport.http.gateway import Gateway, guarded

logger = logging.getLogger(__name__)

FrontendClass = type[Frontend] | type[GatewayFrontend]


def claimed(classes: Mapping[str, FrontendClass]) -> dict[str, str]:
    """The first parts of paths, and the front end that has each.

    Raises LoadFailed where two have the same one, and for what is not a front end.
    """
    owners: dict[str, str] = {}
    for name, cls in classes.items():
        if not (isinstance(cls, type) and issubclass(cls, (Frontend, GatewayFrontend))):
            raise LoadFailed(f"the front end {name} is not a subclass of modelport.extending.Frontend")
        for segment in cls.segments:
            if segment in owners:
                raise LoadFailed(
                    f"the front ends {owners[segment]} and {name} both answer /{segment}: uninstall the package of one"
                )
            owners[segment] = name
    return owners


def mount(app: web.Application, gateway: Gateway, classes: Mapping[str, FrontendClass]) -> None:
    """Raises LoadFailed for a route outside what its front end has declared, and one that exists already."""
    taken: dict[tuple[str, str], str] = {}
    for name, cls in classes.items():
        before = len(list(app.router.routes()))
        if issubclass(cls, GatewayFrontend):
            own = cls(gateway)
            own.add_routes(app)
            rows, gateway.frontends[name] = own.greeting(), own
        else:
            with _told(name, "cannot be mounted"):
                frontend = cls(FrontendContext(gateway, cls.settings))
                _add_routes(app, gateway, name, frontend)
            rows, gateway.frontends[name] = frontend.greeting(), frontend
        gateway.greetings.extend((row.path, row.text, row.link) for row in rows)
        _check(name, cls, list(app.router.routes())[before:], gateway.settings.base_path, taken)


def _check(
    name: str,
    cls: FrontendClass,
    routes: Iterable[web.AbstractRoute],
    base: str,
    taken: dict[tuple[str, str], str],
) -> None:
    """taken: routes, and the front end that has each."""
    for route in routes:
        path = route.resource.canonical if route.resource is not None else ""
        segment = path.removeprefix(base).removeprefix("/").partition("/")[0]
        if segment not in (*cls.segments, *cls.shares):
            raise LoadFailed(
                f"the front end {name} answers {route.method} {path}, and declares neither the segment nor the share "
                f"{segment!r}"
            )
        other = taken.setdefault((route.method, path), name)
        if other != name:
            raise LoadFailed(f"the front ends {other} and {name} both answer {route.method} {path}")


@contextmanager
def _told(name: str, what: str) -> Iterator[None]:
    """Raises LoadFailed for whatever goes wrong in a front end of another package."""
    try:
        yield
    except ModelportError:
        raise
    except Exception as error:
        raise LoadFailed(f"the front end {name} {what}: {type(error).__name__}: {error}") from error


def _add_routes(app: web.Application, gateway: Gateway, name: str, frontend: Frontend) -> None:
    """Those of a front end of another package."""
    base = gateway.settings.base_path
    checks = {Access.CALLER: gateway.check_route, Access.OWNER: gateway.check_owner, Access.ANYONE: None}
    for route in frontend.routes():
        guard = guarded(route.handler, frontend.error, dict(frontend.statuses), checks[route.access])
        app.router.add_route(route.method, base + route.path, guard)

    rules = PathRules(lambda request, error, status: frontend.error(error, status), unknown=True)
    gateway.gate.rules |= dict.fromkeys(frontend.segments, rules)
    gateway.gate.exposed |= set(frontend.exposed)

    async def describe(request: web.Request) -> dict[str, Any]:
        try:
            return {base + path: item for path, item in (await frontend.describe(request)).items()}
        except Exception:
            logger.exception("the front end %s does not describe itself", name)
            return {}

    async def run(app: web.Application) -> AsyncIterator[None]:
        with _told(name, "cannot start"):
            await frontend.start()
        yield
        try:
            await frontend.stop()
        except Exception:
            logger.exception("the front end %s did not stop in order", name)

    gateway.describers.append(describe)
    app.cleanup_ctx.append(run)
