"""What `predict` returned, as bytes and a media type.

    accept                        returned                          answer
    none, JSON, */*               what JSON can say                 JSON
    none                          bytes, a file, a generator        the bytes, type guessed
    another                       text, bytes, a file, parts        the bytes, under the type asked for
    another, not text             the path of a file, as text       the file, where this call wrote it; else ModelFailed
    another                       anything else                     ModelFailed

Large answers are copied to the prediction's scratch folder: never is the plugin's own file handed on, since the next
prediction may overwrite it.
"""

from __future__ import annotations

import io
import json
import mimetypes
import mmap
import os
import re
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from modelport.child import content, jsontext, ownfiles
from modelport.child.content import Source
from modelport.child.ownfiles import OwnFiles
from modelport.contract.magic import HEAD_BYTES
from modelport.contract.prediction import Outcome
from modelport.errors import ModelFailed

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf'[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[^"\\\r\n\x00-\x08\x0b-\x1f\x7f-\uffff]*")'
MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:{_PARAMETER})*\Z")
CHARSET = re.compile(r';\s*charset="?([^";\s]+)', re.IGNORECASE)
JSON = "application/json"
# A larger file is sent as bytes: to see that it is JSON, it has to be in memory.
JSON_BYTES = 256 << 20
BINARY = (bytes, bytearray, memoryview, mmap.mmap)
TYPE_CHARS = 255
SHOWN_CHARS = 200
# Media types outside text/* whose content is text all the same, beside those that end in +json, +xml or +yaml.
TEXTS = {
    f"application/{name}"
    for name in ("json", "xml", "yaml", "x-yaml", "toml", "javascript", "x-ndjson", "jsonl", "sql", "rtf", "x-sh")
}


def encode(
    value: Any,
    accept: str | None,
    scratch: str,
    inline_limit_bytes: int,
    own: OwnFiles | None = None,
    nan: str = "null",
) -> Outcome:
    """The answer in the media type `accept`; None: the plugin has no `accept` argument.

    scratch: the prediction's folder, made when it is needed. own: which files a path in the answer may name; by default
    those in `scratch`. nan: see `jsontext`.
    Raises ModelFailed, StorageFull, and whatever a generator of the plugin raises.
    """
    accept = _media_type(accept)
    own = OwnFiles(scratch) if own is None else own
    name = "" if accept is None else accept.partition(";")[0].strip().lower()
    if accept is None:
        value, source = _unasked(value, own)
    elif name in (JSON, "*/*") or name.endswith("+json"):
        source = None if value is None or not name.endswith("+json") else _source(value, name, own)
        if source is None and (isinstance(value, BINARY) or hasattr(value, "read")):
            raise ModelFailed(f"the model returned {_shown(value)} where {name} was asked for")
    else:
        source = _source(value, name, own)
        if source is None:
            raise ModelFailed(f"the model returned {_shown(value)} where {accept} was asked for")
    if source is None:
        json_type = name if name.endswith("+json") else JSON
        text = jsontext.encode(value, nan)
        if len(text) <= inline_limit_bytes:
            return Outcome(json_type, text)
        return _put(Source(parts=[text]), json_type, scratch, inline_limit_bytes)
    return _if_json(_put(source, accept, scratch, inline_limit_bytes), accept)


def _media_type(accept: str | None) -> str | None:
    if accept is not None and (len(accept) > TYPE_CHARS or not MEDIA_TYPE.match(accept)):
        raise ModelFailed(f"{accept[:SHOWN_CHARS]!r} is not a media type")
    return accept


def _unasked(value: Any, own: OwnFiles) -> tuple[Any, Source | None]:
    """Without a type asked for: JSON unless the value can only be bytes."""
    if value is None or isinstance(value, (str, tuple)):
        return value, None
    if isinstance(value, os.PathLike) and not os.path.isfile(value):
        return value, None
    if is_parts(value):
        iterator = iter(value)
        first = list(islice(iterator, 1))
        if first and isinstance(first[0], (bytes, bytearray)):
            return value, Source(parts=chain(first, iterator), close=value)
        return list(chain(first, iterator)), None
    return value, _source(value, "", own)


