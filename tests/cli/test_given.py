"""How the model's arguments are read from a command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import pytest

import modelport
from modelport.child import plugin
from modelport.client.calls import CallArguments
from modelport.commands.model import call_arguments
from modelport.commands.shell.names import default_name
from modelport.contract.card import Argument, Card
from modelport.describe.examples import SAMPLES, media, plausible, samples_of
from modelport.describe.snippets import Call, curl_line
from modelport.errors import InvalidArguments, NoSuchPlugin

ARGUMENTS = [
    Argument("word", "string"),
    Argument("loud", "boolean"),
    Argument("two_words", "string", wire_name="sent"),
    Argument("numbers", "array", item=Argument("", "number"), multiple=True),
    Argument("image", "file"),
    Argument("images", "array", item=Argument("", "file"), multiple=True),
]


@pytest.mark.parametrize(
    ("tokens", "values"),
    [
        ([], {}),
        (["--word", "a", "--loud"], {"word": "a", "loud": "true"}),
        (["--loud", "--word", "a"], {"word": "a", "loud": "true"}),
        (["--loud", "no"], {"loud": "no"}),
        (["--no-loud"], {"loud": "false"}),
        (["--word", "-1"], {"word": "-1"}),
        (["--word", "--other"], {"word": "--other"}),
        (["--word=--loud"], {"word": "--loud"}),
        (["--word="], {"word": ""}),
        (["--two-words", "x"], {"two_words": "x"}),
        (["--sent", "x"], {"two_words": "x"}),
        (["--numbers", "1", "--numbers", "2"], {"numbers": ["1", "2"]}),
        (["--numbers", "[1, 2]"], {"numbers": "[1, 2]"}),
    ],
)
def test_values_are_read(tokens: list[str], values: dict[str, object]) -> None:
    assert call_arguments.parse(tokens, ARGUMENTS).values == values


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--wrod", "a"], "the model has no argument --wrod; did you mean --word?"),
        (["--xyzzy"], "the model has no argument --xyzzy; it has --word, --loud, --two_words"),
        (["--word"], "--word needs a value"),
        (["--word", "--loud"], "--word needs a value"),
        (["--word", "a", "--word", "b"], "--word was given 2 times; it takes one value"),
        (["a"], "unexpected 'a': arguments are given as --name value"),
        (["-x"], "unexpected '-x'"),
        (["--no-word"], "the model has no argument --no-word"),
    ],
)
def test_what_is_no_argument_is_named(tokens: list[str], message: str) -> None:
    with pytest.raises(click.UsageError) as error:
        call_arguments.parse(tokens, ARGUMENTS)
    assert message in error.value.message


def test_files_are_found(tmp_path: Path) -> None:
    for name in ("a.png", "b", "[c].wav"):
        (tmp_path / name).touch()
    one, two, three = (str(tmp_path / name) for name in ("a.png", "b", "[c].wav"))
    files = call_arguments.parse(["--image", one, "--images", f"[{two!r}]", "--images", three], ARGUMENTS).files
    assert [(file.argument.name, str(file.content), file.content_type) for file in files] == [
        ("image", one, "image/png"),
        ("images", two, "application/octet-stream"),
        ("images", three, "audio/x-wav"),
    ]


def test_every_file_that_is_missing_is_named(tmp_path: Path) -> None:
    long = "x" * 300
    tokens = ["--image", "no", "--images", str(tmp_path), "--images", "~nobody-has-this-name/a", "--images", long]
    with pytest.raises(InvalidArguments) as error:
        call_arguments.parse(tokens, ARGUMENTS)
    assert error.value.fields == {
        "image": ["There is no file no."],
        "images": [
            f"{tmp_path} is a folder, not a file.",
            "There is no file ~nobody-has-this-name/a.",
            f"There is no file {long}.",
        ],
    }


@pytest.mark.parametrize(
    ("output", "types", "chosen"),
    [
        ("x.png", ["application/json", "image/png"], "image/png"),
        ("x.png", ["application/json", "image/*"], "image/png"),
        ("x.png", ["application/json", "application/pdf"], None),
        ("x.unknown", ["application/json", "image/png"], None),
        ("x.json", ["image/png", "application/json"], "application/json"),
        (None, ["image/png"], None),
    ],
)
def test_an_output_files_name_chooses_the_media_type(output: str | None, types: list[str], chosen: str | None) -> None:
    card = Card("x", predict_args=[Argument("accept", "string")], answer_types=types)
    found = CallArguments()
    call_arguments.choose_accept(card, found, output)
    assert found.values.get("accept") == chosen


# The curl line


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (Argument("x", "integer"), 1),
        (Argument("x", "integer", minimum=5, exclusive_minimum=True), 6),
        (Argument("x", "number", minimum=0, maximum=1), 0.5),
        (Argument("x", "number", maximum=-3), -3),
        (Argument("x", "string", choices=["b", "a"]), "b"),
        (Argument("x", "string", min_length=6), "textte"),
        (Argument("x", "string", max_length=2), "te"),
        (Argument("x", "string", format="date"), "2026-01-31"),
        (Argument("x", "boolean"), True),
        (Argument("x", "array", item=Argument("", "integer"), min_length=3), [1, 1, 1]),
        (
            Argument("x", "object", properties=[Argument("y", "number", required=True), Argument("z", "any")]),
            {"y": 0.5},
        ),
        (Argument("x", "integer", has_default=True, default=7), 7),
        (Argument("x", "string", has_default=True, default="a", metadata={"example": "Ada"}), "Ada"),
    ],
)
def test_plausible_values(argument: Argument, value: object) -> None:
    assert plausible(argument) == value


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ("One picture: PNG or JPEG", "image"),
        ("a sound (wav, mp3)", "audio"),
        ("an .avi file, a video", "video"),
        ("anything at all", None),
    ],
)
def test_the_media_of_a_file_argument(description: str, kind: str | None) -> None:
    assert media(Argument("files", "file", description=description)) == kind


def test_a_modules_own_examples_come_before_those_of_the_servers_folder(tmp_path: Path) -> None:
    assert samples_of(str(tmp_path / "model.py")) == samples_of("my_model") == SAMPLES
    (tmp_path / "examples").mkdir()
    for module in (tmp_path, tmp_path / "model.py"):
        assert samples_of(str(module)) == tmp_path / "examples"


def test_a_module_that_is_installed_as_it_lies_there_has_its_own_examples_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the first lines that `modelport new` prints install it. A folder `data` where the server runs comes first."""
    monkeypatch.chdir(tmp_path)
    assert samples_of("my-model") == Path(__file__).parents[2] / "my_model" / "data"
    assert samples_of("nowhere") == SAMPLES
    (tmp_path / "data").mkdir()
    assert samples_of("my_model") == SAMPLES


