"""Raw values to the keyword arguments of a plugin's function, by the plugin's own fields.

Each field decides for itself: this module binds the fields once, hands every one its value, and gathers what they
refuse. It adds one kindness: a list or an object may come as text, JSON or Python (`"[1.2, -1.8]"`, `"{'c': 'd'}"`).
"""

from __future__ import annotations

import ast
import copy
import json
import traceback
from typing import Any, Mapping, Sequence

from modelport.child import compat, refusals
from modelport.child import fields as marshmallow_fields
from modelport.contract.card import Argument
from modelport.contract.prediction import InputFile
from modelport.errors import ModelFailed

# ast.literal_eval is slow, and long chains of operators exhaust the C stack of old interpreters: 16 KiB is far below
# what Python 3.8 survives. JSON text is not bounded here; the gateway bounds the body.
LITERAL_CHARS = 16 << 10
_NOTHING = object()


class Fields(dict):  # type: ignore[type-arg]
    """The plugin's fields by argument name, bound as deepaas binds them, described, and ready to read values."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.warnings: list[str] = []
        super().__init__(_bound({str(name): field for name, field in fields.items()}, self.warnings))
        self.arguments = [marshmallow_fields.describe(name, field, self.warnings) for name, field in self.items()]
        self._readers = [_Reader(argument, self[argument.name]) for argument in self.arguments]
        self._wires = [(argument.name, argument.wire_name) for argument in self.arguments]
        self._refusals = refusals.classes(self.values())

    def read(self, values: Mapping[str, Any], files: Sequence[InputFile] = ()) -> dict[str, Any]:
        """The keyword arguments for the plugin's function.

        values: raw values by argument name; a name that is no argument is ignored, as deepaas does.
        files: several of one argument make a list where the field is a list, else the first is taken.
        Raises InvalidArguments with every field at fault, keyed by wire name; ModelFailed where a field itself breaks.
        """
        if files:
            values = {**values, **self._uploads(files)}
        # What the fields may look at beside their own value, keyed as marshmallow keys it.
        around = {wire: values[name] for name, wire in self._wires if name in values}
        keywords: dict[str, Any] = {}
        refused: dict[str, Any] = {}
        for reader in self._readers:
            try:
                value = reader.read(around)
            except self._refusals as error:
                refused[reader.wire] = refusals.messages(error)
            except Exception as error:
                raise _broken(reader.name, error) from error
            else:
                if value is not reader.missing:
                    keywords[reader.keyword] = value
        if refused:
            sent = {reader.wire: reader.meant(around[reader.wire]) for reader in self._readers if reader.wire in around}
            raise refusals.invalid(self.arguments, refused, sent)
        return keywords

    def _uploads(self, files: Sequence[InputFile]) -> dict[str, Any]:
        values: dict[str, list[Any]] = {}
        for file in files:
            upload = compat.uploaded_file(file.name, file.path, file.content_type, file.filename)
            values.setdefault(file.argument, []).append(upload)
        lists = {argument.name for argument in self.arguments if argument.multiple}
        return {name: uploads if name in lists else uploads[0] for name, uploads in values.items()}


def _bound(fields: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    """Copies of the fields, bound to a schema made of them, as webargs does; they keep their order.

    Fields of a schema's instance are bound already and keep their first parent.
    """
    fields = {name: _instance(field) for name, field in fields.items()}
    proper = {name: field for name, field in fields.items() if marshmallow_fields.library(field) is not None}
    for field in list(proper.values())[:1]:
        try:
            schema = marshmallow_fields.library(field).Schema.from_dict(proper)()
            return {name: schema.fields.get(name, field) for name, field in fields.items()}
        except Exception as error:
            warnings.append(f"the arguments do not make a schema ({type(error).__name__}: {error}); each stands alone")
    return fields


def _instance(field: Any) -> Any:
    """`fields.Str` written without parentheses."""
    if isinstance(field, type) and callable(getattr(field, "deserialize", None)):
        try:
            return field()
        except Exception:
            return field  # describe says what it is
    return field


class _Reader:
    """One argument: takes its raw value, gives what the plugin receives."""

    def __init__(self, argument: Argument, field: Any) -> None:
        self.name = argument.name
        self.wire = argument.wire_name
        self.keyword = str(getattr(field, "attribute", None) or argument.name)
        self.missing = marshmallow_fields.missing(field)
        self.multiple = argument.multiple
        self.read_only = argument.read_only
        self.is_file = argument.is_file
        self.container, self.inner = _containers(field)
        self.literal_first = not _reads_itself(field)
        self.deserialize = getattr(field, "deserialize", lambda value, *_: value)
        has_default, default = marshmallow_fields.default(field)
        # deepaas pickled the arguments, so that a plugin could change its default list without spoiling the next call.
        self.fresh = default if has_default and isinstance(default, (list, dict, set, bytearray)) else None

    def read(self, around: Mapping[str, Any]) -> Any:
        """Raises marshmallow's ValidationError."""
        raw = around.get(self.wire, self.missing)
        if self.is_file and raw in ("", b""):
            raw = self.missing  # a browser sends an empty part for a file input that was left empty
        if self.read_only and raw is not self.missing:
            raise refusals.Refused("Unknown field.")
        if raw is self.missing:
            # The field's own word on a value that was not sent; its `deserialize` may be the plugin's.
            value = raw if self.read_only else self.deserialize(raw, self.wire, around)
            return copy.deepcopy(value) if self.fresh is not None and value is self.fresh else value
        if self.container is None:
            return self.deserialize(raw, self.wire, around)
        return self._first_that_fits(self._readings(raw), around)

    def _first_that_fits(self, readings: Sequence[Any], around: Mapping[str, Any]) -> Any:
        refused: list[Exception] = []
        for reading in readings:
            try:
                return self.deserialize(reading, self.wire, around)
            except Exception as error:
                refused.append(error)
        raise refused[0] from None

    def meant(self, raw: Any) -> Any:
        """What the field's messages speak of: their indexes count the elements of the text."""
        return raw if self.container is None else self._readings(raw)[0]

    def _readings(self, raw: Any) -> list[Any]:
        """What a value for a list or an object may mean, the likeliest first.

        Text in a list of one is what a query makes of `x=[1,2]`. A class of the plugin's own may want the text itself.
        """
        parsed = self._parsed(raw)
        if self.multiple and raw is not None and not isinstance(raw, (list, tuple, set)):
            raw = [raw]
        if parsed is _NOTHING:
            return [raw]
        return [parsed, raw] if self.literal_first else [raw, parsed]

    def _parsed(self, raw: Any) -> Any:
        """`raw` with its text read as JSON or Python; _NOTHING where there is nothing to read."""
        text = raw[0] if isinstance(raw, (list, tuple)) and len(raw) == 1 else raw
        if isinstance(text, str):
            value = _literal(text)
            if self.container == "object":
                return value if isinstance(value, dict) else _NOTHING
            if isinstance(value, (list, tuple, set)):
                # A list of lists that is given [1, 2] has one element.
                flat = self.inner == "array" and not any(isinstance(item, (list, tuple)) for item in value)
                return [list(value)] if flat and value else list(value)
            return [value] if isinstance(value, dict) and self.inner == "object" else _NOTHING
        if self.inner is not None and isinstance(raw, (list, tuple)) and all(isinstance(item, str) for item in raw):
            values = [_literal(item) for item in raw]
            return _NOTHING if _NOTHING in values or not values else values
        return _NOTHING


