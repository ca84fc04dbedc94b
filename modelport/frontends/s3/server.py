"""The port of the S3 front end: a server of its own, since S3's paths begin with the names of buckets."""

from __future__ import annotations

import errno
import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from modelport.bucketjobs import BucketJobs
from modelport.errors import ModelportError
from modelport.frontends.s3 import errors, listing, objects, requests, uploads
from modelport.frontends.s3.errors import S3Error
from modelport.frontends.s3.requests import Asked, Context
from modelport.http import gate
from modelport.http.body import receiving
from modelport.http.forwarded import Proxies
from modelport.http.protocol import Connections, local_url, options
from modelport.identity.guesses import Guesses
from modelport.objectstore import sigv4
from modelport.objectstore.parts import Uploads
from modelport.objectstore.tree import Tree
from modelport.settings import BadSetting, Settings

logger = logging.getLogger(__name__)

Operation = Callable[[Context, Asked], Any]


class Rule(NamedTuple):
    """An operation: by its method, what it is about, and the parameters that make it this one; it may have others.

    copy: what it is with a header that names a source.
    """

    operation: str
    do: Operation
    method: str
    about: str
    needed: str = ""
    allowed: str = ""
    copy: Operation | None = None


_LIST = "prefix delimiter max-keys encoding-type"
_LIST_2 = f"{_LIST} start-after continuation-token fetch-owner"
_READ = (
    "versionId partNumber response-content-type response-content-disposition response-content-encoding "
    "response-content-language response-cache-control response-expires"
)

# The first that fits. What is not here is not done.
RULES = (
    Rule(
        "ListBuckets", listing.list_buckets, "GET", "service", "", "max-buckets prefix bucket-region continuation-token"
    ),
    Rule("HeadBucket", listing.head_bucket, "HEAD", "bucket"),
    Rule("CreateBucket", listing.create_bucket, "PUT", "bucket"),
    Rule("GetBucketLocation", listing.locate_bucket, "GET", "bucket", "location"),
    Rule("GetBucketVersioning", listing.get_versioning, "GET", "bucket", "versioning"),
    Rule("GetBucketAcl", listing.get_acl, "GET", "bucket", "acl"),
    Rule("ListMultipartUploads", uploads.list_uploads, "GET", "bucket", "uploads", "prefix max-uploads encoding-type"),
    Rule("ListObjectsV2", listing.list_objects, "GET", "bucket", "list-type", _LIST_2),
    Rule("ListObjects", listing.list_objects, "GET", "bucket", "", f"{_LIST} marker"),
    Rule("DeleteObjects", objects.delete_objects, "POST", "bucket", "delete"),
    Rule("HeadObject", objects.head_object, "HEAD", "object", "", _READ),
    Rule("GetObjectTagging", objects.get_tagging, "GET", "object", "tagging", "versionId"),
    Rule("GetObjectAcl", objects.get_acl, "GET", "object", "acl", "versionId"),
    Rule("ListParts", uploads.list_parts, "GET", "object", "uploadId", "max-parts part-number-marker encoding-type"),
    Rule("GetObject", objects.get_object, "GET", "object", "", _READ),
    Rule("UploadPart", uploads.put_part, "PUT", "object", "partNumber uploadId", copy=uploads.copy_part),
    Rule("PutObject", uploads.put_object, "PUT", "object", copy=uploads.copy_object),
    Rule("CreateMultipartUpload", uploads.create_upload, "POST", "object", "uploads"),
    Rule("CompleteMultipartUpload", uploads.complete_upload, "POST", "object", "uploadId"),
    Rule("AbortMultipartUpload", uploads.abort_upload, "DELETE", "object", "uploadId"),
    Rule("DeleteObject", objects.delete_object, "DELETE", "object", "", "versionId"),
)

