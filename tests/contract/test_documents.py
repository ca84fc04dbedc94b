"""Routes and documents (contract, 2.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract import plugins
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="package")

JSON = "application/json; charset=utf-8"
SELF = {"rel": "self", "type": "application/json", "href": "/v2/"}
LINKS = [
    {"rel": "help", "type": "text/html", "href": "/api"},
    {"rel": "describedby", "type": "application/json", "href": "/swagger.json"},
]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/", {"versions": [{"version": "stable", "id": "v2", "links": [SELF]}], "links": LINKS}),
        ("/v2/", {"version": "stable", "id": "v2", "links": [SELF]}),
    ],
)
async def test_the_documents_of_versions(server: House, path: str, document: Any) -> None:
    answer = await server.get(path)
    assert (answer.status, answer.type, answer.json()) == (200, JSON, document)


async def test_the_list_holds_every_model_in_order(server: House) -> None:
    answer = await server.get("/v2/models/")
    assert (answer.status, answer.type) == (200, JSON)
    assert [model["links"][0]["href"] for model in answer.json()["models"] if model["links"]] == [
        f"/v2/models/{name}" for name in plugins.ALL if name != "metadata"
    ]


async def test_the_metadata_override_what_we_say_of_a_model(server: House) -> None:
    answer = await server.get("/v2/models/metadata/")
    assert answer.type == JSON
    assert answer.json() == {
        "id": "7",
        "name": "Own Name",
        "links": [],
        "author": ["A", {"b": None}],
        "license": None,
    }


async def test_keys_are_followed_by_their_colon_at_once(server: House) -> None:
    """The marketplace's quality check looks for the text `id":`."""
    for path in ("/v2/models/", "/v2/models/metadata/"):
        assert 'id":' in (await server.get(path)).text


async def test_a_model_without_metadata_is_described_by_its_name(server: House) -> None:
    document = (await server.get("/v2/models/nothing/")).json()
    assert document["name"] == "nothing"
    assert document["links"] == [{"rel": "self", "href": "/v2/models/nothing"}]
    assert document["description"] == "Could not load description from underlying model (loaded 'nothing')"


async def test_metadata_that_fail_are_a_500_of_that_model_alone(server: House) -> None:
    answer = await server.get("/v2/models/metadata_fails/")
    assert answer.status == 500
    assert "rclone is not there" in answer.text
    assert (await server.predict(name="metadata_fails")).status == 200
    assert (await server.get("/v2/models/metadata/")).status == 200


async def test_the_pages_and_their_files(server: House) -> None:
    answer = await server.get("/ui")
    assert (answer.status, answer.headers["Location"]) == (302, "/api")
    answer = await server.get("/api")
    assert (answer.status, answer.type.partition(";")[0]) == (200, "text/html")
    assert "/swagger.json" in answer.text
    assert (await server.get("/api/")).text == answer.text
    assert (await server.get("/static/swagger/swagger-ui.css")).status == 200
    assert (await server.get("/static/swagger/")).status == 403
    assert (await server.get("/static/swagger/../../http.py")).status in (403, 404)
    assert (await server.get("/static/swagger/%2e%2e/%2e%2e/http.py")).status in (403, 404)


async def test_swagger_json_is_openapi_2(server: House) -> None:
    answer = await server.get("/swagger.json")
    assert (answer.status, answer.type) == (200, JSON)
    assert answer.json()["swagger"] == "2.0"


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/v2", "/v2/"),
        ("GET", "/v2/models", "/v2/models/"),
        ("GET", "/v2/models/nothing", "/v2/models/nothing/"),
        ("POST", "/v2/models/nothing/predict", "/v2/models/nothing/predict/"),
        ("POST", "/v2/models/nothing/train", "/v2/models/nothing/train/"),
        ("GET", "/v2/models/nothing/train", "/v2/models/nothing/train/"),
        ("GET", "/v2/debug", "/v2/debug/"),
        ("GET", "//v2///models//", "/v2/models/"),
        ("GET", "/v2//models", "/v2/models/"),
    ],
)
async def test_the_slash_at_the_end_is_added_by_308(server: House, method: str, path: str, target: str) -> None:
    answer = await server.ask(method, f"http://127.0.0.1:{server.server.port}{path}?a=1&b=%20")
    assert (answer.status, answer.headers["Location"]) == (308, f"{target}?a=1&b=%20")
    assert answer.type.startswith("text/plain")
    assert answer.text == "308: Permanent Redirect"


