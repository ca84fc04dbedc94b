"""Pages beside the dashboard: what a browser gets at the root, and Swagger UI, which works without the internet."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from aiohttp import web

from modelport.intake.accept import ranges

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{head}
</head>
<body>
{body}
</body>
</html>
"""

# Swagger UI sets styles on elements; everything else comes from files of our own. Pictures in answers are blobs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
SWAGGER_HEAD = """<link rel="icon" type="image/png" sizes="32x32" href="{assets}favicon-32x32.png">
<link rel="icon" type="image/png" sizes="16x16" href="{assets}favicon-16x16.png">
<link rel="stylesheet" href="{assets}swagger-ui.css">"""
SWAGGER_BODY = """<div id="swagger-ui" data-document="{document}"></div>
<noscript>This page needs JavaScript; the document itself is at <a href="{document}">{document}</a>.</noscript>
<script src="{assets}swagger-ui-bundle.js"></script>
<script src="{assets}init.js"></script>"""

# No script, no picture, nothing from elsewhere.
GREETING_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "table{border-collapse:collapse}td{padding:.25rem 1rem .25rem 0;vertical-align:top}code{font-size:.95em}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}"
)
GREETING = """<h1>{title}</h1>
<p>This server serves machine-learning models. These are its interfaces:</p>
<table>
{rows}
</table>
<p>{note}</p>"""


def swagger_page(title: str, document_url: str, assets_url: str) -> str:
    """An HTML page that shows the Swagger or OpenAPI document at `document_url`; send it with POLICY.

    assets_url: where static/swagger is served, with or without a final slash.
    """
    assets = escape(assets_url.rstrip("/")) + "/"
    body = SWAGGER_BODY.format(document=escape(document_url), assets=assets)
    return PAGE.format(title=escape(title), head=SWAGGER_HEAD.format(assets=assets), body=body)


def wants_page(request: web.Request) -> bool:
    """A browser names text/html; programs say nothing, */* or application/json."""
    named = [
        media_type
        for media_type in ranges(request.headers.get("Accept", ""))
        if media_type in ("text/html", "application/json")
    ]
    return named[:1] == ["text/html"]


def greeting(title: str, links: Iterable[tuple[str, str, bool]], note: str) -> web.Response:
    """links: (path, what it is, whether a browser can follow it)."""
    rows = []
    for path, what, link in links:
        shown = f"<code>{escape(path)}</code>"
        place = f'<a href="{escape(path)}">{shown}</a>' if link else shown
        rows.append(f"<tr><td>{place}</td><td>{escape(what)}</td></tr>")
    body = GREETING.format(title=escape(title), rows="\n".join(rows), note=escape(note))
    return web.Response(
        text=PAGE.format(title=escape(title), head=f"<style>{STYLE}</style>", body=body),
        content_type="text/html",
        headers={"Content-Security-Policy": GREETING_POLICY, "X-Content-Type-Options": "nosniff", "Vary": "Accept"},
    )
