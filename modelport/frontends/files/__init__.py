"""The front end of files: the buckets of deployments over plain HTTP, for pages and scripts that do not speak S3.

For the owner, and for who has the bucket's keys (Basic: access key and secret key). See docs/files.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from email.utils import formatdate
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from modelport.describe.documents import JSON
from modelport.errors import InvalidRequest, NotFound
from modelport.frontends.files import exporting
from modelport.http.bucket_files import BucketFiles, FileDocument, file_document, kind_of, send
from modelport.http.frontend import BYTES, TEXT, Route
from modelport.http.gateway import Gateway
from modelport.http.job_documents import JobDocument, JobDocuments
from modelport.http.json_answers import json_answer
from modelport.http.names import saved_headers
from modelport.http.operations import DescribedFrontend, next_page, query
from modelport.objectstore import ObjectInfo

FORMATS = {"type": "string", "enum": ["json", *exporting.TYPES]}
EXPORTED = {"text/csv": TEXT, "application/jsonl": TEXT, "application/zip": BYTES}


class PutFile(FileDocument):
    """A file that is kept now"""

    job: Annotated[JobDocument | None, Meta(description="What it has led to")]


class FilePage(msgspec.Struct):
    """What lies in a folder of a bucket"""

    bucket: str
    prefix: str
    folders: list[str]
    files: list[FileDocument]
    next: Annotated[str | None, Meta(description="Path of the next page")]


class FilesFrontend(DescribedFrontend):
    """`/files/<deployment>`, `/files/<deployment>/<key>`.

    Of the gateway it needs the buckets.
    """

    segments = ("files",)
    tag = "files"

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._files = BucketFiles(gateway)

    def routes(self) -> Iterable[Route]:
        all, one = "/files/{deployment}", "/files/{deployment}/{key:.+}"  # many generators would escape a key's slashes
        which = (
            query("prefix", "The folder, such as inputs/"),
            query("after", "Where the page begins: see `next`"),
            query("format", "All in one file: csv and jsonl, the results of a folder; zip, its files", FORMATS),
        )
        named, put = (401, 403, 404), (400, 401, 403, 404, 409, 413, 503, 507)
        kept, bytes, listed = {201: PutFile}, {200: "*/*"}, {200: {JSON: FilePage, **EXPORTED}}
        return (
            self.route(f"GET {all}", self.list, "files", "What lies in a folder", listed, (400, *named), which),
            self.route(f"GET {one}", self.show, "file", "Fetch a file", bytes, named),
            self.route(f"HEAD {one}", self.head, "head_file", "Ask about a file", {200: None}, named),
            self.route(f"PUT {one}", self.put, "put_file", "Put one; in inputs/ it is a job", kept, put, body="*/*"),
            self.route(f"DELETE {one}", self.delete, "delete_file", "Delete a file", {204: None}, named),
        )

    async def list(self, request: web.Request) -> web.StreamResponse:
        bucket = self._bucket(request)
        prefix, format = request.query.get("prefix", ""), request.query.get("format", "json")
        if format != "json":
            return await self._export(request, bucket, prefix, format)
        page = await self._files.page(bucket, prefix, request.query.get("after", ""))
        files, more = [file_document(file) for file in page.files], next_page(self.gateway, request, page.next)
        return json_answer(FilePage(bucket, prefix, page.folders, files, more))

    async def _export(self, request: web.Request, bucket: str, prefix: str, format: str) -> web.StreamResponse:
        """All of it in one file, which is made while it is sent."""
        if format not in exporting.TYPES:
            raise InvalidRequest(f"format is {format[:20]!r}; give one of json, {', '.join(exporting.TYPES)}")
        name = "-".join([request.match_info["deployment"], *filter(None, prefix.split("/"))])
        response = web.StreamResponse(headers=saved_headers(f"{name}.{format}", exporting.TYPES[format]))
        async with aclosing(exporting.exported(self._files.bucket_jobs, bucket, prefix, format)) as pieces:
            await anext(pieces)  # what is wrong at once is answered as ever
            await send(request, response, pieces)
        return response

    async def show(self, request: web.Request) -> web.StreamResponse:
        async with self._files.read(self._bucket(request), request.match_info["key"]) as (info, chunks):
            if info.etag and any(tag.value in (info.etag, "*") for tag in request.if_none_match or ()):
                return web.Response(status=304, headers=_headers(info))
            response = web.StreamResponse(headers=_headers(info))
            response.content_length = info.size_bytes
            await send(request, response, chunks)
            return response

    async def head(self, request: web.Request) -> web.StreamResponse:
        info = await self._files.bucket_jobs.objects.head(self._bucket(request), request.match_info["key"])
        response = web.StreamResponse(headers=_headers(info))
        response.content_length = info.size_bytes
        return response

    async def put(self, request: web.Request) -> web.StreamResponse:
        info, job = await self._files.put(request, self._bucket(request), request.match_info["key"])
        shown = None if job is None else JobDocuments.of(self.gateway, request).row(job)
        return json_answer(PutFile(**msgspec.structs.asdict(file_document(info)), job=shown), 201)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        bucket, key = self._bucket(request), request.match_info["key"]
        if key.endswith("/"):
            raise NotFound("a folder exists only while it contains a file")
        await self._files.delete(bucket, key)
        return web.Response(status=204)

    def _bucket(self, request: web.Request) -> str:
        return self._files.enter(request, request.match_info["deployment"])


def _headers(info: ObjectInfo) -> dict[str, str]:
    return {
        **saved_headers(info.key.rpartition("/")[2], kind_of(info)),
        "Last-Modified": formatdate(info.modified, usegmt=True),
        "ETag": f'"{info.etag}"',
    }
