"""The shared links of a deployment: make one, list them, revoke one. For the owner only."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from modelport.describe.documents import one_of
from modelport.errors import Conflict, InvalidArguments, NotFound
from modelport.http.body import read_struct
from modelport.http.frontend import Route
from modelport.http.job_documents import Moment, moment
from modelport.http.json_answers import json_answer
from modelport.http.operations import DescribedFrontend
from modelport.identity.links import state_of
from modelport.settings import Settings
from modelport.store.links import LinkRow

PERIOD = re.compile(r"(\d{1,6})\s*([mhdw])", re.ASCII)
SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
CALLS_LIMIT = 1_000_000_000


class NewLink(Struct, forbid_unknown_fields=True):
    """A link to be made"""

    until: Annotated[
        str,
        Meta(
            description="Its end: a period from now, or a time (ISO 8601). A date means the end of that day in UTC",
            examples=["12h", "7d", "2026-12-31", "2026-12-31T18:00:00+01:00"],
        ),
    ] = ""
    calls_limit: Annotated[
        Annotated[int, Meta(ge=1, le=CALLS_LIMIT)] | None, Meta(description="Most calls; null: any number")
    ] = None
    note: Annotated[str, Meta(max_length=200, description="For yourself, such as for whom it is")] = ""


class LinkDocument(Struct, kw_only=True):
    """A link that somebody may call a deployment by"""

    id: str
    note: str
    state: Annotated[str, one_of("valid", "expired", "used up")]
    created: Moment
    until: Moment
    calls: Annotated[int, Meta(description="Calls that were made by it")]
    calls_limit: int | None
    used: Annotated[Moment | None, Meta(description="The last call; null: none yet")]


class MadeLink(LinkDocument, kw_only=True):
    """A new link. Its token is shown only now"""

    token: Annotated[str, Meta(description="For the header Authorization")]
    url: Annotated[str, Meta(description="Opens the form of the deployment in a browser")]
    endpoint: Annotated[str, Meta(description="Where programs send calls")]


class LinksFrontend(DescribedFrontend):
    """The part of `/deployments` that is about shared links."""

    def link_routes(self) -> Iterable[Route]:
        all, named = "/deployments/{name}/links", (401, 404)
        refused, made, listed = (*named, 400, 409, 422), {201: MadeLink}, {200: list[LinkDocument]}
        return (
            self.route(f"GET {all}", self.links, "links", "Its shared links", listed, named),
            self.route(f"POST {all}", self.share, "share", "Make a link", made, refused, body=NewLink),
            self.route(f"DELETE {all}/{{id}}", self.revoke, "revoke_link", "Revoke a link", {204: None}, named),
        )

    async def links(self, request: web.Request) -> web.StreamResponse:
        name = self.gateway.deployments.get(request.match_info["name"]).name
        return json_answer([LinkDocument(**_facts(row)) for row in self.gateway.links.of(name)])

    async def share(self, request: web.Request) -> web.StreamResponse:
        gateway, deployment = self.gateway, self.gateway.deployments.get(request.match_info["name"])
        if deployment.row is None and not gateway.settings.token:
            raise Conflict(
                f"everybody who reaches this server may call {deployment.name}, because it is named on the command "
                "line and the server has no token: set BEARER_TOKEN first"
            )
        if gateway.services.is_temporary(deployment.name):
            raise Conflict(f"{deployment.name} is a trial, which ends with the server; deploy its module to share it")
        new = await read_struct(request, gateway.settings, NewLink)
        row, token = await gateway.links.make(
            deployment.name, end_of(new.until, gateway.settings), new.calls_limit, new.note
        )
        if gateway.deployments.by_name.get(deployment.name) is not deployment:  # undeployed meanwhile
            await gateway.links.revoke(deployment.name, row.id)
            raise NotFound(f"there is no service called {deployment.name}")
        base, endpoint = gateway.base_url(request), f"{gateway.base_url(request)}/run/{deployment.name}"
        url = f"{base}/ui/shared/{deployment.name}#{token}" if gateway.settings.dashboard else endpoint
        return json_answer(MadeLink(**_facts(row), token=token, url=url, endpoint=endpoint), 201)

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        name = self.gateway.deployments.get(request.match_info["name"]).name
        await self.gateway.links.revoke(name, request.match_info["id"])
        return web.Response(status=204)


def _facts(row: LinkRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "note": row.note,
        "state": state_of(row),
        "created": moment(row.created),
        "until": moment(row.ends),
        "calls": row.calls,
        "calls_limit": row.calls_limit,
        "used": moment(row.used or None),
    }


def end_of(text: str, settings: Settings) -> float:
    """When a link ends, in seconds since 1970. text: as `NewLink.until`. Raises InvalidArguments."""
    now, text = time.time(), text.strip()
    limit_s = settings.link_limit_s
    if not text:
        return now + min(settings.link_s, limit_s)
    if (period := PERIOD.fullmatch(text)) is not None:
        end = now + int(period[1]) * SECONDS[period[2]]
    else:
        try:
            end = _moment(text)
        except (ValueError, OverflowError) as error:
            known = "give a period such as 12h or 7d, or a date such as 2026-12-31"
            raise InvalidArguments.of("until", f"{text[:40]!r} is not a time; {known}") from error
    if end <= now:
        raise InvalidArguments.of("until", f"{text!r} has passed; give a time to come")
    if end > now + limit_s + 1:
        limit = f"a link ends within {limit_s / 86400:g} days (the setting link_limit_s)"
        raise InvalidArguments.of("until", f"{text!r} is too late: {limit}")
    return end


def _moment(text: str) -> float:
    """Raises ValueError, OverflowError."""
    time_ = datetime.fromisoformat(text)
    if "T" not in text and " " not in text:
        time_ += timedelta(days=1)
    return (time_ if time_.tzinfo is not None else time_.replace(tzinfo=UTC)).timestamp()
