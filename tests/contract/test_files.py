"""Files (contract, 1.4)."""

from __future__ import annotations

import io
from typing import Any

import aiohttp
import pytest

from tests.house import House, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="package")


def form(*parts: tuple[str, bytes | str, str | None, str | None]) -> aiohttp.FormData:
    """parts: name, content, file name, media type."""
    form_data = aiohttp.FormData(default_to_multipart=True, quote_fields=False)
    for name, content, filename, kind in parts:
        # aiohttp warns of large bytes, not of a file.
        value = io.BytesIO(content) if isinstance(content, bytes) else content
        form_data.add_field(name, value, filename=filename, content_type=kind)
    return form_data


async def send(server: House, *parts: Any, mode: str = "show") -> Any:
    answer = await server.predict({"mode": mode}, "files", data=form(*parts))
    assert answer.status == 200, answer.text
    return answer.json()["predictions"]


async def raw(server: House, part: bytes, mode: str = "show") -> Any:
    body = b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return await server.predict({"mode": mode}, "files", data=body, headers=headers)


async def test_an_upload_is_a_tuple_of_four_with_a_copy_on_disk(server: House) -> None:
    answer = await send(server, ("one", b"\0content", "picture one.png", "image/png"))
    assert answer == {
        "one": {
            "name": "one",
            "type": "image/png",
            "original": "picture one.png",
            "content": "\0content",
            "absolute": True,
            "extension": "",
            "tuple": 4,
        }
    }


async def test_the_part_is_named_by_the_data_key_and_the_argument_by_its_own(server: House) -> None:
    answer = await send(server, ("data", b"x", "a.zip", "application/zip"))
    assert (answer["files"]["name"], answer["files"]["type"]) == ("data", "application/zip")
    assert await send(server, ("files", b"x", "a.zip", None)) == {}


async def test_a_part_without_a_type_is_a_stream_of_octets(server: House) -> None:
    answer = await raw(server, b'name="one"; filename="a"\r\n\r\nabc')
    assert answer.json()["predictions"]["one"]["type"] == "application/octet-stream"


async def test_raw_is_a_file_too_and_several_different_ones_come_together(server: House) -> None:
    answer = await send(server, ("raw", b"1", "r", None), ("one", b"2", "o", None), ("data", b"3", "d", None))
    assert {name: each["content"] for name, each in answer.items()} == {"one": "2", "files": "3", "raw": "1"}


async def test_a_list_of_files_under_one_name_is_a_list(server: House) -> None:
    answer = await send(server, ("several", b"1", "a", None), ("several", b"2", "b", None))
    assert [each["original"] for each in answer["several"]] == ["a", "b"]
    answer = await send(server, ("several", b"1", "a", None))
    assert len(answer["several"]) == 1


async def test_the_first_of_several_is_taken_where_one_is_wanted(server: House) -> None:
    answer = await send(server, ("one", b"1", "a", None), ("one", b"2", "b", None))
    assert answer["one"]["original"] == "a"


@pytest.mark.parametrize(
    "name", ["..", "../../etc/passwd", "/etc/passwd", "a b.txt", "é☃.png", "-rf", "a'b.txt", "con", "x" * 2000, ".."]
)
async def test_the_clients_name_is_told_and_never_used(server: House, name: str) -> None:
    data = aiohttp.FormData(quote_fields=False)
    data.add_field("one", b"x", filename=name)
    answer = await server.predict({"mode": "show"}, "files", data=data)
    # Unlike deepaas, which tells the model whatever was sent: only the last part, and never `..`.
    known = {"..": "file", "../../etc/passwd": "passwd", "/etc/passwd": "passwd"}
    assert answer.json()["predictions"]["one"]["original"] == known.get(name, name)


async def test_a_name_that_is_not_utf8_does_no_harm(server: House) -> None:
    answer = await raw(server, b'name="one"; filename="caf\xe9.png"\r\n\r\nabc')
    assert answer.status == 200, answer.text
    assert answer.json()["predictions"]["one"]["original"].startswith("caf")


@pytest.mark.parametrize(
    "disposition",
    [
        b'name="one"; filename="a\0b.png"',
        b'name="one"; filename="a\nb.png"',
        b'name="one"; filename="a\rb.png"',
        b'name="one"; filename="unfinished',
        b"name=one; filename=a b",
        b"name=\"one\"; filename*=no-such-charset''%ff",
        b'filename="no name.png"',
        b"",
    ],
)
async def test_a_strange_part_is_taken_or_refused(server: House, disposition: bytes) -> None:
    answer = await raw(server, disposition + b"\r\n\r\nabc")
    assert answer.status in (200, 400)
    assert (await send(server, ("one", b"1", "a", None)))["one"]["content"] == "1"


async def test_a_part_without_a_file_name_is_text(server: House) -> None:
    assert await send(server, ("one", "text", None, None), mode="types") == {"one": "str"}


async def test_an_uploaded_file_may_be_the_answer(server: House) -> None:
    answer = await server.predict({"mode": "return"}, "files", data=form(("one", b"x" * 3_000_000, "a", None)))
    assert (answer.status, answer.body) == (200, b"x" * 3_000_000)


@pytest.mark.parametrize("mode", ["show", "delete", "return", "types"])
async def test_nothing_of_an_upload_stays(server: House, mode: str) -> None:
    assert (
        await server.predict({"mode": mode}, "files", data=form(("one", b"x" * 2_000_000, "a", None)))
    ).status == 200
    await wait_until(lambda: server.scratch() == [])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b"no boundary"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="one"; filename="a"\r\n\r\nabc',
        ),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data; name=mode\r\n\r\nabc\r\n--c--\r\n",
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense\r\n\r\nabc\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"x" * 100_000 + b"\r\n\r\nabc\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: y\r\n" * 10_000 + b"\r\nabc\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
        ),
        ("multipart/form-data; boundary=" + "b" * 100, b"x"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="mode"\r\n'
            b"Content-Transfer-Encoding: nonsense\r\n\r\nabc\r\n--b--\r\n",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="mode"\r\n'
            b"Content-Type: text/plain; charset=nonsense\r\n\r\nabc\r\n--b--\r\n",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="mode"\r\n\r\n\xff\r\n--b--\r\n',
        ),
    ],
    ids=range(13),
)
async def test_a_broken_form_is_400_and_leaves_nothing(server: House, kind: str, body: bytes) -> None:
    answer = await server.predict(name="files", data=body, headers={"Content-Type": kind})
    assert answer.status == 400, answer.text
    assert answer.text.startswith("400: ")
    await wait_until(lambda: server.scratch() == [])


async def test_base64_in_a_part_is_decoded(server: House) -> None:
    answer = await raw(
        server, b'name="one"; filename="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + b"Y29u\r\ndGVudA==\r\n"
    )
    assert answer.json()["predictions"]["one"]["content"] == "content"


async def test_a_file_is_no_json(server: House) -> None:
    """JSON bodies are accepted for every argument that is not a file."""
    answer = await server.predict(name="files", json={"one": "text", "mode": "types"})
    assert answer.json()["predictions"] == {}
