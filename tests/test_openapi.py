"""The two documents, and that deepaas' own says the same of the same plugin."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelport.contract.card import AnswerSchema, Argument, Card
from modelport.describe.documents import Failure
from modelport.describe.openapi import openapi31, parameters, request_body
from modelport.describe.schemas import json_schema, value_schema
from modelport.describe.swagger import swagger2
from tests.plugins import environment, installed_plugin

SOURCE = """
from marshmallow import fields, validate

def get_metadata(): return {"name": "kinds"}

def get_predict_args():
    return {
        "text": fields.Str(load_default="ab", metadata={"description": "50% of it"}),
        "files": fields.Field(required=True, data_key="data", metadata={"type": "file", "location": "form"}),
        "many": fields.List(fields.Field(), metadata={"type": "file", "location": "form"}),
        "anything": fields.Raw(),
        "count": fields.Int(load_default=3, validate=validate.Range(min=1, max=9), metadata={"enum": [1, 2, 3]}),
        "share": fields.Float(required=True),
        "flag": fields.Bool(load_default=True),
        "options": fields.Dict(load_default={"a": 1}),
        "numbers": fields.List(fields.Float(), load_default=[1.5], validate=validate.Length(min=1, max=4)),
        "texts": fields.List(fields.Str, metadata={"location": "query"}),
        "address": fields.Url(), "id": fields.UUID(), "mail": fields.Email(),
        "day": fields.Date(), "moment": fields.DateTime(),
        "nothing": fields.Str(load_default=None),
        "secret": fields.Str(metadata={"format": "password", "title": "T", "x_more": 1, "foo": "bar"}),
        "choice": fields.Str(load_default="x", validate=validate.OneOf(["x", "y"])),
        "code": fields.Str(validate=[validate.Length(max=5), validate.Regexp("^a.*")]),
        "j1": fields.Str(required=True, metadata={"location": "json"}),
        "j2": fields.Int(load_default=4, metadata={"location": "json"}),
        "cookie": fields.Str(metadata={"location": "cookies"}),
        "hidden": fields.Str(dump_only=True),
        "head": fields.Int(metadata={"location": "headers"}),
        "dash-name": fields.Str(load_default=0.8),
        "accept": fields.Str(
            metadata={"location": "headers"}, validate=validate.OneOf(["application/json", "image/png"])
        ),
    }

def get_train_args(): return {"epochs": fields.Int(load_default=1, metadata={"description": "how long"})}

