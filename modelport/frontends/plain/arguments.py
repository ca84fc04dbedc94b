"""What a plain request asks for: every value that was sent is an argument, or is refused by its name.

Other doors look for their arguments and leave the rest alone, as their clients expect; here a typing mistake must not
pass in silence.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from modelport.contract.card import Argument
from modelport.contract.prediction import InputFile
from modelport.errors import InvalidArguments, InvalidRequest, ModelportError, UnsupportedMedia
from modelport.http.arguments import JSON, MULTIPART, NO_BODY, Body, gather, is_json, read_body
from modelport.http.body import FORM
from modelport.intake.jsonrest import Large
from modelport.intake.scratch import Scratch
from modelport.settings import Settings

FORMS = (FORM, MULTIPART)

# So many names are listed to who has written a wrong one, so much of a value is shown, so many errors are told.
SHOWN_NAMES = 30
SHOWN_CHARS = 200
SHOWN_ROWS = 100

# marshmallow's messages, and the words that programs know such errors by (those of pydantic).
TYPES = {
    "Missing data for required field.": "missing",
    "Field may not be null.": "none_not_allowed",
    "Unknown field.": "extra_forbidden",
    "Not a valid integer.": "int_parsing",
    "Not a valid number.": "float_parsing",
    "Not a valid boolean.": "bool_parsing",
    "Not a valid string.": "string_type",
    "Not a valid list.": "list_type",
    "Not a valid mapping type.": "dict_type",
}
VALUE_ERROR = "value_error"


class Refused(ModelportError):
    """Arguments that cannot be: `rows` are the answer's `detail`."""

    kind = InvalidArguments.kind

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__("; ".join(str(each["msg"]) for each in rows))
        self.rows = rows


@dataclass(frozen=True)
class RequestArguments:
    """A request taken apart.

    sources: where each value came from, by wire name: ("query", "5"). place: where one that is missing would have been.
    """

    values: dict[str, Any]
    files: list[InputFile]
    sources: dict[str, tuple[str, Any]]
    place: str


async def read(
    request: web.Request, settings: Settings, scratch: Scratch, arguments: Sequence[Argument]
) -> RequestArguments:
    """Raises Refused, InvalidRequest, InvalidJson, UnsupportedMedia, TooLarge, StorageFull."""
    wants_object = _check_body(request)
    body = await read_body(request, settings, scratch)
    if body.json_error is not None:
        raise body.json_error
    if wants_object and body.json is None and body is not NO_BODY:
        raise Refused([row("dict_type", ["body"], 'the body must be a JSON object such as {"name": "value"}', None)])
    sources = {name: (place, value) for place, name, value in reversed(list(_sent(request, body)))}
    if wrong := [*_unknown(request, body, arguments), *_misplaced(request, body, arguments)]:
        raise Refused(wrong)
    # An argument may come by any road, whatever the plugin says of its location: the caller has a URL and a name.
    anywhere = [
        _placed(argument, sources) if argument.wire_name in sources or argument.name == "accept" else argument
        for argument in arguments
    ]
    values, files = gather(anywhere, request, body)
    for argument in arguments:
        if (
            argument.wire_name in request.headers
            and argument.wire_name not in sources
            and argument.location == "headers"
        ):
            sources[argument.wire_name] = ("header", request.headers[argument.wire_name])
    in_query = request.method == "GET" or {place for place, _ in sources.values()} == {"query"}
    return RequestArguments(values, files, sources, "query" if in_query else "body")


def _placed(argument: Argument, sources: Mapping[str, Any]) -> Argument:
    """Where it is found. The header Accept counts where the argument is not given, as it does at other doors."""
    if argument.wire_name in sources:
        return argument if argument.location is None else dataclasses.replace(argument, location=None)
    by_header = argument.name == "accept" and argument.location is None
    return dataclasses.replace(argument, location="headers") if by_header else argument


def _check_body(request: web.Request) -> bool:
    """Whether a JSON body comes. Raises for one that nobody would read, before it is uploaded."""
    if not request.can_read_body:
        return False
    if request.method == "GET":
        raise InvalidRequest("a GET request has its arguments in the query; send a body by POST")
    kind = request.content_type
    if kind == JSON or is_json(kind):
        return True
    if kind not in FORMS:
        raise UnsupportedMedia(f"a body of type {kind:.100} is not read here; send {JSON}, {' or '.join(FORMS)}")
    return False


def _sent(request: web.Request, body: Body) -> Iterator[tuple[str, str, Any]]:
    """(place, name, value) of everything that was sent, in the order in which `gather` prefers it."""
    for name, parts in body.files.items():
        names = [part.filename for part in parts]
        yield "body", name, names[0] if len(names) == 1 else names
    for name in request.query:
        values = request.query.getall(name)
        yield "query", name, values[0] if len(values) == 1 else values
    for name, texts in body.form.items():
        yield "body", name, texts[0] if len(texts) == 1 else texts
    for name, value in (body.json or {}).items():
        yield "body", name, value


