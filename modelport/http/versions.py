"""Versions in requests and answers: what was called, and which version answers."""

from __future__ import annotations

from aiohttp import web

from modelport.deployments.deployments import Deployment

# What a request holds, if the deployment that it calls shifts calls to a version.
CALLED = web.RequestKey("called", Deployment)
ANSWERS = web.RequestKey("answers", str)
HEADER = "X-Modelport-Version"