# Only the name that a client has for its own call, the signature, and what the SDKs' presigned URLs carry with them:
# the checksum in these is that of no body, since the body is not known when a URL is signed.
_SILENT = ("x-id", "X-Amz-", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-", "x-amz-user-agent")

DEFAULT_PORT = 9000
METHODS = frozenset(rule.method for rule in RULES)
EXPOSED = (
    *("ETag", "Content-Length", "Content-Range", "Content-Type", "Content-Disposition", "Last-Modified"),
    *("Accept-Ranges", "Location", "Retry-After", "x-amz-request-id", "x-amz-checksum-crc32", "x-amz-checksum-crc32c"),
    *("x-amz-checksum-crc64nvme", "x-amz-checksum-sha1", "x-amz-checksum-sha256"),
)
# Errors that say whether a key or a signature is right.
GUESSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch")
# How long the sockets may take to say goodbye after the last answer.
CLOSE_S = 1.0


class S3Server:
    """`start`, then `stop`. port: the real one, when it has started."""

    def __init__(self, settings: Settings, bucket_jobs: BucketJobs, tree: Tree, guesses: Guesses) -> None:
        self.port = settings.s3_port
        self._settings = settings
        self._keys = bucket_jobs.bucket_keys
        proxies = Proxies(settings)
        self._context = Context(settings, bucket_jobs, tree, Uploads(tree, settings.upload_kept_s), proxies)
        self._hosts = [host for host in (urlsplit(settings.s3_url).netloc,) if host]
        self._runner: web.ServerRunner | None = None
        self._gate = gate.Gate(
            settings, proxies, guesses, gate.PathRules(lambda _, error, status: errors.refusal(error, status))
        )
        self._gate.methods = _methods
        self._connections = Connections(settings, errors.refusal)

    async def start(self) -> None:
        """Raises BadSetting where the port is taken; the default one may be."""
        await self._context.uploads.load()
        self._runner = web.ServerRunner(
            web.Server(
                receiving(self._gate.wrap(self._answer)),
                access_log=None,  # it would have the signatures of presigned URLs
                **options(self._settings),
            ),
            handle_signals=False,
            shutdown_timeout=CLOSE_S,
        )
        await self._runner.setup()
        assert self._runner.server is not None
        try:
            self.port = await self._listen(self._runner.server)
        except BadSetting:
            await self.stop()
            raise
        self._keys.set_endpoint(self.url)

    async def _listen(self, server: web.Server) -> int:
        host, port = self._settings.listen_ip, self._settings.s3_port
        try:
            return await self._connections.listen(server, host, port)
        except OSError as error:
            if port != DEFAULT_PORT or error.errno != errno.EADDRINUSE:
                raise BadSetting(f"buckets cannot be served on {host}:{port} (s3_port): {error.strerror}") from error
        logger.warning("port %d is taken: the S3 endpoint takes a free one (setting s3_port)", port)
        return await self._connections.listen(server, host, 0)

    @property
    def url(self) -> str:
        """By which clients on this machine reach it."""
        return local_url(self._settings.listen_ip, self.port)

    async def stop(self) -> None:
        """Take no more; what is on its way has a moment."""
        self._connections.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._connections.close()

    # A request

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = requests.take_apart(request)
        asked.answer_headers = {"x-amz-request-id": asked.id, **self._gate.origins.headers(request, EXPOSED)}
        answer = await self._guarded(asked)
        if not answer.prepared:
            answer.headers.update(asked.answer_headers)
        return answer

    async def _guarded(self, asked: Asked) -> web.StreamResponse:
        request = asked.request
        try:
            done = self._let_in(asked)(self._context, asked)
            answer: web.StreamResponse = await done if inspect.isawaitable(done) else done
            return answer
        except ModelportError as error:
            failure = error
        except ConnectionError:
            raise  # the client has gone
        except Exception:
            logger.exception("S3 %s", request.method)
            failure = S3Error("InternalError")
        logger.debug("S3 %s: %s", request.method, errors.code_of(failure))
        resource = asked.path if asked.path.isprintable() else "/"
        answer = errors.response(failure, resource, asked.id, request.method)
        return await self._gate.refuse(request, answer) if errors.code_of(failure) in GUESSED else answer

    def _let_in(self, asked: Asked) -> Operation:
        """Whether the request is its client's, and what it may do. Returns the operation. Raises ModelportError."""
        requests.check_readable(asked)
        asked.claim = sigv4.read(asked.headers, asked.query)
        asked.access_key = asked.claim.access_key
        known = self._keys.secret_of(asked.access_key)
        if known is None:
            raise S3Error("InvalidAccessKeyId")
        secret, asked.buckets = known
        headers = list(asked.headers.items())
        method = asked.request.method
        asked.seed = sigv4.check(asked.claim, secret, method, asked.path, asked.query, headers, hosts=self._hosts)
        do = operation(asked)
        requests.check_headers(asked)
        if do == listing.create_bucket and asked.bucket not in self._keys.bucket_names():
            raise S3Error("AccessDenied", "Buckets are made with deployments.")
        if do != listing.list_buckets:
            self._context.check_bucket(asked, asked.bucket)
        return do


def operation(asked: Asked) -> Operation:
    """What is asked for. Raises S3Error NotImplemented for all that is not done here, and for versions."""
    if asked.params.get("versionId", "null") != "null":
        raise S3Error("NoSuchVersion")
    about = "object" if asked.key else "bucket" if asked.bucket else "service"
    names = {param for param in asked.params if not param.startswith(_SILENT)}
    for rule in RULES:
        if (rule.method, rule.about) == (asked.request.method, about):
            needed = {*rule.needed.split()}
            if needed <= names <= needed | {*rule.allowed.split()}:
                return rule.copy if rule.copy and "x-amz-copy-source" in asked.headers else rule.do
    raise S3Error("NotImplemented")


async def _methods(request: web.BaseRequest) -> frozenset[str]:
    return METHODS
