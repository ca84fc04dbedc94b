"""Values through a plugin's own marshmallow fields."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields, validate
from webargs import fields as webargs_fields

from modelport.child.arguments import Fields
from modelport.contract.card import Argument
from modelport.contract.prediction import InputFile
from modelport.errors import InvalidArguments, ModelFailed

# Real modules write fields.Field(); marshmallow 3.26 would rather have Raw.
pytestmark = pytest.mark.filterwarnings("ignore:.Field. should not be instantiated")


def deserialize(args: dict[str, Any], values: dict[str, Any], files: Sequence[InputFile] = ()) -> dict[str, Any]:
    return (args if isinstance(args, Fields) else Fields(args)).read(values, files)


def one(field: Any, raw: Any) -> Any:
    """What a plugin with the one argument `a` receives for it."""
    return deserialize({"a": field}, {"a": raw})["a"]


def described(field: Any) -> Argument:
    return Fields({"a": field}).arguments[0]


def refused(fields_: dict[str, Any], values: dict[str, Any]) -> InvalidArguments:
    with pytest.raises(InvalidArguments) as caught:
        deserialize(fields_, values)
    return caught.value


# What deepaas does too (contract, 2.3).


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        (fields.Str(), "", ""),
        (fields.Int(), "7", 7),
        (fields.Int(), 3.9, 3),
        (fields.Float(), "1e3", 1000.0),
        (fields.Bool(), "on", True),
        (fields.Bool(), "N", False),
        (fields.Dict(), {"a": 1}, {"a": 1}),
        (fields.List(fields.Int()), ["1", "2"], [1, 2]),
        (fields.List(fields.Int()), "1", [1]),
        (fields.List(fields.Float), [], []),
        (fields.List(fields.Int(), allow_none=True), None, None),
        (webargs_fields.DelimitedList(fields.Int()), "1,2,3", [1, 2, 3]),
        (fields.Raw(), {"any": ["thing"]}, {"any": ["thing"]}),
        (fields.Raw(), None, None),
    ],
)
def test_values_become_what_their_fields_make_of_them(field: Any, raw: Any, value: Any) -> None:
    field.allow_none = field.allow_none or raw is None
    assert one(field, raw) == value


def test_an_argument_that_was_not_sent_is_its_default_unconverted_or_absent() -> None:
    found = deserialize({"a": fields.Str(load_default=0.8), "b": fields.Int(load_default="7"), "c": fields.Str()}, {})
    assert found == {"a": 0.8, "b": "7"}


def test_keywords_come_in_the_plugins_order_and_under_its_own_names() -> None:
    args = {"z": fields.Str(), "files": fields.Str(data_key="data"), "bbox(N,W)": fields.Str(), "a-b": fields.Str()}
    found = deserialize(args, {"a-b": "1", "bbox(N,W)": "2", "files": "3", "z": "4", "unknown": "5"})
    assert list(found.items()) == [("z", "4"), ("files", "3"), ("bbox(N,W)", "2"), ("a-b", "1")]


def test_a_default_that_the_plugin_changes_is_whole_again_for_the_next_call() -> None:
    args = Fields({"a": fields.List(fields.Str(), load_default=["x"]), "d": fields.Dict(load_default={"k": []})})
    first = deserialize(args, {})
    first["a"].append("y")
    first["d"]["k"].append("y")
    assert deserialize(args, {}) == {"a": ["x"], "d": {"k": []}}


def test_a_callable_default_is_called_for_each_call() -> None:
    numbers = iter(range(10))
    args = Fields({"a": fields.Int(load_default=lambda: next(numbers))})
    assert deserialize(args, {})["a"] < deserialize(args, {})["a"]


def test_bound_fields_of_a_schema_serve_as_well() -> None:
    class Args(Schema):
        count = fields.Int(required=True)

    assert deserialize(Args().fields, {"count": "3"}) == {"count": 3}


# Lists and objects as text.


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        (fields.List(fields.Float()), "[1.2, -1.8]", [1.2, -1.8]),
        (fields.List(fields.Float()), ["[1.2, -1.8]"], [1.2, -1.8]),
        (fields.List(fields.Str()), "['a','b']", ["a", "b"]),
        (fields.List(fields.Str()), ["['a','b']"], ["a", "b"]),
        (fields.List(fields.Str()), ["[1, 2]"], ["[1, 2]"]),
        (fields.List(fields.Str()), "[not a list", ["[not a list"]),
        (fields.List(fields.Int()), "(1, 2)", [1, 2]),
        (fields.List(fields.Int()), "[]", []),
        (fields.List(fields.List(fields.Int())), ["[1,2]", "[3]"], [[1, 2], [3]]),
        (fields.List(fields.List(fields.Int())), ["[1,2]"], [[1, 2]]),
        (fields.List(fields.List(fields.Int())), "[[1,2],[3]]", [[1, 2], [3]]),
        (fields.List(fields.Dict()), '{"a": 1}', [{"a": 1}]),
        (fields.List(fields.Dict()), ['{"a": 1}', "{'b': 2}"], [{"a": 1}, {"b": 2}]),
        (fields.Dict(), '{"c": "d"}', {"c": "d"}),
        (fields.Dict(), "{'c': 'd'}", {"c": "d"}),
        (fields.Dict(), [" {'c': None} "], {"c": None}),
        (fields.Nested({"x": fields.Int()}), "{'x': '1'}", {"x": 1}),
        (fields.Nested({"x": fields.Int()}, many=True), "[{'x': '1'}]", [{"x": 1}]),
        (webargs_fields.DelimitedList(fields.Int()), "[1, 2]", [1, 2]),
        (webargs_fields.DelimitedList(fields.Str()), "[a,b]", ["[a", "b]"]),
        (fields.Str(), "[1, 2]", "[1, 2]"),
        (fields.Raw(), "[1, 2]", "[1, 2]"),
    ],
)
def test_lists_and_objects_may_come_as_text(field: Any, raw: Any, value: Any) -> None:
    assert one(field, raw) == value


class TextDict(fields.Dict):
    """Reads a notation of its own."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return {"text": value} if isinstance(value, str) else dict(value)


