"""How the body of /run is read (contract, sections 4 and 7)."""

from __future__ import annotations

import ast
import base64
import json
from typing import Any

import aiohttp
import pytest

from modelport.frontends.oscar.body import is_arguments
from tests.house import wait_until
from tests.oscar.conftest import DATA, OpenOscar, Oscar, returned

pytestmark = pytest.mark.asyncio(loop_scope="package")

PHOTO = (DATA / "digits_photo.jpg").read_bytes()


def file(key: str, data: bytes, file_format: str = "png") -> dict[str, str]:
    return {"key": key, "file_format": file_format, "data": base64.b64encode(data).decode()}


async def value(oscar: Oscar, body: Any, **options: Any) -> Any:
    answer = await oscar.run("svc", body, **options)
    assert answer.status == 200, answer.text
    return ast.literal_eval(returned(answer))


async def refused(oscar: Oscar, body: Any, status: int = 422, **options: Any) -> str:
    answer = await oscar.run("svc", body, **options)
    assert answer.status == status, answer.text
    assert "return:" not in answer.text
    return answer.text


# JSON and base64 of it


@pytest.mark.parametrize("content_type", [None, "application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_json_and_base64_of_it_under_any_content_type(oscar: Oscar, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    plain = json.dumps({"text": "ä+/=&%41" * 30, "number": 7}).encode()
    for body in (plain, base64.b64encode(plain), base64.encodebytes(plain), b" \n" + base64.b64encode(plain) + b"\n"):
        found = await value(oscar, body, headers=headers)
        assert (found["text"], found["number"]) == ("ä+/=&%41" * 30, 7)


@pytest.mark.parametrize("content_type", ["application/octet-stream", "image/jpeg", "text/csv"])
async def test_base64_of_json_is_no_file_whatever_it_is_called(oscar: Oscar, content_type: str) -> None:
    body = base64.b64encode(b'{"number": 9}')
    assert (await value(oscar, body, headers={"Content-Type": content_type}))["number"] == 9


async def test_a_body_in_chunks_without_content_type_as_oscar_cli_sends_it(oscar: Oscar) -> None:
    encoded = base64.b64encode(json.dumps({"text": "x" * 1000}).encode())

    async def pieces() -> Any:
        for start in range(0, len(encoded), 7):
            yield encoded[start : start + 7]

    headers = {"Authorization": f"Bearer {await oscar.token('svc')}"}
    answer = await oscar.house.post("/run/svc", data=pieces(), headers=headers, skip_auto_headers=["Content-Type"])
    assert ast.literal_eval(returned(answer))["text"] == "x" * 1000


@pytest.mark.parametrize(
    "body", [b"", b"[1, 2]", b'"text"', b"12", b"null", b"hello, world", b'{"a": ', b"{]", b"\xff\xd8\xff\xe0", b"AAAA"]
)
async def test_what_is_no_object_is_400_and_says_so(oscar: Oscar, body: bytes) -> None:
    text = await refused(oscar, body, 400, headers={"Content-Type": "application/json"})
    assert "JSON" in text or "ends too early" in text


async def test_a_dict_sent_as_a_form_by_oscar_python(oscar: Oscar) -> None:
    found = await value(oscar, b"number=5&floats=1.5&floats=2&text=a+b", headers={"Content-Type": "application/json"})
    assert found == {"text": "a b", "number": 5, "floats": [1.5, 2.0], "options": {}, "flag": False}
    assert (await oscar.run("svc", b"help=")).text.startswith("usage: ")
    assert "JSON object" in await refused(oscar, b"oscar-files=key&oscar-files=data")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"a": 1}', True),
        (b" \n{ }", True),
        (b'\xef\xbb\xbf{"a"', True),
        (base64.b64encode(b'{"a": 1}'), True),
        (base64.b64encode(b' {\n "a": 1}'), True),
        (base64.b64encode(b'{"a": 1234567890}')[:13], True),
        (b"", False),
        (b"eye,nose\n1,2", False),
        (b"eyeball", False),
        (b"\xff\xd8\xff\xe0", False),
        (b"a=1&b=2", False),
        (b"{\\rtf1", False),
        (b"[1]", False),
    ],
)
async def test_what_looks_like_arguments(head: bytes, expected: bool) -> None:
    assert is_arguments(head) is expected


