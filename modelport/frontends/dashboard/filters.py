"""Values as people read them, and Markdown as harmless HTML."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from modelport.catalogue import Module
from modelport.contract.card import Argument

# Pictures would have to come from elsewhere, and forms and styles are ours alone.
TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "th": {"align"}, "td": {"align"}, "ol": {"start"}}
# The page has a heading of its own.
LOWER = str.maketrans("123456", "345666")

# The type of the element by the format of the argument.
DATES = {"date": "date", "time": "time", "date-time": "datetime-local"}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@functools.lru_cache(maxsize=256)
def markdown(text: str) -> Markup:
    """HTML in the text is shown as text, and what comes out is cleaned all the same."""
    import nh3  # loaded for the first text, not when the server starts
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = token.tag.translate(LOWER)
    html = parser.renderer.render(tokens, parser.options, {})
    clean = nh3.clean(
        html, tags=TAGS, attributes=ATTRIBUTES, url_schemes={"http", "https", "mailto"}, link_rel="noopener noreferrer"
    )
    return Markup(clean)  # noqa: S704 (cleaned in the line before)


def size(count: float | None) -> str:
    """Bytes: 1536 → 1.5 KiB."""
    if count is None:
        return "–"
    value, unit = float(count), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.3g} {UNITS[unit]}"


def seconds(value: float | None) -> str:
    """0.0123 → 12 ms."""
    if value is None:
        return "–"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    if value < 7200:
        return f"{value / 60:.3g} min"
    return f"{value / 3600:.3g} h" if value < 172800 else f"{value / 86400:.3g} days"


def when(text: str | None) -> str:
    """2026-06-11T10:50:46Z → how long ago, roughly."""
    if not text:
        return "–"
    past = (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()
    if past < 60:
        return "just now"
    for limit, unit, name in ((3600, 60, "minute"), (86400, 3600, "hour"), (30 * 86400, 86400, "day")):
        if past < limit:
            count = math.floor(past / unit)
            return f"{count} {name}{'s' if count != 1 else ''} ago"
    return text[:10]


def as_json(value: Any) -> str:
    """For an attribute or an element's text: escaped like any other."""
    return json.dumps(value, ensure_ascii=False)


def deployable(module: Module) -> dict[str, Any]:
    """What POST /deployments is told of a module."""
    return {"module": module.module, **({"python": module.python} if module.python else {})}


def anchor(text: str) -> str:
    """For an element's id: the same for the same text, whatever is in it."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def number(value: float) -> str:
    return f"{value:,}".replace(",", "\u2009")  # thin spaces: no language reads them as a point


def type_words(argument: Argument) -> str:
    plural = {"string": "texts", "integer": "whole numbers", "number": "numbers", "file": "files"}
    if argument.type == "array" and argument.item is not None:
        return f"list of {plural.get(argument.item.type, type_words(argument.item))}"
    words = {"string": "text", "integer": "whole number", "boolean": "yes or no", "array": "list"}
    return words.get(argument.type, argument.type)


def limits(argument: Argument) -> str:
    """What a value may be, in words."""
    if argument.choices:
        return " · ".join(str(choice) for choice in argument.choices)
    low, high = argument.minimum, argument.maximum
    if low is not None and high is not None:
        return f"{low} – {high}"
    if low is not None:
        return f"{'more than' if argument.exclusive_minimum else 'at least'} {low}"
    if high is not None:
        return f"{'less than' if argument.exclusive_maximum else 'at most'} {high}"
    return ""


_BY_NAME: tuple[Any, ...] = (markdown, size, seconds, when, as_json, number, anchor, type_words, limits, deployable)
FILTERS: dict[str, Callable[..., Any]] = {function.__name__: function for function in _BY_NAME}
FILTERS["date_input"] = DATES.__getitem__