@pytest.mark.parametrize("module", ["~nobody-has-this-name/x", f"./{'x' * 300}", f"./{'x' * 300}/api.py", "x" * 300])
def test_a_path_that_cannot_be_is_one_that_is_not_there(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service may have it: its page is shown all the same."""
    monkeypatch.chdir(tmp_path)
    assert samples_of(module) == SAMPLES
    assert default_name(module)
    with pytest.raises(NoSuchPlugin):
        plugin.load(module)


def test_no_path_is_expanded_by_pathlib() -> None:
    """It raises for a user who does not exist; `os.path.expanduser` leaves the path as it is."""
    root = Path(modelport.__file__).parent
    assert [path for path in root.rglob("*.py") if ".expanduser()" in path.read_text()] == []


def test_a_curl_line_takes_the_sample_that_the_card_speaks_of(tmp_path: Path) -> None:
    for name in ("animals.png", "digits_page.png", "digits.wav", "page.txt"):
        (tmp_path / name).touch()
    argument = Argument("files", "file", required=True, description="One image with handwritten digits")
    card = Card("reader", predict_args=[argument])
    line = curl_line(card, "http://h/", token=True, samples=tmp_path)
    assert line == f'curl -s -H "Authorization: Bearer $TOKEN" -F files=@{tmp_path}/digits_page.png http://h/'
    assert "-F files=@path/to/image.png" in curl_line(card, "http://h/", token=False, samples=tmp_path / "none")


@pytest.mark.parametrize("token", ["a$HOME", "it's;exit", 'a"b`c', "plain"])
def test_a_shell_reads_the_token_as_it_is(token: str) -> None:
    """The server's own token is whatever somebody has set."""
    deployment = {"name": "m", "module": "m", "endpoint": "http://h/run/m", "token": token, "bucket": None}
    call = Call(deployment, Card("m"))
    for line, variable in ((call.shell()[0], "TOKEN"), (call.command_line()[0], "BEARER_TOKEN")):
        done = subprocess.run(["sh", "-c", f'{line}\nprintf %s "${variable}"'], capture_output=True, text=True)
        assert done.stdout == token
