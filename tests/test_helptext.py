"""The help text against the real deepaas-cli's, letter for letter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelport.contract.card import Argument, Card
from modelport.describe.helptext import help_text
from tests.plugins import DEEPAAS_CLI, environment, installed_plugin

# The source of a plugin, and its arguments as a card has them.
PLUGINS = {
    "none": ("def get_predict_args(): return {}", []),
    "kinds": (
        """
from marshmallow import fields

def get_predict_args():
    return {
        "text": fields.Str(load_default="red", metadata={"description": "A colour,\\n  or two\\n\\nand more"}),
        "count": fields.Int(load_default=2, metadata={"description": "How many", "enum": [1, 2]}),
        "share": fields.Float(required=True, metadata={"description": "50% of it, 100%% sure, %(prog)s"}),
        "flag": fields.Bool(load_default=True),
        "numbers": fields.List(fields.Float(), load_default=[1.5]),
        "options": fields.Dict(load_default={"a": [1, None]}),
        "when": fields.DateTime(),
        "address": fields.Url(load_default=None),
        "number_as_text": fields.Str(load_default=0.8),
    }
""",
        [
            Argument(
                "text",
                "string",
                field_type="String",
                has_default=True,
                default="red",
                description="A colour,\n  or two\n\nand more",
            ),
            Argument(
                "count",
                "integer",
                field_type="Integer",
                has_default=True,
                default=2,
                description="How many",
                choices=[1, 2],
            ),
            Argument(
                "share", "number", field_type="Float", required=True, description="50% of it, 100%% sure, %(prog)s"
            ),
            Argument("flag", "boolean", field_type="Boolean", has_default=True, default=True),
            Argument(
                "numbers",
                "array",
                field_type="List",
                item=Argument("", "number", field_type="Float"),
                has_default=True,
                default=[1.5],
            ),
            Argument("options", "object", field_type="Dict", has_default=True, default={"a": [1, None]}),
            Argument("when", "string", field_type="DateTime", format="date-time"),
            Argument("address", "string", field_type="Url", has_default=True, default=None, nullable=True),
            Argument("number_as_text", "string", field_type="String", has_default=True, default=0.8),
        ],
    ),
    "files": (
        """
from marshmallow import fields

class Field(fields.Field):
    pass

class Int(fields.Int):
    pass

def get_predict_args():
    return {
        "files": fields.Field(required=True, data_key="data", metadata={"type": "file", "location": "form"}),
        "anything": fields.Field(metadata={"description": "What you like"}),
        "raw": fields.Raw(),
        "own": Field(),
        "own_int": Int(load_default=3),
        "help_me": fields.Str(dump_only=True),
        "dash-name": fields.Str(required=True),
        "bbox(N,W,S,E)": fields.Str(required=True, metadata={"description": "<b>bold</b>"}),
    }
""",
        [
            Argument("files", "file", "data", field_type="Field", required=True, location="form"),
            Argument("anything", "any", field_type="Field", description="What you like"),
            Argument("raw", "any", field_type="Raw"),
            Argument("own", "any", field_type="x.Field"),
            Argument("own_int", "integer", field_type="x.Int", has_default=True, default=3),
            Argument("help_me", "string", field_type="String", read_only=True),
            Argument("dash-name", "string", field_type="String", required=True),
            Argument("bbox(N,W,S,E)", "string", field_type="String", required=True, description="<b>bold</b>"),
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "width"), [("predict", 80), ("train", 57)])
@pytest.mark.parametrize("name", PLUGINS)
def test_it_is_letter_for_letter_what_deepaas_cli_prints(name: str, method: str, width: int, tmp_path: Path) -> None:
    source, arguments = PLUGINS[name]
    source += "\nget_train_args = get_predict_args\n"
    environ = environment(installed_plugin(tmp_path, name, source), name, COLUMNS=str(width))
    command = [str(DEEPAAS_CLI), method, "--help"]
    original = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
    card = Card(name, predict_args=arguments, train_args=arguments)
    assert help_text(card, prog=f"deepaas-cli {method}", method=method, width=width) == original


@pytest.mark.slow
@pytest.mark.parametrize("name", PLUGINS)
def test_it_is_the_same_from_the_card_that_the_child_makes(name: str, tmp_path: Path) -> None:
    """The child describes the plugin in a process of its own, as always."""
    folder = installed_plugin(tmp_path, name, PLUGINS[name][0])
    program = (
        "import sys, x; from modelport.child.arguments import Fields; from modelport.contract.card import Card\n"
        "from modelport.describe.helptext import help_text\n"
        "card = Card('x', predict_args=Fields(x.get_predict_args()).arguments)\n"
        "print(help_text(card, prog='p'), end='')"
    )
    made = subprocess.run(
        [sys.executable, "-c", program], env=environment(folder), capture_output=True, text=True, check=True
    )
    assert made.stdout == help_text(Card(name, predict_args=PLUGINS[name][1]), prog="p")


def lines(*arguments: Argument) -> list[str]:
    return help_text(Card("x", predict_args=list(arguments)), prog="x").splitlines()


def test_the_choices_of_a_validator_come_after_what_the_original_says() -> None:
    argument = Argument(
        "kind", "string", field_type="String", choices=["a", "b%"], choices_enforced=True, has_default=True, default="a"
    )
    assert lines(argument)[-4:] == [
        "  --kind KIND",
        "          Type: str",
        "          Default: a",
        "          Choices: ['a', 'b%']",
    ]


def test_a_percent_sign_in_a_default_does_no_harm() -> None:
    argument = Argument("s", "string", field_type="String", has_default=True, default="50%b %(prog)s %%")
    assert lines(argument)[-1] == "          Default: 50%b %(prog)s %%"


def test_a_file_is_called_one_whatever_its_field_and_so_is_a_list_of_them() -> None:
    raw = Argument("one", "file", field_type="Raw")
    many = Argument("many", "array", field_type="List", item=Argument("", "file"))
    text = lines(raw, many)
    assert "          Type: str (filepath)" in text
    assert '          Type: list, enclosed as string: "[...]" (filepaths)' in text


def test_a_default_that_is_computed_is_called_so() -> None:
    argument = Argument("now", "number", field_type="Float", has_default=True, default=None)
    assert lines(argument)[-1] == "          Default: <computed>"


@pytest.mark.parametrize(
    "name", ["help", "h", "a b", "[x]", "(y", "a%b", "--", "é", "x" * 90, "a [b] (c) | d", "a=b", "%(prog)s"]
)
def test_no_name_of_an_argument_breaks_it(name: str) -> None:
    long = [Argument(f"other{number}", "string", required=number % 2 == 0) for number in range(20)]
    for required in (False, True):
        text = lines(*long, Argument(name, "string", field_type="String", required=required, description="Found"))
        assert any(each.endswith(" Found") for each in text)  # a short name has its help on the same line


def test_it_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card("x", predict_args=[Argument(f"argument{number}", "string") for number in range(9)])
    before = help_text(card, prog="x")
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert help_text(card, prog="x") == before
    assert help_text(card, prog="x", width=30) != before