# Values


async def test_lists_and_objects_as_text_or_as_they_are(oscar: Oscar) -> None:
    for floats in ("[1.2, -1.8]", [1.2, -1.8], ["1.2", "-1.8"]):
        assert (await value(oscar, {"floats": floats}))["floats"] == [1.2, -1.8]
    for options in ('{"c": "d", "n": [1]}', "{'c': 'd', 'n': [1]}", {"c": "d", "n": [1]}):
        assert (await value(oscar, {"options": options}))["options"] == {"c": "d", "n": [1]}


async def test_numbers_and_booleans_as_text_and_text_as_a_number(oscar: Oscar) -> None:
    for flag in (True, "True", "yes", "t", "1"):
        assert (await value(oscar, {"flag": flag, "number": "4"}))["flag"] is True
    assert (await value(oscar, {"text": 5}))["text"] == "5"
    assert (await value(oscar, {"text": 1.0}))["text"] == "1.0"
    assert (await value(oscar, {"text": True}))["text"] == "True"


async def test_null_is_not_given(oscar: Oscar) -> None:
    found = await value(oscar, {"number": None, "floats": None, "image": None, "oscar-files": []})
    assert (found["number"], found["floats"]) == (1, [0.5])


async def test_an_unknown_key_is_named_with_those_that_there_are(oscar: Oscar) -> None:
    text = await refused(oscar, {"numbr": 5, "nope": 1})
    assert "numbr: Unknown argument" in text
    assert "nope: Unknown argument" in text
    assert "text, number, floats" in text
    await refused(oscar, {"num": 5})  # no beginning of a name


async def test_keys_of_other_platforms_are_not_unwrapped(oscar: Oscar) -> None:
    assert "event: Unknown argument" in await refused(oscar, {"event": {"number": 5}})


# Files


async def test_a_file_arrives_with_name_type_and_ending(oscar: Oscar) -> None:
    found = await value(oscar, {"number": 2, "oscar-files": [file("image", b"\x89PNG", "png")]})
    assert found["image"] == ["image.png", "image/png", ".png", "\x89PNG"]
    assert found["number"] == 2
    found = await value(oscar, {"oscar-files": [file("image", b"?", "")]})
    assert found["image"] == ["image", None, "", "?"]


async def test_a_repeated_key_fills_a_list(oscar: Oscar) -> None:
    found = await value(oscar, {"oscar-files": [file("pages", b"1", "txt"), file("image", b"2"), file("pages", b"3")]})
    assert [page[3] for page in found["pages"]] == ["1", "3"]
    found = await value(oscar, {"oscar-files": [file("pages", b"1", "txt")]})
    assert [page[3] for page in found["pages"]] == ["1"]


async def test_a_repeated_key_of_a_single_file_is_refused(oscar: Oscar) -> None:
    assert "image: Takes one file; 2 were given" in await refused(
        oscar, {"oscar-files": [file("image", b"1"), file("image", b"2")]}
    )
    uri = "data:image/png;base64,AAAA"
    await refused(oscar, {"image": uri, "oscar-files": [file("image", b"1")]})


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"key": "nope", "file_format": "png", "data": "AAAA"}, "nope: Unknown argument"),
        ({"key": "number", "file_format": "png", "data": "AAAA"}, "number: Not a file argument"),
        ({"key": "image", "file_format": "png"}, "oscar-files[0].data"),
        ({"file_format": "png", "data": "AAAA"}, "oscar-files[0].key"),
        ({"key": "image", "data": "AAAA"}, "oscar-files[0].file_format"),
        ({"key": "image", "file_format": "../../etc", "data": "AAAA"}, "file_format"),
        ({"key": "image", "file_format": "png", "data": "%%%%"}, "not base64"),
        ({"key": "image", "file_format": "png", "data": 5}, "oscar-files[0].data"),
        ("text", "oscar-files[0]"),
    ],
)
async def test_each_mistake_in_oscar_files_has_its_sentence(oscar: Oscar, entry: Any, reason: str) -> None:
    assert reason in await refused(oscar, {"oscar-files": [entry]})


