"""The calls of a deployment that a version answers: shift a share of them, and take them back. For the owner only."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from modelport.http.body import read_struct
from modelport.http.deployment_documents import DeploymentDocument, deployment_document
from modelport.http.frontend import Route
from modelport.http.json_answers import json_answer
from modelport.http.operations import DescribedFrontend
from modelport.store.deployments import Shift


class ShiftsFrontend(DescribedFrontend):
    """The part of `/deployments` that is about versions."""

    def shift_routes(self) -> Iterable[Route]:
        path, shown, refused = "/deployments/{name}/shift", {200: DeploymentDocument}, (401, 404, 409)
        return (
            self.route(f"POST {path}", self.shift, "shift", "Shift calls", shown, (*refused, 400, 422), body=Shift),
            self.route(f"DELETE {path}", self.shift_back, "shift_back", "Take all calls back", shown, refused),
        )

    async def shift(self, request: web.Request) -> web.StreamResponse:
        return await self._shifted(request, await read_struct(request, self.gateway.settings, Shift))

    async def shift_back(self, request: web.Request) -> web.StreamResponse:
        return await self._shifted(request, None)

    async def _shifted(self, request: web.Request, shift: Shift | None) -> web.StreamResponse:
        name = request.match_info["name"]
        await self.gateway.services.shift(name, shift)
        return json_answer(deployment_document(self.gateway, request, self.gateway.deployments.get(name)))
