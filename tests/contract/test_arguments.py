"""Arguments: where they are read from, how they are converted, what is refused (contract, 1.2, 1.3, 2.2, 2.3)."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from tests.house import Answer, House

pytestmark = pytest.mark.asyncio(loop_scope="package")

# What arrives when nothing is sent: the defaults, unconverted and unvalidated.
DEFAULTS = {"old": ["str", "m"], "new": ["int", "3"], "wrong_default": ["float", "0.8"], "none": ["NoneType", "None"]}


async def seen(server: House, query: Any = None, **options: Any) -> dict[str, list[str]]:
    """Type and text of each argument that predict received, without the defaults."""
    answer = await server.predict(query, "arguments", **options)
    assert answer.status == 200, answer.text
    rows = {name: [kind, text] for name, kind, text in answer.json()["predictions"]}
    return {name: row for name, row in rows.items() if DEFAULTS.get(name) != row}


async def refused(server: House, query: Any = None, **options: Any) -> Any:
    answer = await server.predict(query, "arguments", **options)
    assert (answer.status, answer.type) == (422, "application/json"), answer.text
    return answer.json()


async def test_absent_arguments_are_absent_and_defaults_are_as_they_were_written(server: House) -> None:
    answer = await server.predict(name="arguments")
    assert {name: [kind, text] for name, kind, text in answer.json()["predictions"]} == DEFAULTS


async def test_arguments_come_in_the_order_of_their_declaration(server: House) -> None:
    query = {"ranged": "1", "s": "x", "choice": "red", "f": "1"}
    answer = await server.predict(query, "arguments")
    names = [prediction[0] for prediction in answer.json()["predictions"]]
    assert names == ["s", "f", "old", "new", "wrong_default", "none", "choice", "ranged"]


async def test_unknown_arguments_are_dropped(server: House) -> None:
    assert await seen(server, {"nothing": "1"}, data={"more": "2"}) == {}
    assert await seen(server, json={"nothing": {"deep": 1}, "s": "x"}) == {"s": ["str", "x"]}


@pytest.mark.parametrize(
    ("name", "sent", "kind", "text"),
    [
        ("s", "text é", "str", "text é"),
        ("s", "", "str", ""),
        ("i", "7", "int", "7"),
        ("i", "-7", "int", "-7"),
        ("f", "1e3", "float", "1000.0"),
        *(
            ("b", word, "bool", "True")
            for word in ["t", "T", "true", "True", "TRUE", "on", "On", "ON", "y", "Y", "yes", "Yes", "YES", "1"]
        ),
        *(
            ("b", word, "bool", "False")
            for word in ["f", "F", "false", "False", "FALSE", "off", "Off", "OFF", "n", "N", "no", "No", "NO", "0"]
        ),
        ("url", "https://example.org/a?b=c", "str", "https://example.org/a?b=c"),
        ("email", "a@example.org", "str", "a@example.org"),
        ("uuid", "12345678-1234-5678-1234-567812345678", "UUID", "12345678-1234-5678-1234-567812345678"),
        ("date", "2026-01-31", "date", "2026-01-31"),
        ("when", "2026-01-31T12:00:00", "datetime", "2026-01-31 12:00:00"),
        ("dl", "1,2,3", "list", "[1, 2, 3]"),
        ("raw", "anything", "str", "anything"),
        ("field", "", "str", ""),
        ("old", "never listed", "str", "never listed"),
        ("new", "99", "int", "99"),
        ("choice", "red", "str", "red"),
        ("ranged", "9", "int", "9"),
        ("bbox(N,W)", "1,2", "str", "1,2"),
    ],
)
async def test_text_is_converted_alike_from_query_and_form(
    server: House, name: str, sent: str, kind: str, text: str
) -> None:
    assert await seen(server, {name: sent}) == {name: [kind, text]}
    assert await seen(server, data={name: sent}) == {name: [kind, text]}
    multipart = aiohttp.FormData(default_to_multipart=True)
    multipart.add_field(name, sent)
    assert await seen(server, data=multipart) == {name: [kind, text]}


@pytest.mark.parametrize(
    ("name", "sent", "message"),
    [
        ("i", "", "Not a valid integer."),
        ("i", "3.0", "Not a valid integer."),
        ("i", "abc", "Not a valid integer."),
        ("f", "nan", "Special numeric values (nan or infinity) are not permitted."),
        ("f", "inf", "Special numeric values (nan or infinity) are not permitted."),
        ("f", "abc", "Not a valid number."),
        ("b", "", "Not a valid boolean."),
        ("b", "maybe", "Not a valid boolean."),
        ("d", "text", "Not a valid mapping type."),
        ("url", "nothing", "Not a valid URL."),
        ("email", "nobody", "Not a valid email address."),
        ("uuid", "1234", "Not a valid UUID."),
        ("date", "31.1.2026", "Not a valid date."),
        ("when", "noon", "Not a valid datetime."),
        ("choice", "blue", "Must be one of: red, green."),
        ("ranged", "10", "Must be greater than or equal to 1 and less than or equal to 9."),
        ("hidden", "x", "Unknown field."),
    ],
)
async def test_what_a_field_refuses_is_422_with_marshmallows_message(
    server: House, name: str, sent: str, message: str
) -> None:
    assert await refused(server, {name: sent}) == {name: [message]}
    assert await refused(server, data={name: sent}) == {name: [message]}


@pytest.mark.parametrize(
    ("name", "sent", "kind", "text"),
    [
        ("s", "text", "str", "text"),
        ("i", 7, "int", "7"),
        ("i", 3.9, "int", "3"),
        ("i", "7", "int", "7"),
        ("f", 1, "float", "1.0"),
        ("b", True, "bool", "True"),
        ("b", 0, "bool", "False"),
        ("d", {"c": [1, {"x": None}]}, "dict", "{'c': [1, {'x': None}]}"),
        ("l", [1, "2"], "list", "[1, 2]"),
        ("l", 5, "list", "[5]"),
        ("l", [], "list", "[]"),
        ("ls", ["a", "b"], "list", "['a', 'b']"),
        ("dl", [1, 2], "list", "[1, 2]"),
        ("nullable", None, "NoneType", "None"),
        ("raw", {"any": ["thing"]}, "dict", "{'any': ['thing']}"),
        ("js", 4, "int", "4"),
    ],
)
async def test_json_values_are_converted(server: House, name: str, sent: Any, kind: str, text: str) -> None:
    assert await seen(server, json={name: sent}) == {name: [kind, text]}


async def test_a_default_of_none_allows_null(server: House) -> None:
    answer = await server.predict(name="arguments", json={"none": None})
    assert ["none", "NoneType", "None"] in answer.json()["predictions"]


@pytest.mark.parametrize(
    ("name", "sent", "messages"),
    [
        ("s", 5, ["Not a valid string."]),
        ("s", True, ["Not a valid string."]),
        ("s", ["a"], ["Not a valid string."]),
        ("s", None, ["Field may not be null."]),
        ("i", None, ["Field may not be null."]),
        ("l", None, ["Field may not be null."]),
        ("l", [1, "x", None], {"1": ["Not a valid integer."], "2": ["Field may not be null."]}),
        ("d", [1], ["Not a valid mapping type."]),
    ],
)
async def test_json_values_that_are_refused(server: House, name: str, sent: Any, messages: Any) -> None:
    assert await refused(server, json={name: sent}) == {name: messages}


async def test_all_errors_come_in_one_object_keyed_by_http_names(server: House) -> None:
    answer = await server.post(
        "/v2/models/required/predict/", params=[("i", "x"), ("li", "1"), ("li", "x"), ("other", "1")]
    )
    assert (answer.status, answer.type) == (422, "application/json")
    assert answer.json() == {
        "needed": ["Missing data for required field."],
        "i": ["Not a valid integer."],
        "li": {"1": ["Not a valid integer."]},
        "head": ["Missing data for required field."],
    }


async def test_an_empty_string_is_a_value(server: House) -> None:
    answer = await server.predict({"needed": ""}, "required", headers={"head": ""})
    assert answer.json()["predictions"] == {"needed": "", "head": ""}


# Where from


async def test_query_goes_before_form_and_form_before_json(server: House) -> None:
    assert await seen(server, {"s": "query"}, data={"s": "form"}) == {"s": ["str", "query"]}
    assert await seen(server, {"s": "query"}, json={"s": "json"}) == {"s": ["str", "query"]}
    assert await seen(server, {"i": "1"}, json={"s": "json"}) == {"i": ["int", "1"], "s": ["str", "json"]}
    assert await seen(server, {"i": "1"}, data={"s": "form", "i": "2"}) == {"i": ["int", "1"], "s": ["str", "form"]}


async def test_an_argument_with_a_location_is_read_from_there_alone(server: House) -> None:
    assert await seen(server, {"form": "x", "js": "1", "X-Head": "x", "cookie": "x"}) == {}
    assert await seen(server, data={"q": "x", "qs": "x", "js": "1", "X-Head": "x", "cookie": "x"}) == {}
    assert await seen(server, {"q": "1", "qs": "2"}) == {"q": ["str", "1"], "qs": ["str", "2"]}
    assert await seen(server, data={"form": "x"}) == {"form": ["str", "x"]}
    assert await seen(server, headers={"x-HEAD": "x", "s": "x"}) == {"X-Head": ["str", "x"]}
    assert await seen(server, headers={"Cookie": "a=1; cookie=x; s=2"}) == {"cookie": ["str", "x"]}


async def test_every_argument_that_is_no_file_may_come_by_json(server: House) -> None:
    """Ours: deepaas ignores the JSON body for arguments of another location."""
    assert await seen(server, json={"q": "1", "form": "2", "X-Head": "3"}) == {
        "q": ["str", "1"],
        "form": ["str", "2"],
        "X-Head": ["str", "3"],
    }


async def test_a_data_key_is_the_http_name_and_the_dict_key_the_models(server: House) -> None:
    assert await seen(server, {"other": "x"}) == {"renamed": ["str", "x"]}
    assert await seen(server, {"renamed": "x"}) == {}


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/vnd.api+json", True),
        ("APPLICATION/JSON", True),
        ("text/json", False),
        ("text/plain", False),
        ("application/octet-stream", False),
        ("application/xml", False),
    ],
)
async def test_which_bodies_are_json(server: House, kind: str, read: bool) -> None:
    found = await seen(server, data=b'{"s": "x"}', headers={"Content-Type": kind})
    assert found == ({"s": ["str", "x"]} if read else {})


async def test_the_charset_of_json_is_honoured(server: House) -> None:
    body = json.dumps({"s": "é"}, ensure_ascii=False).encode("latin-1")
    headers = {"Content-Type": "application/json; charset=latin-1"}
    assert await seen(server, data=body, headers=headers) == {"s": ["str", "é"]}
    headers = {"Content-Type": "application/json; charset=no-such"}
    assert (await server.predict(name="arguments", data=body, headers=headers)).status == 400


@pytest.mark.parametrize("body", [b"", b"  ", b"[1]", b'"text"', b"7", b"null", b"true"])
async def test_json_that_is_no_object_holds_nothing_and_is_no_error(server: House, body: bytes) -> None:
    assert await seen(server, {"s": "x"}, data=body, headers={"Content-Type": "application/json"}) == {
        "s": ["str", "x"]
    }


BROKEN = [b"{", b'{"s": "x"', b'{"s": nothing}', b"\xff\xfe{", b'{"s": "\xe9"}', b"[" * 100_000, b'{"i": 1e999}']


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
async def test_broken_json_is_400(server: House, body: bytes) -> None:
    answer = await server.predict(name="arguments", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.type) == (400, "application/json")
    assert answer.json() == {"json": ["Invalid JSON body."]}


async def test_broken_json_is_no_error_when_no_argument_looks_there(server: House) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await server.predict({"mode": "fine", "text": "x"}, "failing", data=b"{", headers=headers)
    assert answer.json() == {"status": "OK", "predictions": "x"}
    answer = await server.predict({"mode": "fine"}, "failing", data=b"{", headers=headers)
    assert answer.status == 400


async def test_several_values_are_a_list_s_and_the_first_is_a_scalars(server: House) -> None:
    assert await seen(server, [("l", "1"), ("l", "2")]) == {"l": ["list", "[1, 2]"]}
    assert await seen(server, [("i", "1"), ("i", "2")]) == {"i": ["int", "1"]}
    form = aiohttp.FormData([("ls", "a"), ("ls", "b"), ("s", "x"), ("s", "y")])
    assert await seen(server, data=form) == {"ls": ["list", "['a', 'b']"], "s": ["str", "x"]}
    assert await refused(server, [("l", "1"), ("l", "x")]) == {"l": {"1": ["Not a valid integer."]}}
    assert await refused(server, {"l": "1,2"}) == {"l": {"0": ["Not a valid integer."]}}


async def test_lists_and_objects_may_come_as_text(server: House) -> None:
    """Ours: with deepaas `[1, 2]` in a query is one invalid element, and an object cannot be sent at all."""
    assert await seen(server, {"l": "[1, 2]"}) == {"l": ["list", "[1, 2]"]}
    assert await seen(server, data={"l": "[1, 2]"}) == {"l": ["list", "[1, 2]"]}
    assert await seen(server, {"d": '{"a": 1}'}) == {"d": ["dict", "{'a': 1}"]}
    assert await seen(server, data={"d": "{'a': 1}"}) == {"d": ["dict", "{'a': 1}"]}
    assert await seen(server, json={"d": '{"a": 1}'}) == {"d": ["dict", "{'a': 1}"]}


async def test_a_field_that_is_a_mistake_of_the_plugin_counts_as_none(server: House) -> None:
    answer: Answer = await server.predict({"a": "1"}, "mistake")
    assert answer.json() == {"status": "OK", "predictions": {}}