def _unknown(request: web.Request, body: Body, arguments: Sequence[Argument]) -> list[dict[str, Any]]:
    names = [argument.wire_name for argument in arguments if not argument.read_only]
    known = {argument.wire_name for argument in arguments}
    rows = {}
    for place, name, value in _sent(request, body):
        if name not in known:
            rows[place, name] = row("extra_forbidden", [place, name], _who(name, names, request), value)
    return list(rows.values())


def _who(name: str, names: Sequence[str], request: web.Request) -> str:
    if name.lstrip()[:1] == "{" and request.content_type in FORMS:
        return "the body looks like JSON: send it with the header Content-Type: application/json"
    near = difflib.get_close_matches(name[:SHOWN_CHARS], names, 1)
    listed = ", ".join(names[:SHOWN_NAMES]) + (" …" if len(names) > SHOWN_NAMES else "")
    hint = f"did you mean {near[0]}? " if near else ""
    return f"there is no argument {name[:SHOWN_CHARS]}; {hint}" + (f"there are {listed}" if names else "there is none")


def _misplaced(request: web.Request, body: Body, arguments: Sequence[Argument]) -> list[dict[str, Any]]:
    """What would be dropped in silence: a second value for one, a file where none is taken, text for a file."""
    rows = []
    for argument in arguments:
        name = argument.wire_name
        found = [(place, value) for place, sent, value in _sent(request, body) if sent == name]
        if len(found) > 1:
            rows.append(row("multiple_values", [found[1][0], name], "it is given in more than one place", found[1][1]))
            continue
        several = max(len(body.form.get(name, ())), len(body.files.get(name, ())), len(request.query.getall(name, ())))
        if several > 1 and not argument.multiple and argument.type != "array":
            rows.append(
                row("multiple_values", [found[0][0], name], f"it is given {several} times; it takes one", found[0][1])
            )
        elif not argument.is_file and name in body.files:
            rows.append(row("file_not_allowed", ["body", name], "it is not a file: send its value", found[0][1]))
        elif argument.is_file and name not in body.files and found and found[0][1] not in (None, "", []):
            text = f"it is a file: send it as a part of multipart/form-data, as curl -F {name}=@path does"
            rows.append(row("file_required", [found[0][0], name], text, found[0][1]))
    return rows


# Errors as rows


def row(type: str, location: list[str | int], message: str, given: Any) -> dict[str, Any]:
    return {"type": type, "loc": location, "msg": message, "input": _shown(given)}


def _shown(given: Any) -> Any:
    """What was sent; of long text the beginning, of what is large in other ways nothing."""
    if isinstance(given, Large):
        return f"{given.head.decode(errors='replace')[:SHOWN_CHARS]}… ({given})"
    if isinstance(given, str):
        return given if len(given) <= SHOWN_CHARS else given[:SHOWN_CHARS] + "…"
    if isinstance(given, (list, dict)) and len(json.dumps(given)) > 10 * SHOWN_CHARS:
        return f"{len(given)} {'values' if isinstance(given, list) else 'members'}"
    return given


def rows_of(error: InvalidArguments, given: RequestArguments, arguments: Sequence[Argument]) -> list[dict[str, Any]]:
    """marshmallow's messages by field, however deep, as a flat list with the place of each."""
    if not error.fields:
        return [row(VALUE_ERROR, [given.place], error.message, None)]
    by_wire = {each.wire_name: each for each in arguments}
    found: list[dict[str, Any]] = []
    for name, messages in error.fields.items():
        place, value = given.sources.get(name, (given.place, None))
        argument = by_wire.get(name)
        secret = argument is not None and argument.format == "password"
        for path, text, part in _flat(messages, value):
            shown = None if secret else part
            if len(found) == SHOWN_ROWS:
                return [*found, row(VALUE_ERROR, [given.place], "there is more to be said", None)]
            found.append(row(TYPES.get(text, VALUE_ERROR), [place, name, *path], text, shown))
    return found


def _flat(messages: Any, value: Any) -> Iterator[tuple[list[str | int], str, Any]]:
    if isinstance(messages, dict):
        for key, each in messages.items():
            step, inner = _step(str(key), value)
            for path, text, part in _flat(each, inner):
                yield [*step, *path], text, part
    elif isinstance(messages, (list, tuple)):
        for each in messages:
            yield from _flat(each, value)
    else:
        yield [], str(messages), value


def _step(key: str, value: Any) -> tuple[list[str | int], Any]:
    if key == "_schema":
        return [], value
    if key.isdigit() and not isinstance(value, dict):
        index = int(key)
        return [index], value[index] if isinstance(value, list) and index < len(value) else None
    return [key], value.get(key) if isinstance(value, dict) else None
