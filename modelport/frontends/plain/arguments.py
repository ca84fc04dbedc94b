"""What a plain request asks for: every value that was sent is an argument, or is refused by its name.

Others look for their arguments and leave the rest alone, as their clients expect; here a typing mistake must not
pass in silence.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from modelport.contract.card import Argument, Card
from modelport.contract.prediction import InputFile
from modelport.errors import InvalidArguments, InvalidRequest, ModelportError, UnsupportedMedia
from modelport.http.arguments import JSON, MULTIPART, NO_BODY, Body, gather, is_json, read_body
from modelport.http.body import FORM
from modelport.http.job_documents import shown
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
        super().__init__("; ".join(str(row["msg"]) for row in rows))
        self.rows = rows


# By wire name: the places it was sent in, as ("query", "5"), in the order in which `gather` prefers them.
Sent = dict[str, list[tuple[str, Any]]]


@dataclass(frozen=True)
class RequestArguments:
    """A request taken apart."""

    values: dict[str, Any]
    files: list[InputFile]
    sent: Sent
    request: web.Request

    def sources(self, plan: Plan) -> tuple[dict[str, tuple[str, Any]], str]:
        """Where each value came from, by wire name; and where one that is missing would have been."""
        sources = {name: places[0] for name, places in self.sent.items()}
        for name, argument in plan.known.items():
            if argument.location == "headers" and name in self.request.headers and name not in sources:
                sources[name] = "header", self.request.headers[name]
        in_query = self.request.method == "GET" or {place for place, _ in sources.values()} == {"query"}
        return sources, "query" if in_query else "body"


class Plan:
    """What a card says of the arguments.

    An argument that was sent is found wherever that was, whatever the plugin says of its location: the caller has a URL
    and a name. For one that was not, the header Accept counts, as it does at other front ends.
    """

    def __init__(self, card: Card) -> None:
        self.known = {argument.wire_name: argument for argument in card.predict_args}
        self.names = [argument.wire_name for argument in card.predict_args if not argument.read_only]
        self._places = [(arg.wire_name, _anywhere(arg), _elsewhere(arg)) for arg in card.predict_args]

    def arguments(self, sent: Sent) -> list[Argument]:
        """Those of the card, each with the location where it is to be found."""
        return [anywhere if name in sent else elsewhere for name, anywhere, elsewhere in self._places]


def _anywhere(argument: Argument) -> Argument:
    return dataclasses.replace(argument, location=None)


def _elsewhere(argument: Argument) -> Argument:
    by_header = argument.name == "accept" and argument.location is None
    return dataclasses.replace(argument, location="headers") if by_header else argument


async def read(request: web.Request, settings: Settings, scratch: Scratch, card: Card) -> RequestArguments:
    """Raises Refused, InvalidRequest, InvalidJson, UnsupportedMedia, TooLarge, StorageFull."""
    plan = card.derive(Plan)
    wants_object = _check_body(request)
    body = await read_body(request, settings, scratch)
    if body.json_error is not None:
        raise body.json_error
    if wants_object and body.json is None and body is not NO_BODY:
        raise Refused([row("dict_type", ["body"], 'the body must be a JSON object such as {"name": "value"}', None)])
    sent = _sent(request, body)
    if wrong := [*_unknown(request, sent, plan), *_misplaced(request, body, sent, plan)]:
        raise Refused(wrong)
    values, files = gather(plan.arguments(sent), request, body)
    return RequestArguments(values, files, sent, request)


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
        raise UnsupportedMedia(f"a body of type {kind:.100} is not supported; send {JSON}, {' or '.join(FORMS)}")
    return False


def _sent(request: web.Request, body: Body) -> Sent:
    sent: Sent = {}
    for name, parts in body.files.items():
        names = [part.filename for part in parts]
        sent.setdefault(name, []).append(("body", names[0] if len(names) == 1 else names))
    query = request.query
    for name in dict.fromkeys(query):
        values = query.getall(name)
        sent.setdefault(name, []).append(("query", values[0] if len(values) == 1 else values))
    for name, texts in body.form.items():
        sent.setdefault(name, []).append(("body", texts[0] if len(texts) == 1 else texts))
    for name, value in (body.json or {}).items():
        sent.setdefault(name, []).append(("body", value))
    return sent


def _unknown(request: web.Request, sent: Sent, plan: Plan) -> list[dict[str, Any]]:
    rows = {}
    for name in sent:
        if name not in plan.known:
            for place, value in sent[name]:
                rows[place, name] = row("extra_forbidden", [place, name], _who(name, plan.names, request), value)
    return list(rows.values())


def _who(name: str, names: Sequence[str], request: web.Request) -> str:
    if name.lstrip()[:1] == "{" and request.content_type in FORMS:
        return "the body looks like JSON: send it with the header Content-Type: application/json"
    near = difflib.get_close_matches(name[:SHOWN_CHARS], names, 1)
    listed = ", ".join(names[:SHOWN_NAMES]) + (" …" if len(names) > SHOWN_NAMES else "")
    hint = f"did you mean {near[0]}? " if near else ""
    return f"there is no argument {name[:SHOWN_CHARS]}; {hint}" + (f"there are {listed}" if names else "there is none")


def _misplaced(request: web.Request, body: Body, sent: Sent, plan: Plan) -> list[dict[str, Any]]:
    """What would be dropped in silence: a second value for one, a file where none is taken, text for a file."""
    rows = []
    json: Collection[str] = body.json or ()
    for name, argument in plan.known.items():
        if name not in sent:
            continue
        place, value = sent[name][0]
        several = 1  # JSON names a value once
        if name not in json:
            counts = len(body.form.get(name, ())), len(body.files.get(name, ())), len(request.query.getall(name, ()))
            several = max(counts)
        if len(sent[name]) > 1:
            type, text = "multiple_values", "it is given in several places"
            place, value = sent[name][1]
        elif several > 1 and not argument.multiple and argument.type != "array":
            type, text = "multiple_values", f"it is given {several} times; it takes one"
        elif not argument.is_file and name in body.files:
            type, text = "file_not_allowed", "it is not a file: send its value"
        elif argument.is_file and name not in body.files and value not in (None, "", []):
            type = "file_required"
            text = f"it is a file: send it as a part of multipart/form-data, as curl -F {name}=@path does"
        else:
            continue
        rows.append(row(type, [place, name], text, value, argument))
    return rows


# Errors as rows


def row(
    type: str, location: list[str | int], message: str, value: Any, argument: Argument | None = None
) -> dict[str, Any]:
    """A secret is not repeated: answers are kept in logs."""
    secret = argument is not None and argument.format == "password"
    return {"type": type, "loc": location, "msg": message, "input": None if secret else _shown(value)}


def _shown(value: Any) -> Any:
    """What was sent, or the beginning of it."""
    if isinstance(value, Large):
        return f"{value.head.decode(errors='replace')[:SHOWN_CHARS]}… ({value})"
    return shown(value)


def rows_of(
    error: InvalidArguments, sources: Mapping[str, tuple[str, Any]], missing: str, known: Mapping[str, Argument]
) -> list[dict[str, Any]]:
    """marshmallow's messages by field, however deep, as a flat list with the place of each.

    sources: where each value came from. missing: where one that is missing would have been. known: by wire name.
    """
    if not error.fields:
        return [row(VALUE_ERROR, [missing], error.message, None)]
    rows: list[dict[str, Any]] = []
    for name, messages in error.fields.items():
        place, value = sources.get(name, (missing, None))
        for path, text, part in _flat(messages, value):
            if len(rows) == SHOWN_ROWS:
                return [*rows, row(VALUE_ERROR, [missing], "there is more to be said", None)]
            rows.append(row(TYPES.get(text, VALUE_ERROR), [place, name, *path], text, part, known.get(name)))
    return rows


def _flat(messages: Any, value: Any) -> Iterator[tuple[list[str | int], str, Any]]:
    if isinstance(messages, dict):
        for key, inner_messages in messages.items():
            step, inner = _step(str(key), value)
            for path, text, part in _flat(inner_messages, inner):
                yield [*step, *path], text, part
    elif isinstance(messages, (list, tuple)):
        for message in messages:
            yield from _flat(message, value)
    else:
        yield [], str(messages), value


def _step(key: str, value: Any) -> tuple[list[str | int], Any]:
    if key == "_schema":
        return [], value
    if key.isdigit() and not isinstance(value, dict):
        index = int(key)
        return [index], value[index] if isinstance(value, list) and index < len(value) else None
    return [key], value.get(key) if isinstance(value, dict) else None
