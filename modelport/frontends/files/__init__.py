"""The door of files: the buckets of deployments over plain HTTP, for pages and scripts that do not speak S3.

For the owner, and for who has the bucket's keys (Basic: access key and secret key). See docs/files.md.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from modelport.errors import ModelportError, NotFound
from modelport.frontends.files.paths import file_paths
from modelport.http.bucket_files import BucketFiles, kind_of, plain
from modelport.http.gateway import INERT, Gateway, guarded
from modelport.http.job_documents import JSON, JobDocuments, encoded
from modelport.http.names import disposition
from modelport.objectstore import ObjectInfo

ETAG, NONE_MATCH = "ETag", "If-None-Match"


class FilesFrontend:
    """`/files/<deployment>`, `/files/<deployment>/<key>`."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._files = BucketFiles(gateway)
        gateway.describers.append(self.openapi_paths)

    def add_routes(self, app: web.Application) -> None:
        all = f"{self.gateway.settings.base_path}/files/{{deployment}}"
        one = f"{all}/{{key:.+}}"
        for method, path, handler in (
            ("GET", all, self.list),
            ("GET", one, self.show),
            ("HEAD", one, self.head),
            ("PUT", one, self.put),
            ("DELETE", one, self.delete),
        ):
            app.router.add_route(method, path, guarded(handler, _error))

    async def list(self, request: web.Request) -> web.StreamResponse:
        """?prefix=inputs/: what lies in that folder; up to a thousand entries a page."""
        bucket = self._bucket(request)
        prefix = request.query.get("prefix", "")
        page = await self._files.page(bucket, prefix, request.query.get("after", ""))
        here = self.gateway.proxies.view(request).prefix + request.rel_url.raw_path
        more = f"{here}?{urlencode({'prefix': prefix, 'after': page.next})}" if page.next else None
        document = {"bucket": bucket, "prefix": prefix, "folders": page.folders, "next": more}
        return _json({**document, "files": [plain(file) for file in page.files]})

    async def show(self, request: web.Request) -> web.StreamResponse:
        async with self._files.read(self._bucket(request), request.match_info["key"]) as (found, chunks):
            headers = _headers(found)
            if found.etag and request.headers.get(NONE_MATCH) == headers[ETAG]:
                return web.Response(status=304, headers=headers)
            response = web.StreamResponse(headers=headers)
            response.content_length = found.size_bytes
            await response.prepare(request)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
            return response

    async def head(self, request: web.Request) -> web.StreamResponse:
        found = await self._files.head(self._bucket(request), request.match_info["key"])
        response = web.StreamResponse(headers=_headers(found))
        response.content_length = found.size_bytes
        return response

    async def put(self, request: web.Request) -> web.StreamResponse:
        """201 when it is kept; `job` is what it has led to."""
        found, job = await self._files.put(request, self._bucket(request), request.match_info["key"])
        row = None if job is None else JobDocuments.of(self.gateway, request).row(job)
        return _json({**plain(found), "job": row}, status=201)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        bucket, key = self._bucket(request), request.match_info["key"]
        if key.endswith("/"):
            raise NotFound("a folder is there as long as something lies in it")
        await self._files.delete(bucket, key)
        return web.Response(status=204)

    def _bucket(self, request: web.Request) -> str:
        return self._files.enter(request, request.match_info["deployment"])

    async def openapi_paths(self, request: web.Request) -> dict[str, Any]:
        return file_paths(self.gateway.settings.base_path)


def _headers(found: ObjectInfo) -> dict[str, str]:
    """To be saved, not shown: files come from anybody, and no page of theirs may be one of ours."""
    name = found.key.rpartition("/")[2]
    return {
        "Content-Type": kind_of(found),
        "Content-Disposition": disposition(name).replace("inline", "attachment", 1),
        **INERT,
        "Cache-Control": "private, no-cache",
        "Last-Modified": formatdate(found.modified, usegmt=True),
        ETAG: f'"{found.etag}"',
    }


def _json(document: Any, status: int = 200) -> web.Response:
    headers = {"Content-Type": JSON, "Cache-Control": "no-store"}
    return web.Response(status=status, body=encoded(document), headers=headers)


def _error(error: ModelportError, status: int) -> web.Response:
    return _json({"error": error.kind, "message": error.message}, status)
