"""The calls of a deployment that a version answers: shift a share of them, and take them back. For the owner only."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from aiohttp import web

from modelport.errors import InvalidArguments
from modelport.http.body import read_document
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
        document = await read_document(request, self.gateway.settings)
        try:
            shift = msgspec.convert(document, Shift)
        except msgspec.ValidationError as error:
            raise InvalidArguments(str(error)) from error
        return await self._shifted(request, shift)

    async def shift_back(self, request: web.Request) -> web.StreamResponse:
        return await self._shifted(request, None)

    async def _shifted(self, request: web.Request, shift: Shift | None) -> web.StreamResponse:
        name = request.match_info["name"]
        await self.gateway.services.update(name, shift=shift)
        return json_answer(deployment_document(self.gateway, request, self.gateway.deployments.get(name)))
