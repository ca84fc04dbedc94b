"""GET and POST /<name>: arguments by every road, answers of every kind, who may call."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.house import wait_until
from tests.plain.conftest import Doors, bearer

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]


def form(*parts: tuple[str, Any, dict[str, str]]) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    for name, value, options in parts:
        data.add_field(name, value, **options)
    return data


# Arguments


async def test_arguments_come_by_the_query(doors: Doors) -> None:
    query = "count=3&word=h%C3%A9&level=0.5&loud=yes&numbers=1&numbers=2.5&table=%7B%22a%22:1%7D&on-the-wire=7"
    for path in (f"/everything?{query}", f"/everything/?{query}"):
        answer = await doors.get(path)
        assert (answer.status, answer.type) == (200, "application/json")
        assert answer.json() == {
            "result": {
                "count": 3,
                "word": "hé",
                "level": 0.5,
                "loud": True,
                "numbers": [1.0, 2.5],
                "table": {"a": 1},
                "wire": 7,
            }
        }


async def test_arguments_come_as_json(doors: Doors) -> None:
    given = {"count": 3, "word": "x", "level": 0.5, "numbers": [1, 2.5], "boxes": [{"x": 1}], "table": {"a": None}}
    answer = await doors.post(json={**given, "mode": "echo"})
    assert answer.json() == {"result": given}
    answer = await doors.post(data=b'{"count": 3}', headers={"Content-Type": "application/vnd.x+json"})
    assert answer.json() == {"result": {"count": 3}}


async def test_arguments_come_as_a_form(doors: Doors) -> None:
    answer = await doors.post(data={"count": "3", "word": "x", "numbers": "[1, 2]"})
    assert answer.json() == {"result": {"count": 3, "word": "x", "numbers": [1.0, 2.0]}}


async def test_files_come_in_multipart(doors: Doors) -> None:
    answer = await doors.post(
        data=form(
            ("image", b"abc", {"filename": "a b.png", "content_type": "image/png"}),
            ("images", b"1", {"filename": "1.txt", "content_type": "text/plain"}),
            ("images", b"22", {"filename": "2.txt", "content_type": "text/plain"}),
            ("count", "2", {}),
        )
    )
    assert answer.json()["result"] == {
        "count": 2,
        "image": ["a b.png", "image/png", 3],
        "images": [["1.txt", "text/plain", 1], ["2.txt", "text/plain", 2]],
    }
    await wait_until(lambda: not doors.house.scratch())


async def test_a_query_and_a_body_go_together(doors: Doors) -> None:
    assert (await doors.post("/everything?count=3", json={"level": 1.5})).json() == {
        "result": {"count": 3, "level": 1.5}
    }


async def test_nothing_need_be_sent(doors: Doors) -> None:
    for answer in (
        await doors.get("/small"),
        await doors.post("/small"),
        await doors.post("/small", data=b"", headers={"Content-Type": "application/json"}),
        await doors.post("/small", data=b"  \n", headers={"Content-Type": "application/json"}),
    ):
        assert (answer.status, answer.body) == (200, b'{"result": null}')


# Refusals


def rows(answer: Any) -> list[tuple[str, list[Any], Any]]:
    assert answer.status == 422, answer.body
    assert answer.type == "application/json"
    detail = answer.json()["detail"]
    assert all(set(each) == {"type", "loc", "msg", "input"} for each in detail)
    return [(each["type"], each["loc"], each["input"]) for each in detail]


async def test_each_argument_at_fault_is_told_with_its_place(doors: Doors) -> None:
    answer = await doors.get("/everything?count=12&level=x&loud=maybe")
    assert rows(answer) == [
        ("value_error", ["query", "count"], "12"),
        ("float_parsing", ["query", "level"], "x"),
        ("bool_parsing", ["query", "loud"], "maybe"),
    ]
    assert answer.json()["detail"][0]["msg"] == "Must be greater than or equal to 1 and less than or equal to 9."
    answer = await doors.post(json={"numbers": [1, "x", None], "boxes": [{"x": 1}, {}, {"x": "y"}], "table": 5})
    assert rows(answer) == [
        ("float_parsing", ["body", "numbers", 1], "x"),
        ("none_not_allowed", ["body", "numbers", 2], None),
        ("missing", ["body", "boxes", 1, "x"], None),
        ("int_parsing", ["body", "boxes", 2, "x"], "y"),
        ("dict_type", ["body", "table"], 5),
    ]


async def test_what_is_missing_is_missing_from_where_the_rest_is(doors: Doors) -> None:
    assert rows(await doors.get("/needs")) == [
        ("missing", ["query", "files"], None),
        ("missing", ["query", "count"], None),
    ]
    file = form(("files", b"abc", {"filename": "x"}))
    assert rows(await doors.post("/needs", data=file)) == [("missing", ["body", "count"], None)]
    file = form(("files", b"abc", {"filename": "x"}))
    assert (await doors.post("/needs?count=2", data=file)).json() == {"result": 6}


async def test_a_secret_is_not_repeated(doors: Doors) -> None:
    assert rows(await doors.post(json={"secret": "hunter2"})) == [("int_parsing", ["body", "secret"], None)]
    twice = [("multiple_values", ["query", "secret"], None)]
    assert rows(await doors.get("/everything?secret=hunter2&secret=hunter3")) == twice
    assert rows(await doors.post("/everything?secret=1", data={"secret": "hunter2"})) == [
        ("multiple_values", ["body", "secret"], None)
    ]
    assert rows(await doors.post(data=form(("secret", b"hunter2", {"filename": "hunter2"})))) == [
        ("file_not_allowed", ["body", "secret"], None)
    ]


async def test_names_that_are_no_arguments_are_refused_with_those_that_are(doors: Doors) -> None:
    answer = await doors.get("/everything?conut=3&count=3")
    assert rows(answer) == [("extra_forbidden", ["query", "conut"], "3")]
    assert answer.json()["detail"][0]["msg"].startswith(
        "there is no argument conut; did you mean count? there are mode, "
    )
    assert rows(await doors.post(json={"Count": 3})) == [("extra_forbidden", ["body", "Count"], 3)]
    assert rows(await doors.post(data=form(("pic", b"x", {"filename": "p.png"})))) == [
        ("extra_forbidden", ["body", "pic"], "p.png")
    ]
    answer = await doors.get("/small?a=1")
    assert answer.json()["detail"][0]["msg"] == "there is no argument a; there is none"
    # Its name in a request is another than in Python.
    assert rows(await doors.get("/everything?wire=1")) == [("extra_forbidden", ["query", "wire"], "1")]


async def test_json_sent_as_a_form_is_recognised(doors: Doors) -> None:
    """What curl -d does."""
    answer = await doors.post(data=b'{"count": 3}', headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert rows(answer)[0][0] == "extra_forbidden"
    assert "Content-Type: application/json" in answer.json()["detail"][0]["msg"]


async def test_text_where_a_file_is_wanted_is_refused_with_the_remedy(doors: Doors) -> None:
    for answer, place in (
        (await doors.get("/everything?image=a.png"), "query"),
        (await doors.post(json={"image": "a.png"}), "body"),
        (await doors.post(data={"image": "a.png"}), "body"),
        (await doors.post(data=form(("image", "a.png", {}))), "body"),
    ):
        assert rows(answer) == [("file_required", [place, "image"], "a.png")]
        assert "curl -F image=@path" in answer.json()["detail"][0]["msg"]
    assert rows(await doors.post(json={"images": ["a"]}))[0][0] == "file_required"
    assert (await doors.post(data=form(("image", "", {})))).json() == {"result": {}}


async def test_what_would_be_dropped_in_silence_is_refused(doors: Doors) -> None:
    assert rows(await doors.get("/everything?count=1&count=2")) == [("multiple_values", ["query", "count"], ["1", "2"])]
    assert rows(await doors.post("/everything?count=1", json={"count": 2})) == [
        ("multiple_values", ["body", "count"], 2)
    ]
    two = form(("image", b"1", {"filename": "1"}), ("image", b"2", {"filename": "2"}))
    assert rows(await doors.post(data=two)) == [("multiple_values", ["body", "image"], ["1", "2"])]
    assert rows(await doors.post(data=form(("count", b"3", {"filename": "3.txt"})))) == [
        ("file_not_allowed", ["body", "count"], "3.txt")
    ]
    assert rows(await doors.post(json=[1, 2])) == [("dict_type", ["body"], None)]
    assert rows(await doors.post(json="text")) == [("dict_type", ["body"], None)]
    await wait_until(lambda: not doors.house.scratch())


async def test_a_long_value_and_many_mistakes_are_told_in_short(doors: Doors) -> None:
    assert rows(await doors.post(json={"count": "x" * 10_000}))[0][2] == "x" * 200 + "…"
    assert rows(await doors.post(json={"count": list(range(10_000))}))[0][2] == "… 10000 values"
    answer = await doors.post(json={"numbers": ["x"] * 1000})
    assert len(rows(answer)) == 101
    assert answer.json()["detail"][-1]["msg"] == "there is more to be said"


@pytest.mark.parametrize(
    ("options", "status", "detail"),
    [
        ({"json": {"mode": "fail"}}, 500, "I cannot"),
        ({"json": {"mode": "die"}}, 500, "3"),
        ({"data": b'{"count": ', "headers": {"Content-Type": "application/json"}}, 400, "the body is not valid JSON"),
        ({"data": b"x", "headers": {"Content-Type": "text/csv"}}, 415, "a body of type text/csv is not supported"),
        ({"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "the multipart body is broken"),
    ],
)
async def test_other_errors_are_a_sentence(doors: Doors, options: Any, status: int, detail: str) -> None:
    answer = await doors.post(**options)
    assert answer.status == status
    assert list(answer.json()) == ["detail"]
    assert detail in answer.json()["detail"]
    assert "Traceback" not in answer.text


async def test_what_the_model_refuses_is_told_by_argument_too(doors: Doors) -> None:
    assert rows(await doors.post(json={"mode": "refuse", "word": "x"})) == [("value_error", ["body", "word"], "x")]
    answer = await doors.post(json={"mode": "refuse all"})
    assert answer.status == 422
    assert [each["msg"] for each in answer.json()["detail"]] == ["Not like this."]


async def test_a_get_with_a_body_is_refused(doors: Doors) -> None:
    answer = await doors.get("/everything", json={"count": 3})
    assert (answer.status, answer.json()["detail"]) == (
        400,
        "a GET request has its arguments in the query; send a body by POST",
    )


# Answers


async def test_binary_answers_have_their_type_and_a_name(doors: Doors) -> None:
    for answer in (
        await doors.post(headers={"Accept": "application/pdf"}),
        await doors.get("/everything?accept=application/pdf"),
        await doors.post(json={"accept": "application/pdf"}),
    ):
        assert (answer.status, answer.type, answer.body) == (200, "application/pdf", b"%PDF-1.7 small")
        assert answer.headers["Content-Disposition"] == 'inline; filename="result.pdf"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_plugins_own_name_is_kept_but_not_that_of_a_temporary_file(doors: Doors) -> None:
    answer = await doors.get("/everything?accept=application/pdf&mode=named")
    assert answer.body == b"%PDF-1.7 named"
    assert answer.headers["Content-Disposition"] == (
        "inline; filename=\"a _b_;_ _.pdf\"; filename*=UTF-8''a%20_b_%3B%E2%98%83%20%C3%A9.pdf"
    )
    answer = await doors.get("/everything?accept=image/png")
    assert answer.headers["Content-Disposition"] == 'inline; filename="result.png"'
    answer = await doors.get("/everything?accept=text/plain")
    assert (answer.text, answer.headers["Content-Disposition"]) == ("plain", 'inline; filename="result.txt"')


async def test_a_large_answer_comes_from_a_file_that_goes_with_it(doors: Doors) -> None:
    answer = await doors.get("/everything?accept=application/pdf&mode=large")
    assert len(answer.body) == 9 + (3 << 20)
    assert answer.headers["Content-Disposition"] == 'inline; filename="result.pdf"'
    await wait_until(lambda: not doors.house.scratch())


async def test_a_page_from_a_model_has_no_origin(doors: Doors) -> None:
    answer = await doors.get("/everything?accept=text/html")
    assert answer.type.startswith("text/html")
    assert answer.headers["Content-Security-Policy"] == "sandbox"


async def test_a_browsers_accept_header_is_no_mistake(doors: Doors) -> None:
    assert (await doors.get("/small", headers={"Accept": "text/html,application/xml;q=0.9,*/*;q=0.8"})).status == 200
    answer = await doors.get("/everything", headers={"Accept": "audio/wav"})
    assert rows(answer) == [("value_error", ["header", "accept"], "audio/wav")]


# Who may call


async def test_a_service_is_called_with_its_own_token_or_the_owners(doors: Doors) -> None:
    for token in (doors.token, doors.owner):
        assert (await doors.get("/svc?count=3", headers=bearer(token))).json() == {"result": {"count": 3}}
        assert (await doors.post("/svc", json={"count": 3}, headers=bearer(token))).status == 200


async def test_without_a_token_or_with_a_wrong_one_nothing_is_told(doors: Doors) -> None:
    for method in ("GET", "POST", "HEAD"):
        for path in ("/svc", "/no-such-thing"):
            answer = await doors.ask(method, path)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert method == "HEAD" or answer.json() == {"detail": "Not authenticated"}
            answer = await doors.ask(method, path, headers=bearer("0" * 64))
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert method == "HEAD" or answer.json() == {"detail": "Invalid or missing token"}
    answer = await doors.get("/svc", headers={"Authorization": "Basic abc"})
    assert answer.json() == {"detail": "Not authenticated"}


async def test_an_unknown_name_is_told_to_who_may_know(doors: Doors) -> None:
    answer = await doors.get("/no-such-thing", headers=bearer(doors.owner))
    assert (answer.status, answer.json()) == (404, {"detail": "Not Found"})
    assert (await doors.get("/no-such-thing", headers=bearer(doors.token))).status == 401


# Methods and paths


async def test_head_looks_and_does_not_predict(doors: Doors) -> None:
    before = doors.house.server.deployments.get("svc").calls
    answer = await doors.ask("HEAD", "/svc?mode=fail", headers=bearer(doors.token))
    assert (answer.status, answer.type, answer.body) == (200, "application/json", b"")
    assert doors.house.server.deployments.get("svc").calls == before


async def test_other_methods_are_refused(doors: Doors) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        answer = await doors.ask(method, "/everything")
        assert (answer.status, answer.json()) == (405, {"detail": "Method Not Allowed"})
        assert answer.headers["Allow"] == "GET, HEAD, POST, OPTIONS"


async def test_the_paths_of_other_doors_stay_theirs(doors: Doors) -> None:
    assert (await doors.get("/health")).text == "Ok"
    assert (await doors.get("/docs")).type.startswith("text/html")  # there is a model of that name
    assert (await doors.get("/v2")).status == 308
    answer = await doors.post("/health")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
    assert (await doors.get("/favicon.ico")).status == 404
    assert (await doors.get("/everything/more")).status == 404


# Other origins


async def test_pages_of_other_origins_may_call(doors: Doors) -> None:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization,content-type"
    answer = await doors.ask("OPTIONS", "/svc", headers=asked)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST, OPTIONS"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    wrong = await doors.get("/svc?count=x", headers={"Origin": "https://a.example", **bearer(doors.token)})
    assert (wrong.status, wrong.headers["Access-Control-Allow-Origin"]) == (422, "*")
    refused = await doors.get("/svc", headers={"Origin": "https://a.example"})
    assert (refused.status, "Access-Control-Allow-Origin" in refused.headers) == (403, False)


async def test_where_no_token_is_asked_for_no_other_origin_may_read(doors: Doors) -> None:
    for response in (
        await doors.get("/everything?count=x", headers={"Origin": "https://a.example"}),
        await doors.get("/everything", headers={"Origin": "https://a.example"}),
        await doors.ask("OPTIONS", "/everything", headers={"Origin": "https://a.example"}),
        await doors.ask("PUT", "/everything", headers={"Origin": "https://a.example"}),
    ):
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers
