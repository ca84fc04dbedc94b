"""The S3 front end: buckets for boto3, rclone, the AWS SDKs and browsers, on a port of its own.

Every request is checked here: its signature, whether its key reaches the bucket, whether the operation is one of those
that are done. objectstore/tree.py keeps the objects. An upload under inputs/ is answered when what follows from it has
been begun.
"""

from __future__ import annotations

from aiohttp import web

from modelport.frontends.s3.server import S3Server
from modelport.http.frontend import GatewayFrontend


class S3Frontend(GatewayFrontend):
    """Opens its port when the server starts, where buckets are the server's own; else it does nothing.

    Of the gateway it needs the buckets, and the count of wrong secrets for a port of its own.
    """

    server: S3Server | None = None  # None where there is no port

    def add_routes(self, app: web.Application) -> None:
        app.on_startup.append(self._open)
        app.on_cleanup.append(self._close)

    async def _open(self, app: web.Application) -> None:
        """Raises BadSetting where the port that was asked for is taken."""
        gateway, bucket_jobs = self.gateway, self.gateway.bucket_jobs
        if bucket_jobs is not None and bucket_jobs.tree is not None:
            self.server = S3Server(gateway.settings, bucket_jobs, bucket_jobs.tree, gateway.guesses)
            await self.server.start()

    async def _close(self, app: web.Application) -> None:
        if self.server is not None:
            await self.server.stop()
