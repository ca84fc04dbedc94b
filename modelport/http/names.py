"""What a downloaded answer is called, and what a browser may do with it."""

from __future__ import annotations

import mimetypes
import re
from urllib.parse import quote

JSON = "application/json"
STEM = "result"
NAME_CHARS = 120
SUFFIX_CHARS = 20

# Types for which Python has no suffix, or one that nobody expects.
SUFFIXES = {
    "application/gzip": ".gz",
    "application/octet-stream": ".bin",
    "application/x-hdf5": ".h5",
    "application/xml": ".xml",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "image/webp": ".webp",
    "text/plain": ".txt",
    "text/xml": ".xml",
    "video/webm": ".webm",
    "video/x-msvideo": ".avi",
}
# A temporary file's name is no name.
TEMPORARY = re.compile(r"(tmp|answer-)[a-z0-9_]{6,10}(\..*)?")

# Types that a browser would run scripts in, at our own origin; `sandbox` takes their origin from them.
ACTIVE = ("text/html", "text/xml", "application/xml", "text/xsl", "multipart/x-mixed-replace")  # and all that is …+xml
# For files that come from anybody, whatever their type: to be saved, not shown.
INERT = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}


def harmless(media_type: str) -> dict[str, str]:
    """Headers for what a model answers: a page of its own making must not act as whoever is signed in here."""
    kind = media_type.partition(";")[0].strip().lower()
    sandbox = {"Content-Security-Policy": "sandbox"} if kind in ACTIVE or kind.endswith("+xml") else {}
    return {"X-Content-Type-Options": "nosniff", **sandbox}


def answer_headers(filename: str | None, media_type: str) -> dict[str, str]:
    """What a browser is told of an answer that comes as it is: its name, unless it is JSON, and to run nothing in it.

    filename: the plugin's own.
    """
    headers = harmless(media_type)
    kind = media_type.partition(";")[0].strip().lower()
    if kind != JSON:
        headers["Content-Disposition"] = disposition(answer_name(filename, kind))
    return headers


def saved_headers(name: str, media_type: str) -> dict[str, str]:
    """To be saved, not shown: files come from anybody, and no page of theirs may be one of ours."""
    return {
        "Content-Type": media_type if media_type.isprintable() else "application/octet-stream",
        "Content-Disposition": disposition(name, "attachment"),
        **INERT,
        "Cache-Control": "private, no-cache",
    }


def answer_name(suggested: str | None, media_type: str) -> str:
    """The plugin's own name for its file where it is a safe one, else `result` with the suffix of the type."""
    kind = media_type.partition(";")[0].strip().lower()
    suffix = SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ""
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "_", suggested or "").strip(" .")
    if not name or TEMPORARY.fullmatch(name):
        return STEM + suffix
    if len(name) <= NAME_CHARS:
        return name
    end = "." + name.rpartition(".")[2]
    return name[:NAME_CHARS] if len(end) > SUFFIX_CHARS else name[: NAME_CHARS - len(end)] + end


def disposition(name: str, kind: str = "inline") -> str:
    """Of the header Content-Disposition; a name beyond ASCII in both forms that RFC 6266 has."""
    plain = "".join(character if " " <= character <= "~" and character not in '"\\%' else "_" for character in name)
    text = f'{kind}; filename="{plain}"'
    if plain == name:
        return text
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"{text}; filename*=UTF-8''{encoded}"
