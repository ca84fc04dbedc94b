"""A line in the log for each request. What may be secret, or is an argument, is not in it: queries, bodies, headers."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from modelport.http.forwarded import Proxies

logger = logging.getLogger("modelport.access")


def request_line(request: web.BaseRequest) -> str:
    """As the client sent it, without the query: a model's arguments stand there, and codes for signing in."""
    version = request.version
    return f"{request.method} {request.rel_url.raw_path} HTTP/{version.major}.{version.minor}"


def access_logger(proxies: Proxies) -> type[AbstractAccessLogger]:
    """What aiohttp's servers take for the parameter access_log_class."""

    class AccessLogger(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            client = proxies.client(request) or "-"
            line = request_line(request)
            self.logger.info('%s "%s" %d %d %.3f s', client, line, response.status, response.body_length, time)

    return AccessLogger
