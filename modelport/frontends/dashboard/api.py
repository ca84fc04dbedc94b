"""The API in the browser: Swagger UI within the dashboard, on the document of all front ends."""

from __future__ import annotations

from aiohttp import web

from modelport.frontends.dashboard.rendering import POLICY, Section

# Swagger UI sets styles on elements and brings style sheets of its own making. Scripts stay files of ours.
STYLED = {"Content-Security-Policy": POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")}


class ApiPage(Section):
    """`/ui/api`, where the documentation pages are served at all."""

    async def page(self, request: web.Request) -> web.StreamResponse:
        if not self._gateway.settings.doc_endpoint:
            return await self._pages.missing(request)
        return self._pages.page(request, "api.html", headers=STYLED)
