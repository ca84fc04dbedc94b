"""What `predict` returned, as bytes and a media type.

    accept                        returned                          answer
    none, JSON, */*               what JSON can say                 JSON
    none                          bytes, a file, a generator        the bytes, type guessed
    another                       text, bytes, a file, parts        the bytes, under the type asked for
    another                       anything else                     ModelFailed

Large answers are copied to the prediction's scratch folder: never is the plugin's own file handed on, since the next
prediction may overwrite it.
"""

from __future__ import annotations

import io
import mmap
import os
import re
from dataclasses import dataclass
from itertools import chain
from typing import Any, Iterable

from modelport.child import content, jsontext
from modelport.child.content import Source
from modelport.contract.magic import HEAD_BYTES
from modelport.errors import ModelFailed

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf'[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[^"\\\r\n\x00-\x08\x0b-\x1f\x7f-\uffff]*")'
MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:{_PARAMETER})*\Z")
JSON = "application/json"
TYPE_CHARS = 255
SHOWN_CHARS = 200
PATH_CHARS = 4096


@dataclass(frozen=True)
class Encoded:
    """An answer: `body`, or the file `path` in the scratch folder where it is large.

    filename: the last part of the name that the plugin gave its file.
    """

    media_type: str
    body: bytes = b""
    path: str | None = None
    filename: str | None = None


def encode(value: Any, accept: str | None, scratch: str, inline_limit_bytes: int) -> Encoded:
    """The answer in the media type `accept`; None: the plugin has no `accept` argument.

    scratch: the prediction's folder, made when it is needed. Raises ModelFailed, StorageFull, and whatever a
    generator of the plugin raises.
    """
    accept = _media_type(accept)
    name = "" if accept is None else accept.partition(";")[0].strip().lower()
    if accept is None:
        value, source = _unasked(value, scratch)
    elif name in (JSON, "*/*") or name.endswith("+json"):
        source = None if value is None or not name.endswith("+json") else _source(value, scratch)
        if source is None:
            _refuse_binary(value, name)
    else:
        source = _source(value, scratch)
        if source is None:
            raise ModelFailed(f"the model returned {_shown(value)} where {accept} was asked for")
    if source is None:
        json_type = name if name.endswith("+json") else JSON
        return _put(Source(parts=[jsontext.encode(value)]), json_type, scratch, inline_limit_bytes)
    return _put(source, accept, scratch, inline_limit_bytes)


def _media_type(accept: str | None) -> str | None:
    if accept is not None and (len(accept) > TYPE_CHARS or not MEDIA_TYPE.match(accept)):
        raise ModelFailed(f"{accept[:SHOWN_CHARS]!r} is not a media type")
    return accept


def _unasked(value: Any, scratch: str) -> tuple[Any, Source | None]:
    """Without a type asked for: JSON unless the value can only be bytes."""
    if value is None or isinstance(value, (str, tuple)):
        return value, None
    if isinstance(value, os.PathLike) and not os.path.isfile(value):
        return value, None
    if _is_parts(value):
        iterator = iter(value)
        first = list(_first(iterator))
        if first and isinstance(first[0], (bytes, bytearray)):
            return value, Source(parts=chain(first, iterator), close=value)
        return list(chain(first, iterator)), None
    return value, _source(value, scratch)


def _first(iterator: Any) -> Iterable[Any]:
    for each in iterator:
        yield each
        return


def _is_parts(value: Any) -> bool:
    return hasattr(value, "__next__") and hasattr(value, "__iter__") and not hasattr(value, "read")


def _refuse_binary(value: Any, asked: str) -> None:
    binary = isinstance(value, (bytes, bytearray, memoryview, mmap.mmap)) or hasattr(value, "read")
    if binary:
        raise ModelFailed(f"the model returned {_shown(value)} where {asked} was asked for")


def _source(value: Any, scratch: str) -> Source | None:
    """Where the bytes of `value` come from; None where it has none."""
    if value is None:
        return Source(parts=[])
    if isinstance(value, str):
        own = _own_file(value, scratch)
        return Source(parts=[value]) if own is None else content.of_path(own)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Source(parts=[value])
    if isinstance(value, os.PathLike):
        return content.of_path(os.fspath(value))
    if isinstance(value, tuple) and hasattr(value, "original_filename") and hasattr(value, "filename"):
        # deepaas' ReturnedFile, made by the plugin itself.
        return content.of_path(str(value.filename), name=value.original_filename)
    if callable(getattr(value, "read", None)):
        return content.of_file(value)
    if _is_parts(value):
        return Source(parts=value, close=value)
    return None


def _own_file(text: str, scratch: str) -> str | None:
    """A file of this prediction's own, if `text` is its path.

    Text is text: what a client sent and a model echoes must not read files. Only a path inside the scratch folder,
    links resolved, can be nothing but an answer or an upload of this very call.
    """
    if not scratch or len(text) > PATH_CHARS or not os.path.isabs(text) or "\0" in text:
        return None
    real, folder = os.path.realpath(text), os.path.realpath(scratch)
    return real if real.startswith(folder + os.sep) and os.path.isfile(real) else None


def _put(source: Source, accept: str | None, scratch: str, inline_limit_bytes: int) -> Encoded:
    try:
        body, path = content.put(source, scratch, inline_limit_bytes)
    finally:
        source.done()
    media_type = accept
    if accept is None or accept.partition("/")[2].startswith("*"):
        head = body[:HEAD_BYTES] if path is None else content.head(path)
        media_type = content.guess(head, source.name, accept)
    return Encoded(media_type or content.BINARY, body, path, source.name)


def _shown(value: Any) -> str:
    """What was returned, for the message: the type, and for plain values their beginning."""
    name = type(value).__name__
    if isinstance(value, (dict, list, tuple, int, float, bool)):
        text = repr(value)
        return f"{name} {text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + '…'}"
    if isinstance(value, io.IOBase) and not isinstance(value, (io.BytesIO, io.StringIO)):
        return f"an open file ({name})"
    return name