schema = {
    "labels": fields.List(fields.Str()),
    "probabilities": fields.List(fields.Float(), required=True),
}
"""


def text(name: str, **more: Any) -> Argument:
    return Argument(name, "string", field_type="String", **more)


NUMBER = Argument("", "number", field_type="Float")


def kinds_of_arguments() -> list[Argument]:
    """Of SOURCE."""
    return [
        text("text", has_default=True, default="ab", description="50% of it"),
        Argument("files", "file", "data", field_type="Field", required=True, location="form"),
        Argument("many", "array", field_type="List", item=Argument("", "file"), multiple=True, location="form"),
        Argument("anything", "any", field_type="Raw"),
        Argument(
            "count",
            "integer",
            field_type="Integer",
            has_default=True,
            default=3,
            minimum=1,
            maximum=9,
            choices=[1, 2, 3],
        ),
        Argument("share", "number", field_type="Float", required=True),
        Argument("flag", "boolean", field_type="Boolean", has_default=True, default=True),
        Argument("options", "object", field_type="Dict", has_default=True, default={"a": 1}),
        Argument(
            "numbers",
            "array",
            field_type="List",
            item=NUMBER,
            multiple=True,
            has_default=True,
            default=[1.5],
            min_length=1,
            max_length=4,
        ),
        Argument("texts", "array", field_type="List", item=text(""), multiple=True, location="query"),
        text("address", format="url"),
        text("id", format="uuid"),
        text("mail", format="email"),
        text("day", format="date"),
        text("moment", format="date-time"),
        text("nothing", has_default=True, default=None, nullable=True),
        text("secret", format="password", metadata={"title": "T", "x_more": 1, "foo": "bar"}),
        text("choice", has_default=True, default="x", choices=["x", "y"], choices_enforced=True),
        text("code", max_length=5, pattern="^a.*"),
        text("j1", required=True, location="json"),
        Argument("j2", "integer", field_type="Integer", has_default=True, default=4, location="json"),
        text("cookie", location="cookies"),
        text("hidden", read_only=True),
        Argument("head", "integer", field_type="Integer", location="headers"),
        text("dash-name", has_default=True, default=0.8),
        text("accept", location="headers", choices=["application/json", "image/png"], choices_enforced=True),
    ]


def kinds() -> Card:
    """The card of SOURCE."""
    labels = Argument("labels", "array", field_type="List", item=text(""), multiple=True)
    probabilities = Argument("probabilities", "array", field_type="List", item=NUMBER, multiple=True, required=True)
    return Card(
        "kinds",
        metadata={
            "name": "Kinds",
            "version": "1.2",
            "summary": "All kinds",
            "author": "A",
            "license": "MIT",
            "x": None,
        },
        predict_args=kinds_of_arguments(),
        train_args=[
            Argument("epochs", "integer", field_type="Integer", has_default=True, default=1, description="how long")
        ],
        answer_types=["application/json", "image/png"],
        default_answer_type="application/json",
        answer_schema=AnswerSchema("ModelPredictionResponse", [labels, probabilities]),
        capabilities=["predict", "train"],
    )


def bare(name: str = "bare") -> Card:
    return Card(name)


def both(cards: dict[str, Card], **more: Any) -> list[dict[str, Any]]:
    settings = {"base_path": "", "version": "9.9", **more}
    return [swagger2(cards, **settings), openapi31(cards, **settings)]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(each)


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for item in document["paths"].values() for verb, each in item.items() if verb != "parameters"]


def predict_of(document: dict[str, Any], name: str = "kinds") -> Any:
    return document["paths"][f"/v2/models/{name}/predict/"]["post"]


# Against the real thing

DUMP = """
import asyncio, json, os, sys, warnings
warnings.simplefilter("ignore")
from deepaas import config

async def main():
    app = await api.get_app()
    sys.__stdout__.write("document: " + json.dumps(app["swagger_dict"]) + "\\n")
    sys.__stdout__.flush()
    os._exit(0)  # its pool of workers would be waited for