async def test_308_keeps_method_and_body(server: House) -> None:
    answer = await server.post("/v2/models/failing/predict", data={"text": "kept"}, allow_redirects=True)
    assert answer.json() == {"status": "OK", "predictions": "kept"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/models/nothing/predict/", "POST"),
        ("PUT", "/v2/models/nothing/predict/", "POST"),
        ("DELETE", "/v2/models/nothing/train/", "GET,POST"),
        ("POST", "/v2/models/nothing/train/0123", "DELETE,GET"),
        ("POST", "/", "GET"),
        ("POST", "/v2/models/", "GET"),
        ("HEAD", "/", "GET"),
        ("HEAD", "/v2/models/", "GET"),
        ("HEAD", "/swagger.json", "GET"),
        ("HEAD", "/api", "GET"),
        ("HEAD", "/ui", "GET"),
        ("OPTIONS", "/v2/models/nothing/predict/", "POST"),
    ],
)
async def test_other_methods_are_405(server: House, method: str, path: str, allowed: str) -> None:
    answer = await server.ask(method, path)
    assert (answer.status, sorted(answer.headers["Allow"].split(","))) == (405, sorted(allowed.split(",")))
    assert answer.type.startswith("text/plain")
    if method != "HEAD":
        assert answer.text == "405: Method Not Allowed"
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/no-such", "/v1/", "/v3/models/"])
async def test_outside_of_v2_the_unknown_is_a_404_of_another_door(server: House, path: str) -> None:
    assert (await server.get(path)).status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/nothing"),
        ("GET", "/v2/models/nothing/nothing/"),
        ("GET", "/v2/models/nothing/predict"),  # a path without its slash has no other method
        ("GET", "/v2/models/nothing/train/0123/"),
        ("GET", "/v2/models/nobody/"),
        ("POST", "/v2/models/nobody/predict/"),
        ("GET", "/v2/models/nothing/train/0123"),
        ("DELETE", "/v2/models/nothing/train/0123"),
    ],
)
async def test_the_unknown_is_a_404_of_text(server: House, method: str, path: str) -> None:
    answer = await server.ask(method, path)
    assert answer.status == 404
    assert answer.type.startswith("text/plain")
    assert answer.text.startswith("404: ")


async def test_the_debug_endpoint_is_empty_unless_it_is_switched_on(server: House) -> None:
    answer = await server.get("/v2/debug/")
    assert (answer.status, answer.body) == (204, b"")


async def test_swagger_has_the_keys_that_clients_use(server: House) -> None:
    document = (await server.get("/swagger.json")).json()
    predicts = [path for path in document["paths"] if path.endswith("predict/")]
    assert predicts == [
        f"/v2/models/{name}/predict/" for name in plugins.ALL if "def predict" in plugins.ALL[name]
    ] or (predicts == [f"/v2/models/{name}/predict/" for name in plugins.ALL])
    post = document["paths"]["/v2/models/arguments/predict/"]["post"]
    parameters = {parameter["name"]: parameter for parameter in post["parameters"]}
    assert parameters["i"]["type"] == "integer" and parameters["i"]["in"] == "query"
    assert parameters["old"]["default"] == "m" and parameters["old"]["enum"] == ["m", "n"]
    assert parameters["old"]["description"] == "old spelling"
    assert parameters["new"]["default"] == 3
    assert parameters["none"]["default"] is None and parameters["none"]["x-nullable"] is True
    assert parameters["choice"]["enum"] == ["red", "green"]
    assert (parameters["ranged"]["minimum"], parameters["ranged"]["maximum"]) == (1, 9)
    assert parameters["l"]["type"] == "array" and parameters["l"]["collectionFormat"] == "multi"
    assert parameters["form"]["in"] == "formData"
    assert parameters["X-Head"]["in"] == "header"
    assert parameters["other"]["type"] == "string"
    assert post["produces"] == ["application/json"]
    assert parameters["s"]["required"] is False
    names = [parameter["name"] for parameter in post["parameters"]]
    assert names.index("s") < names.index("i") < names.index("f") < names.index("choice")
    typed = document["paths"]["/v2/models/typed/predict/"]["post"]
    assert typed["produces"][-1] == "*/*" and "application/pdf" in typed["produces"]
    files = document["paths"]["/v2/models/files/predict/"]["post"]
    assert {file["name"]: file["type"] for file in files["parameters"]}["data"] == "file"
    schema = document["paths"]["/v2/models/dict_schema/predict/"]["post"]["responses"]["200"]["schema"]["$ref"]
    assert set(document["definitions"][schema.rpartition("/")[2]]["properties"]) == {"p", "label"}
    json.dumps(document, allow_nan=False)