async def test_data_uris_are_files(oscar: Oscar) -> None:
    uri = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    assert (await value(oscar, {"image": uri}))["image"] == ["image.png", "image/png", ".png", "\x89PNG"]
    found = await value(oscar, {"pages": [uri, "data:text/plain,a%20b"]})
    assert [page[3] for page in found["pages"]] == ["\x89PNG", "a b"]
    assert (await value(oscar, {"pages": uri}))["pages"][0][3] == "\x89PNG"
    assert "not base64" in await refused(oscar, {"pages": ["data:image/png;base64,%%%"]})


async def test_a_file_argument_that_is_text_is_never_a_path(oscar: Oscar) -> None:
    for text in ("/etc/passwd", "bear.jpg", "", {"a": 1}, 5, ["/etc/passwd"]):
        assert "image: Is a file" in await refused(oscar, {"image": text})


async def test_a_plain_body_is_the_only_required_file(oscar: Oscar) -> None:
    for content_type in ("image/jpeg", "application/octet-stream"):
        answer = await oscar.run("digits", PHOTO, headers={"Content-Type": content_type})
        assert returned(answer).startswith("[{'name'")
    answer = await oscar.run("digits", PHOTO, headers={"Content-Type": "image/jpeg"}, query="?confidence=1.0&other=1")
    assert len(returned(answer)) < len(
        returned(await oscar.run("digits", PHOTO, headers={"Content-Type": "image/jpeg"}))
    )
    text = await refused(oscar, PHOTO, 415, headers={"Content-Type": "image/jpeg"})
    assert "image, pages" in text


async def test_a_plain_body_for_a_model_without_files_is_415(oscar_with: OpenOscar) -> None:
    source = "def get_predict_args():\n    return {}\ndef predict(**arguments):\n    return 1\n"
    opened = await oscar_with(source)
    await opened.deployed("none")
    assert (await opened.run("none", b"\xff\xd8\xff", headers={"Content-Type": "image/jpeg"})).status == 415
    assert (await opened.run("none", b"hello", headers={"Content-Type": "text/plain"})).status == 400
    assert (await opened.run("none", {})).status == 200


async def test_a_multipart_form(oscar: Oscar) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("image", b"\x89PNG", filename="my picture.png", content_type="image/png")
    form.add_field("pages", b"1", filename="../a.b.txt", content_type="text/plain")
    form.add_field("pages", b"2", filename="2", content_type="text/plain")
    form.add_field("number", "4")
    form.add_field("floats", "[1, 2]")
    headers = {"Authorization": f"Bearer {await oscar.token('svc')}"}
    answer = await oscar.house.post("/run/svc", data=form, headers=headers)
    found = ast.literal_eval(returned(answer))
    assert (found["number"], found["floats"]) == (4, [1.0, 2.0])
    assert found["image"] == ["my picture.png", "image/png", ".png", "\x89PNG"]
    assert [(page[2], page[3]) for page in found["pages"]] == [(".txt", "1"), ("", "2")]


async def test_limits_are_the_settings(oscar_with: OpenOscar) -> None:
    opened = await oscar_with(client_max_size=200_000, json_limit_bytes=1000)
    await opened.deployed("small")
    assert (await opened.run("small", {"text": "x" * 2000})).status == 413
    assert (await opened.run("small", {"oscar-files": [file("image", b"x" * 100_000)]})).status == 200
    assert (await opened.run("small", {"oscar-files": [file("image", b"x" * 200_000)]})).status == 413


async def test_a_hundred_megabytes_are_welcome(oscar: Oscar) -> None:
    big = {"mode": "size", "oscar-files": [file("image", b"x" * (75 << 20), "bin")]}
    assert returned(await oscar.run("svc", big)) == str(75 << 20)


async def test_nothing_is_left_on_disk(oscar: Oscar) -> None:
    for body in ({"oscar-files": [file("image", b"1")]}, {"oscar-files": [file("nope", b"1")]}, {"image": "data:,x"}):
        await oscar.run("svc", body)
    await wait_until(lambda: oscar.house.scratch() == [])
