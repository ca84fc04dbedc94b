"""The page that a browser gets at the root: what this is and where its doors are. It holds nothing of the models."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from aiohttp import web

from modelport.intake.accept import ranges

# No script, no picture, nothing from elsewhere.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "table{border-collapse:collapse}td{padding:.25rem 1rem .25rem 0;vertical-align:top}code{font-size:.95em}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}"
)

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>This server serves machine-learning models. These are its interfaces:</p>
<table>
{rows}
</table>
<p>{note}</p>
</body>
</html>
"""


def wants_page(request: web.Request) -> bool:
    """A browser names text/html; programs say nothing, */* or application/json."""
    named = [each for each in ranges(request.headers.get("Accept", "")) if each in ("text/html", "application/json")]
    return named[:1] == ["text/html"]


def greeting(title: str, doors: Iterable[tuple[str, str, bool]], note: str) -> web.Response:
    """doors: (path, what it is, whether a browser can follow it)."""
    rows = []
    for path, what, link in doors:
        shown = f"<code>{escape(path)}</code>"
        place = f'<a href="{escape(path)}">{shown}</a>' if link else shown
        rows.append(f"<tr><td>{place}</td><td>{escape(what)}</td></tr>")
    html = PAGE.format(title=escape(title), style=STYLE, rows="\n".join(rows), note=escape(note))
    return web.Response(
        text=html,
        content_type="text/html",
        headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Vary": "Accept"},
    )