def _containers(field: Any) -> tuple[str | None, str | None]:
    """("array" or "object" or None, the same of an array's elements)."""
    own = marshmallow_fields.kind(field)[0]
    if own == "object" and (getattr(field, "many", False) or getattr(getattr(field, "nested", None), "many", False)):
        return "array", "object"
    if own not in ("array", "object"):
        return None, None
    element = marshmallow_fields.inner(field)
    return own, None if own == "object" or element is None else _containers(element)[0]


def _reads_itself(field: Any) -> bool:
    """The plugin's own class has its own way to read a value, so the value as sent goes first."""
    for cls in type(field).__mro__:
        if cls.__module__.partition(".")[0] in ("marshmallow", "webargs"):
            return hasattr(field, "delimiter")
        if "deserialize" in vars(cls) or "_deserialize" in vars(cls):
            return True
    return True


def _literal(text: str) -> Any:
    """The list or object that `text` spells; _NOTHING where it spells none."""
    text = text.strip()
    if text[:1] not in ("[", "{", "("):
        return _NOTHING
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > LITERAL_CHARS:
        return _NOTHING
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NOTHING


def _broken(name: str, error: Exception) -> ModelFailed:
    """A field that raises what is no validation error; an HTTP exception keeps its status."""
    status = getattr(error, "status", None)
    return ModelFailed(
        f"the plugin's field for {name!r} failed: {type(error).__name__}: {error}",
        status=status if isinstance(status, int) and 400 <= status <= 599 else None,
        detail=traceback.format_exc(),
    )
