"""The files in deployments' buckets, folder by folder."""

from __future__ import annotations

import mimetypes
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from markupsafe import Markup

from modelport.errors import ModelportError
from modelport.frontends.dashboard.filters import when
from modelport.frontends.dashboard.rendering import Section
from modelport.http.bucket_files import Page, file_document
from modelport.http.job_documents import moment
from modelport.http.json_answers import encoded
from modelport.objectstore import ObjectInfo
from modelport.objectstore.names import INPUTS, OUTPUTS

# On a page; a thousand, the most that S3 gives at once, would be a megabyte.
SHOWN = 100


class FilePages(Section):
    """`/ui/files`, `/ui/files/<deployment>?prefix=inputs/`."""

    async def choose(self, request: web.Request) -> web.StreamResponse:
        """Where there is but one bucket, it is meant."""
        deployments = sorted(self._gateway.deployments, key=lambda deployment: deployment.name)
        rows = [
            (deployment.name, deployment.row.title if deployment.row else "", access)
            for deployment in deployments
            if (access := self._gateway.bucket_access(deployment.name)) is not None
        ]
        if len(rows) == 1:
            raise web.HTTPSeeOther(self._pages.url(request, "files", rows[0][0]))
        buckets = self._gateway.bucket_jobs is not None
        return self._pages.page(request, "choose_files.html", rows=rows, any=bool(deployments), buckets=buckets)

    async def folder(self, request: web.Request) -> web.StreamResponse:
        """For htmx the list alone. ?folder= leads to that folder in this one: it is made by what is put into it."""
        name = self._gateway.deployments.get(request.match_info["deployment"]).name
        prefix = request.query.get("prefix", INPUTS)
        prefix = prefix if prefix.endswith("/") or not prefix else prefix + "/"
        if new := request.query.get("folder", "").strip("/ "):
            chosen = urlencode({"prefix": f"{prefix}{new}/"})
            raise web.HTTPSeeOther(f"{self._pages.url(request, 'files', name)}?{chosen}")
        values: dict[str, Any] = {"name": name, "prefix": prefix, "failure": "", "page": Page([], [], "")}
        try:
            bucket = self._pages.files.enter(request, name)
            values["bucket"] = bucket
            page = await self._pages.files.page(bucket, prefix, request.query.get("after", ""), SHOWN)
            values |= {"page": page, "rows": [self._row(request, name, file) for file in page.files]}
        except ModelportError as error:
            values |= {"failure": error.message, "rows": [], "bucket": ""}
        values |= {"way": _way(prefix), "after": request.query.get("after", "")}
        part = "HX-Request" in request.headers
        return self._pages.page(request, "_files.html" if part else "files.html", **values)

    def _row(self, request: web.Request, name: str, file: ObjectInfo) -> Markup:
        row, age = file_document(file), when(moment(file.modified))
        url = f"{self._gateway.root(request)}/files/{quote(name, safe='')}/{quote(file.key)}"
        values = {"name": file.key.rpartition("/")[2], "type": mimetypes.guess_type(file.key)[0] or "", "url": url}
        values["grid"] = self._grid_of(request, name, file.key)
        return self._pages.piece(request, "_file_row.html", (encoded(row), url, age), row=row, age=age, **values)

    def _grid_of(self, request: web.Request, name: str, key: str) -> str:
        """Where this file stands with what belongs to it: an input with its outputs, and the other way round."""
        if not key.startswith((INPUTS, OUTPUTS)):
            return ""
        query = urlencode({"prefix": f"{key.rpartition('/')[0]}/", "open": key})
        return f"{self._pages.url(request, 'files', name)}/results?{query}"


def _way(prefix: str) -> list[tuple[str, str]]:
    """(name, prefix) of each folder down to this one."""
    parts = prefix.strip("/").split("/") if prefix else []
    return [(part, "/".join(parts[: number + 1]) + "/") for number, part in enumerate(parts)]