if __name__ == "__main__":
    config.config_and_logging(["--nowarm"])
    from deepaas import api
    asyncio.run(main())
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The document that deepaas makes of SOURCE."""
    folder = installed_plugin(tmp_path_factory.mktemp("plugin"), "kinds", SOURCE)
    (folder / "dump.py").write_text(DUMP)
    command = [sys.executable, str(folder / "dump.py")]
    run = subprocess.run(
        command, env=environment(folder, "kinds"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    [line] = [each for each in run.stdout.splitlines() if each.startswith("document: ")]
    return json.loads(line.partition(" ")[2])


@pytest.mark.slow
def test_deepaas_describes_each_parameter_the_same(original: Any) -> None:
    ours = swagger2({"kinds": kinds()}, base_path="", version="1")
    for path in ("/v2/models/kinds/predict/", "/v2/models/kinds/train/"):
        theirs = original["paths"][path]["post"]
        # deepaas says "in: cookie", which is no place in Swagger 2.0.
        theirs["parameters"] = [their for their in theirs["parameters"] if their["in"] != "cookie"]
        post = ours["paths"][path]["post"]
        assert post["parameters"] == [
            {**their, "default": "application/json"} if their["name"] == "accept" else their
            for their in theirs["parameters"]
        ]
        assert post["produces"] == theirs["produces"]
    assert predict_of(ours)["x-cookies"] == ["cookie"]


@pytest.mark.slow
def test_deepaas_has_the_same_paths_and_answer(original: Any) -> None:
    ours = swagger2({"kinds": kinds()}, base_path="", version="1")
    assert {path: sorted(item) for path, item in ours["paths"].items()} == {
        path: sorted(item) for path, item in original["paths"].items()
    }
    name = "ModelPredictionResponse"
    assert predict_of(ours)["responses"]["200"]["schema"] == {"$ref": f"#/definitions/{name}"}
    assert ours["definitions"][name] == original["definitions"][name]


@pytest.mark.slow
def test_the_card_that_the_child_makes_gives_the_same_documents(tmp_path: Path) -> None:
    folder = installed_plugin(tmp_path, "kinds", SOURCE)
    program = (
        "import json, x; from dataclasses import asdict; from modelport.child.arguments import Fields\n"
        "print(json.dumps([asdict(each) for each in Fields(x.get_predict_args()).arguments]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment(folder), capture_output=True, text=True, check=True
    )
    made = [Argument.from_plain(load) for load in json.loads(run.stdout)]
    by_hand = kinds().predict_args
    assert [json_schema(each) for each in made] == [json_schema(each) for each in by_hand]
    assert [json_schema(each, swagger=True) for each in made] == [json_schema(each, swagger=True) for each in by_hand]


# Both documents

CARDS = {
    "one": {"kinds": kinds()},
    "bare": {"bare": bare()},
    "none": {},
    "several": {"kinds": kinds(), "bare": bare(), "Other one": kinds()},
}


@pytest.mark.parametrize("name", CARDS)
def test_every_reference_leads_somewhere(name: str) -> None:
    for document in both(CARDS[name], token=True, base_path="/base"):
        for node in walk(document):
            if "$ref" in node:
                target: Any = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
                assert isinstance(target, dict)


@pytest.mark.parametrize("name", CARDS)
def test_every_operation_has_its_own_id_and_describes_its_answers(name: str) -> None:
    for document in both(CARDS[name]):
        ids = [operation["operationId"] for operation in operations(document)]
        assert len(ids) == len(set(ids))
        for operation in operations(document):
            assert operation["responses"]
            assert all(answer["description"] for answer in operation["responses"].values())
            assert operation["summary"]


@pytest.mark.parametrize("name", CARDS)
def test_every_part_of_a_path_is_a_parameter(name: str) -> None:
    for document in both(CARDS[name]):
        for path, item in document["paths"].items():
            for verb, operation in item.items():
                if verb != "parameters":
                    listed = operation.get("parameters", []) + item.get("parameters", [])
                    inside = {each["name"] for each in listed if each["in"] == "path"}
                    assert inside == ({"uuid"} if "{uuid}" in path else set())


def test_documents_are_plain_json() -> None:
    for document in both(CARDS["several"]):
        assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_base_path_stands_before_every_path() -> None:
    for document in both(CARDS["one"], base_path="/models"):
        assert all(path.startswith("/models") for path in document["paths"])
        assert "/models" in document["paths"]
        assert "/models/v2/models/kinds/predict/" in document["paths"]


def test_a_switched_off_endpoint_is_absent() -> None:
    for document in both(CARDS["one"], predict=False):
        assert not [path for path in document["paths"] if path.endswith("predict/")]
    for document in both(CARDS["one"], train=False):
        assert not [path for path in document["paths"] if "train" in path]
        assert len([path for path in document["paths"] if path.endswith("predict/")]) == 1


def test_a_token_is_asked_for_where_there_is_one() -> None:
    old, new = both(CARDS["one"], token=True)
    assert old["securityDefinitions"]["bearer"]["name"] == "Authorization"
    assert new["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    assert old["security"] == new["security"] == [{"bearer": []}]
    assert "401" in predict_of(old)["responses"]
    assert not any("security" in document for document in both(CARDS["one"]))


def test_the_document_is_about_the_model_where_there_is_one() -> None:
    old, new = both(CARDS["one"])
    assert new["info"] == {
        "title": "Kinds",
        "version": "9.9",
        "summary": "All kinds",
        "description": "Version 1.2 of the model.",
        "contact": {"name": "A"},
        "license": {"name": "MIT"},
    }
    assert old["info"]["description"] == "All kinds\n\nVersion 1.2 of the model."
    assert both(CARDS["several"])[0]["info"] == {"title": "Models", "version": "9.9"}


def test_answers_of_several_models_do_not_collide() -> None:
    old, new = both(CARDS["several"])
    for schemas in (old["definitions"], new["components"]["schemas"]):
        assert {"kinds.ModelPredictionResponse", "Other_one.ModelPredictionResponse", "Prediction"} <= set(schemas)


@pytest.mark.parametrize("name", ["Training", "Failure", "Location"])
def test_a_plugins_own_name_does_not_replace_one_of_ours(name: str) -> None:
    card = Card("x", answer_schema=AnswerSchema(name, [text("mine")]))
    for document in both({"x": card}):
        schemas = document.get("definitions") or document["components"]["schemas"]
        assert "mine" in schemas[f"{name}1"]["properties"]


def test_trainings_are_described_as_they_are_sent() -> None:
    for document in both(CARDS["one"]):
        schemas = document.get("definitions") or document["components"]["schemas"]
        assert schemas["TrainingList"]["type"] == "array"
        assert set(schemas["Training"]["properties"]["status"]["enum"]) == {"running", "done", "error", "cancelled"}
        assert set(schemas["Training"]["required"]) == {"uuid", "date", "status", "args"}


def test_a_function_that_the_plugin_lacks_is_said_to_be_lacking() -> None:
    for document in both({"kinds": kinds(), "bare": bare()}):
        assert "501" in predict_of(document, "bare")["responses"]
        assert "501" not in predict_of(document)["responses"]


# Swagger 2.0


def test_errors_of_arguments_are_described() -> None:
    [old, _] = both(CARDS["one"])
    assert predict_of(old)["responses"]["422"]["schema"] == {"$ref": "#/definitions/ArgumentErrors"}


def test_a_file_is_in_the_form_even_if_the_plugin_does_not_say_so() -> None:
    card = Card("x", predict_args=[Argument("f", "file", field_type="Field")])
    [old, _] = both({"x": card})
    operation = predict_of(old, "x")
    assert operation["parameters"] == [{"in": "formData", "name": "f", "required": False, "type": "file"}]
    assert operation["consumes"] == ["multipart/form-data"]


def test_without_an_accept_argument_the_answer_is_json() -> None:
    [old, _] = both(CARDS["bare"])
    assert predict_of(old, "bare")["produces"] == ["application/json"]


def test_a_nested_objects_required_keys_are_not_taken_for_the_parameters_own() -> None:
    nested = Argument("n", "object", field_type="Nested", properties=[text("a", required=True)])
    [old, _] = both({"x": Card("x", predict_args=[nested])})
    assert predict_of(old, "x")["parameters"][0]["required"] is False


# OpenAPI 3.1


def test_a_form_with_a_required_file_travels_only_as_multipart() -> None:
    [_, new] = both(CARDS["one"])
    body = predict_of(new)["requestBody"]
    assert body["required"] is True
    assert list(body["content"]) == ["multipart/form-data"]
    form = body["content"]["multipart/form-data"]
    assert form["schema"]["properties"]["data"]["format"] == "binary"
    assert "j1" not in form["schema"]["properties"]  # in JSON only
    assert form["schema"]["required"] == ["data", "share"]


def test_arguments_without_files_travel_in_json_or_either_form() -> None:
    arguments = [text("a", required=True), text("b"), Argument("f", "file")]
    body = request_body(arguments)
    assert body is not None
    assert {media: list(each["schema"]["properties"]) for media, each in body["content"].items()} == {
        "multipart/form-data": ["a", "b", "f"],
        "application/json": ["a", "b"],
        "application/x-www-form-urlencoded": ["a", "b"],
    }


def test_a_location_keeps_an_argument_where_it_belongs() -> None:
    arguments = [text(each, location=each) for each in ("query", "form", "json", "headers", "cookies")]
    assert [(parameter["name"], parameter["in"]) for parameter in parameters(arguments)] == [
        ("query", "query"),
        ("headers", "header"),
        ("cookies", "cookie"),
    ]
    body = request_body(arguments)
    assert body is not None
    assert {media: list(each["schema"]["properties"]) for media, each in body["content"].items()} == {
        "multipart/form-data": ["form"],
        "application/json": ["json"],
        "application/x-www-form-urlencoded": ["form"],
    }


def test_without_a_body_all_but_files_are_in_the_query() -> None:
    found = parameters([text("a"), Argument("f", "file"), text("h", location="headers")], body=False)
    assert [(each["name"], each["in"]) for each in found] == [("a", "query"), ("h", "header")]


def test_lists_are_repeated_unless_the_field_reads_commas() -> None:
    item = Argument("", "integer")
    repeated = Argument("r", "array", item=item, multiple=True)
    commas = Argument("c", "array", field_type="DelimitedList", item=item)
    assert [parameter["explode"] for parameter in parameters([repeated, commas], body=False)] == [True, False]
    body = request_body([repeated, commas])
    assert body is not None
    encoding = body["content"]["multipart/form-data"]["encoding"]
    assert {name: each["explode"] for name, each in encoding.items()} == {"r": True, "c": False}


def test_the_answer_has_each_media_type_that_the_plugin_gives() -> None:
    [_, new] = both(CARDS["one"])
    content = predict_of(new)["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/ModelPredictionResponse"}
    assert content["image/png"]["schema"]["contentMediaType"] == "image/png"
    assert "accept" not in [parameter["name"] for parameter in predict_of(new)["parameters"]]


def test_an_answer_without_a_schema_comes_in_an_envelope() -> None:
    [_, new] = both(CARDS["bare"])
    content = predict_of(new, "bare")["responses"]["200"]["content"]
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Prediction"}
    assert new["components"]["schemas"]["Prediction"]["required"] == ["status", "predictions"]
    assert value_schema(Card("x", answer_schema=AnswerSchema("X", [text("a")], many=True)))["type"] == "array"


def test_every_error_is_described_with_its_shape() -> None:
    [_, new] = both(CARDS["one"])
    responses = predict_of(new)["responses"]
    assert set(responses) == {"200", "400", "401", "413", "422", "500", "503", "504"}
    assert responses["422"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ArgumentErrors"}
    assert "Retry-After" in responses["503"]["headers"]
    assert all(response["content"] for response in responses.values())


def test_other_front_ends_add_their_paths_with_types_for_schemas() -> None:
    extra = {"/b/x": {"get": {"responses": {"200": {"content": {"application/json": {"schema": list[Failure]}}}}}}}
    document = openapi31(CARDS["one"], base_path="/b", version="1", extra_paths=extra)
    schema = document["paths"]["/b/x"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"type": "array", "items": {"$ref": "#/components/schemas/Failure"}}
    assert document["components"]["schemas"]["Failure"]["required"] == ["error", "message"]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (text("a", nullable=True, choices=["x"]), {"type": ["string", "null"], "enum": ["x", None]}),
        (
            Argument("a", "number", minimum=0, maximum=1, exclusive_minimum=True),
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        ),
        (text("a", minimum="2020-01-01", format="date"), {"type": "string", "format": "date"}),
        (text("a", format="url"), {"type": "string", "format": "uri"}),
        (text("a", pattern="(?P<n>x)"), {"type": "string"}),
        (text("a", pattern="^[a-z]{2,3}$"), {"type": "string", "pattern": "^[a-z]{2,3}$"}),
        (text("a", has_default=True, default=None), {"type": "string"}),
        (text("a", has_default=True, default=None, nullable=True), {"type": ["string", "null"], "default": None}),
        (text("a", metadata={"example": "x", "required": True}), {"type": "string", "examples": ["x"]}),
        (Argument("a", "any"), {}),
        (Argument("a", "array"), {"type": "array", "items": {}}),
        (
            Argument("a", "object", properties=[text("b", required=True)]),
            {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]},
        ),
    ],
)
def test_an_argument_as_json_schema(argument: Argument, expected: dict[str, Any]) -> None:
    assert json_schema(argument) == expected
