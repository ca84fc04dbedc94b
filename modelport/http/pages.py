"""The documentation pages: Swagger UI, shipped with us, so that it works without the internet."""

from __future__ import annotations

from html import escape

# Swagger UI sets styles on elements; everything else comes from files of our own. Pictures in answers are blobs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" sizes="32x32" href="{assets}favicon-32x32.png">
<link rel="icon" type="image/png" sizes="16x16" href="{assets}favicon-16x16.png">
<link rel="stylesheet" href="{assets}swagger-ui.css">
</head>
<body>
<div id="swagger-ui" data-document="{document}"></div>
<noscript>This page needs JavaScript; the document itself is at <a href="{document}">{document}</a>.</noscript>
<script src="{assets}swagger-ui-bundle.js"></script>
<script src="{assets}init.js"></script>
</body>
</html>
"""


def swagger_page(title: str, document_url: str, assets_url: str) -> str:
    """An HTML page that shows the Swagger or OpenAPI document at `document_url`; send it with POLICY.

    assets_url: where static/swagger is served, with or without a final slash.
    """
    return PAGE.format(title=escape(title), document=escape(document_url), assets=escape(assets_url.rstrip("/")) + "/")