def is_parts(value: Any) -> bool:
    """Whether it comes piece by piece: a generator, or another iterator."""
    return hasattr(value, "__next__") and hasattr(value, "__iter__") and not hasattr(value, "read")


def _source(value: Any, asked: str, own: OwnFiles) -> Source | None:
    """Where the bytes of `value` come from; None where it has none."""
    if value is None:
        return Source(parts=[])
    if isinstance(value, str):
        return _text_or_file(value, asked, own)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Source(parts=[value])
    if isinstance(value, os.PathLike):
        return content.of_descriptor(own.open_object(os.fspath(value)), os.fspath(value))
    if isinstance(value, tuple) and hasattr(value, "original_filename") and hasattr(value, "filename"):
        # deepaas' ReturnedFile, made by the plugin itself.
        name = value.original_filename or value.filename
        return content.of_descriptor(own.open_object(str(value.filename)), name)
    if callable(getattr(value, "read", None)):
        return content.of_file(value)
    if is_parts(value):
        return Source(parts=value, close=value)
    return None


def _text_or_file(text: str, asked: str, own: OwnFiles) -> Source:
    """Text is text: what a client sent and a model echoes must not read files. See `ownfiles`."""
    if asked.startswith("text/") or asked in TEXTS or asked.endswith(("+json", "+xml", "+yaml")):
        real = own.in_scratch(text)
        return Source(parts=[text]) if real is None else content.of_descriptor(own.open(real, asked), text)
    # Such as "plot.pdf" where a PDF was asked for.
    named = len(text) <= ownfiles.PATH_CHARS and len(text.split()) == 1 and mimetypes.guess_type(text)[0] == asked
    if named or ownfiles.names_a_file(text):
        return content.of_descriptor(own.open(text, asked), text)
    return Source(parts=[text])


def _put(source: Source, accept: str | None, scratch: str, inline_limit_bytes: int) -> Outcome:
    asked = CHARSET.search(accept or "")
    source.charset = asked[1].lower() if asked else content.UTF8
    try:
        body, path = content.put(source, scratch, inline_limit_bytes)
    finally:
        source.done()
    media_type = accept or content.BINARY
    if accept is None or accept.partition("/")[2].startswith("*"):
        head = body[:HEAD_BYTES] if path is None else content.head(path)
        media_type = content.guess(head, source.name, accept)
        if media_type == content.BINARY and source.was_text and accept == "text/*":
            media_type = "text/plain"
    if source.was_text and media_type.startswith("text/") and asked is None:
        media_type += "; charset=utf-8"
    return Outcome(media_type, body, path, source.name)


def _if_json(encoded: Outcome, accept: str | None) -> Outcome:
    """What the model calls JSON, by a file's name or as it was asked, may hold anything; front ends put JSON into
    envelopes of their own, unread. Raises ModelFailed where it was asked for and is none."""
    name = encoded.media_type.partition(";")[0].lower()
    if (name != JSON and not name.endswith("+json")) or _holds_json(encoded):
        return encoded
    if accept is not None and not accept.partition("/")[2].startswith("*"):
        raise ModelFailed(f"the model returned what is not JSON where {accept} was asked for")
    return replace(encoded, media_type=content.BINARY)


def _holds_json(encoded: Outcome) -> bool:
    try:
        if encoded.path is not None and os.path.getsize(encoded.path) > JSON_BYTES:
            return False
        data = encoded.body if encoded.path is None else Path(encoded.path).read_bytes()
        # Numbers and objects are dropped as they are read: only their text must be in order.
        json.loads(
            data.decode(), parse_float=_nothing, parse_int=_nothing, parse_constant=_refuse, object_pairs_hook=_nothing
        )
    except (ValueError, RecursionError, MemoryError):
        return False
    return True


def _nothing(_: Any) -> None:
    return None


def _refuse(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _shown(value: Any) -> str:
    """What was returned, for the message: the type, and for plain values their beginning."""
    name = type(value).__name__
    if isinstance(value, (dict, list, tuple, int, float, bool)):
        text = repr(value)
        return f"{name} {text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + '…'}"
    if isinstance(value, io.IOBase) and not isinstance(value, (io.BytesIO, io.StringIO)):
        return f"an open file ({name})"
    return name