class TextList(fields.List):
    """Takes the text of its one element."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return "".join(value)


class Plain(fields.Dict):
    """Overrides nothing."""


def test_a_class_of_the_plugins_own_gets_the_text_as_it_was_sent() -> None:
    assert one(TextDict(), "{'a': 1}") == {"text": "{'a': 1}"}
    assert one(TextList(fields.Str()), "['a']") == "['a']"
    assert one(Plain(), "{'a': 1}") == {"a": 1}


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" + "-" * 16_000 + "1]", "(" * 5000, "[" + "1+" * 8000 + "1]", "{[}"]
)
def test_hostile_text_is_refused_and_does_no_harm(text: str) -> None:
    assert refused({"a": fields.Dict()}, {"a": text}).fields == {"a": ["Not a valid mapping type."]}


PLAIN = st.none() | st.booleans() | st.integers() | st.text()


@settings(max_examples=50)
@given(st.dictionaries(st.text(), PLAIN | st.lists(PLAIN), max_size=3))
def test_an_object_as_text_means_the_object(value: dict[str, Any]) -> None:
    assert one(fields.Dict(), json.dumps(value)) == value
    assert one(fields.Dict(), repr(value)) == value


@settings(max_examples=50)
@given(st.lists(st.integers()))
def test_a_list_means_the_same_however_it_comes(value: list[int]) -> None:
    field = fields.List(fields.Int())
    assert (
        one(field, json.dumps(value)) == one(field, [str(value)]) == one(field, [str(each) for each in value]) == value
    )


# What is refused.


def test_all_fields_at_fault_are_named_with_marshmallows_own_messages() -> None:
    args = {
        "i": fields.Int(validate=validate.Range(1, 9)),
        "li": fields.List(fields.Int()),
        "needed": fields.Str(required=True, data_key="Needed"),
        "null": fields.Str(),
        "hidden": fields.Str(dump_only=True, load_default="x"),
        "fine": fields.Str(),
    }
    error = refused(args, {"i": "x", "li": ["1", "b"], "null": None, "hidden": "1", "fine": "yes"})
    assert error.fields == {
        "i": ["Not a valid integer."],
        "li": {"1": ["Not a valid integer."]},
        "Needed": ["Missing data for required field."],
        "null": ["Field may not be null."],
        "hidden": ["Unknown field."],
    }
    assert error.message == (
        "i: Not a valid integer (given 'x'; allowed: 1 to 9); li[1]: Not a valid integer (given 'b'); "
        "Needed: Missing data for required field; null: Field may not be null (given None); "
        "hidden: Unknown field (given '1')."
    )


def test_deepaas_own_schema_says_the_same() -> None:
    args = {
        "i": fields.Int(required=True),
        "l": fields.List(fields.Float(), validate=validate.Length(max=1)),
        "n": fields.Nested({"x": fields.Int(required=True)}),
        "c": fields.Str(validate=validate.OneOf(["a", "b"])),
    }
    raw = {"i": "x", "l": ["1", "2"], "n": {"y": 1}, "c": "d"}
    theirs = Schema.from_dict(args)().validate(raw)
    assert refused(args, raw).fields == json.loads(json.dumps(theirs))


def test_a_dump_only_argument_that_was_not_sent_is_no_argument_at_all() -> None:
    assert deserialize({"hidden": fields.Str(dump_only=True, load_default="x")}, {}) == {}


def test_the_sentence_tells_what_is_allowed_and_keeps_secrets() -> None:
    args = {"c": fields.Str(validate=validate.OneOf(["a", "b"])), "p": fields.Int(metadata={"format": "password"})}
    message = refused(args, {"c": "d", "p": "secret"}).message
    assert message == "c: Must be one of: a, b (given 'd'); p: Not a valid integer."


def test_a_long_value_and_many_messages_are_cut() -> None:
    error = refused({"a": fields.List(fields.Int())}, {"a": ["x" * 1000] * 100})
    assert len(error.fields["a"]) == 100
    assert len(error.message) < 3000
    assert error.message.endswith("; and 80 more.")


class Loads(fields.Field):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return json.loads(value)


class Broken(fields.Field):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        raise KeyError(value)


def test_a_field_that_trips_over_a_value_refuses_it_and_one_that_breaks_is_the_models_failure() -> None:
    assert refused({"a": Loads()}, {"a": "{"}).fields["a"][0].startswith("Not a valid value: Expecting")
    with pytest.raises(ModelFailed, match="the plugin's field for 'a' failed: KeyError: 'x'") as caught:
        one(Broken(), "x")
    assert "Traceback" in caught.value.detail


def test_a_field_sees_the_wire_name_and_all_that_was_sent() -> None:
    class Curious(fields.Field):
        def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
            return [attr, dict(data)]

    args = {"a": Curious(data_key="A"), "b": fields.Str()}
    assert deserialize(args, {"a": 1, "b": "2"})["a"] == ["A", {"A": 1, "b": "2"}]


class Reader:
    """A field of no library."""

    load_default = 5

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None) -> Any:
        return f"{attr}={value}" if isinstance(value, str) else self.load_default


def test_without_marshmallow_values_pass_as_they_are() -> None:
    assert deserialize({"a": int, "b": "?", "c": Reader()}, {"a": "1", "c": "x"}) == {"a": "1", "c": "c=x"}
    assert deserialize({}, {"a": 1}) == {}


# Files.


def input_file(argument: str = "f", name: str = "data") -> InputFile:
    return InputFile(argument, "/scratch/1", name, "image/png", "cat.png")


def test_a_file_argument_takes_the_first_and_a_list_takes_all() -> None:
    file = {"type": "file", "location": "form"}
    args = {"f": fields.Field(metadata=file, data_key="data"), "l": fields.List(fields.Raw(), metadata=file)}
    found = deserialize(args, {}, [input_file(), input_file("l"), input_file("l"), input_file(name="second")])
    assert found["f"] == ("data", "/scratch/1", "image/png", "cat.png")
    assert (found["f"].name, found["f"].filename) == ("data", "/scratch/1")
    assert (found["f"].content_type, found["f"].original_filename) == ("image/png", "cat.png")
    assert len(found["l"]) == 2


def test_an_empty_file_input_of_a_browser_is_no_file() -> None:
    file = fields.Field(metadata={"type": "file"}, required=True)
    assert refused({"f": file}, {"f": ""}).fields == {"f": ["Missing data for required field."]}
    assert deserialize({"f": fields.Field(metadata={"type": "file"})}, {"f": b""}) == {}


def test_too_many_files_are_refused_without_telling_paths() -> None:
    args = {"f": fields.List(fields.Field(), metadata={"type": "file"}, validate=validate.Length(max=1))}
    with pytest.raises(InvalidArguments) as caught:
        deserialize(args, {}, [input_file(), input_file()])
    assert caught.value.message == "f: Longer than maximum length 1 (given 2 files; give a list such as [1, 2])."
    assert "scratch" not in caught.value.message


# The description.


def test_types_formats_and_classes_are_described() -> None:
    expected: list[tuple[Any, str, str | None, str]] = [
        (fields.Str(), "string", None, "String"),
        (fields.Int(), "integer", None, "Integer"),
        (fields.Float(), "number", None, "Float"),
        (fields.Decimal(), "number", None, "Decimal"),
        (fields.Bool(), "boolean", None, "Boolean"),
        (fields.Dict(), "object", None, "Dict"),
        (fields.Url(), "string", "url", "Url"),
        (fields.Email(), "string", "email", "Email"),
        (fields.UUID(), "string", "uuid", "UUID"),
        (fields.Date(), "string", "date", "Date"),
        (fields.AwareDateTime(), "string", "date-time", "AwareDateTime"),
        (fields.Field(), "any", None, "Field"),
        (fields.Raw(), "any", None, "Raw"),
        (fields.Raw(metadata={"type": "file"}), "file", None, "Raw"),
        (fields.Raw(metadata={"type": "string", "format": "password"}), "string", "password", "Raw"),
        (fields.List(fields.Int), "array", None, "List"),
        (webargs_fields.DelimitedList(fields.Int()), "array", None, "DelimitedList"),
        (webargs_fields.Nested({"x": fields.Int()}), "object", None, "Nested"),
        (fields.Nested({"x": fields.Int()}, many=True), "array", None, "Nested"),
        (fields.Pluck(Schema.from_dict({"x": fields.Int()}), "x"), "integer", None, "Pluck"),
        (TextDict(), "object", None, "TextDict"),
        (Loads(), "any", None, "Loads"),
    ]
    for field, kind, format_, name in expected:
        card = described(field)
        assert (card.type, card.format, card.field_type) == (kind, format_, name), field


def test_a_plugins_class_that_is_called_as_one_of_marshmallows_is_told_apart() -> None:
    class Boolean(fields.Boolean):
        pass

    assert described(Boolean()).field_type == f"{__name__}.Boolean"
    assert described(Boolean()).type == "boolean"


def test_validators_are_described() -> None:
    card = described(fields.Int(validate=[validate.Range(1, 9, max_inclusive=False)]))
    assert (card.minimum, card.maximum, card.exclusive_minimum, card.exclusive_maximum) == (1, 9, False, True)
    card = described(fields.Str(validate=validate.And(validate.Length(equal=3), validate.Regexp("[a-z]+"))))
    assert (card.min_length, card.max_length, card.pattern) == (3, 3, "[a-z]+")
    card = described(fields.Str(validate=validate.OneOf(("a", "b")), metadata={"enum": ["c"]}))
    assert (card.choices, card.choices_enforced) == (["a", "b"], True)
    card = described(fields.Str(metadata={"enum": ("c", 1)}))
    assert (card.choices, card.choices_enforced) == (["c", 1], False)
    card = described(fields.Str(validate=validate.NoneOf(["a"])))
    assert card.choices is None
    card = described(fields.List(fields.Str(), validate=validate.ContainsOnly(["a"])))
    assert card.choices is None
    assert card.item is not None
    assert (card.item.choices, card.multiple) == (["a"], True)


def test_defaults_are_shown_as_json_can_say_them() -> None:
    assert described(fields.Str()).has_default is False
    assert (
        described(fields.Str(load_default=None)).has_default,
        described(fields.Str(load_default=None)).nullable,
    ) == (
        True,
        True,
    )
    assert described(fields.List(fields.Str(), load_default=list)).default == []
    assert described(fields.Float(load_default=float("nan"))).default == "nan"
    assert described(fields.Raw(load_default=Path("/data"))).default == "/data"
    numbers = iter(range(10))
    moving = described(fields.Int(load_default=lambda: next(numbers)))
    assert (moving.has_default, moving.default) == (True, None)


@pytest.mark.parametrize(
    ("given", "location"),
    [("query", "query"), ("querystring", "query"), ("files", "form"), ("headers", "headers"), ("moon", None)],
)
def test_locations_have_one_name_each(given: str, location: str | None) -> None:
    assert described(fields.Str(metadata={"location": given})).location == location


def test_metadata_keeps_what_the_card_has_no_place_for() -> None:
    metadata = {"description": "text", "location": "form", "unit": "m", "x": {1: Path("p")}}
    card = described(fields.Str(metadata=metadata))
    assert (card.description, card.metadata) == ("text", {"unit": "m", "x": {"1": "p"}})


def test_what_cannot_be_described_is_shown_and_told() -> None:
    class Odd(fields.Str):
        @property
        def validators(self) -> Any:
            raise RuntimeError("not today")

        @validators.setter
        def validators(self, value: Any) -> None:
            pass

    known = Fields({"a": 5, "b": Odd(), "c": fields.Nested("NobodyKnows"), "d": fields.Str})
    card, warnings = known.arguments, known.warnings
    assert [each.type for each in card] == ["any", "any", "any", "string"]
    assert card[0].metadata == {"repr": "5"}
    assert len(warnings) == 3
    json.dumps([each.metadata for each in card])


def test_a_schema_that_nests_itself_ends() -> None:
    class Tree(Schema):
        name = fields.Str()
        children = fields.List(fields.Nested(lambda: Tree()))

    card = described(fields.Nested(Tree))
    assert card.properties is not None
    assert [each.name for each in card.properties] == ["name", "children"]


def test_the_plugins_fields_are_left_as_they_were() -> None:
    choices = ["a", "b"]
    field = fields.Str(validate=validate.OneOf(choices))
    before = dict(vars(field))
    deserialize({"accept": field}, {"accept": "a"})
    assert (choices, vars(field)) == (["a", "b"], before)


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer makes it slow")
def test_three_simple_arguments_take_microseconds(benchmark_us: Callable[[Callable[[], Any]], float]) -> None:
    args = Fields({"s": fields.Str(), "i": fields.Int(), "f": fields.Float(load_default=0.5)})
    # 9 µs measured; the limit is for a machine that is busy with other things.
    assert benchmark_us(lambda: deserialize(args, {"s": "a", "i": "7", "f": "0.5"})) < 100
