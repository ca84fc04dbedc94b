"""README.md is true: its commands print what it says, its plugin runs as pasted, and what it names is in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.house import wait_until_now

README = (ROOT / "README.md").read_text()
SERVE = "modelport serve my_model"  # what `make serve` runs (Makefile)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    return cli


def section(heading: str) -> str:
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def check(cli: Cli, command: str, expected: str, url: str) -> None:
    said = run(cli, command.replace(ADDRESS, url))
    assert not expected or re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- README says:\n{expected}"


def readme_plugin() -> str:
    [code] = [text for command, text in steps(README) if command == "python"]
    return code


@pytest.mark.slow
def test_the_first_command_prints_what_readme_says(cli: Cli) -> None:
    assert f"exec $(BIN)/{SERVE} $(ARGS)" in (ROOT / "Makefile").read_text()
    text = section("Try it")
    [printed] = re.findall(r"^```\n(Listening.*?)^```$", text, re.M | re.S)
    printed = printed.replace("1.0 s", "… s").replace("http://127.0.0.1:9000", "http://127.0.0.1:…")
    call, expected = list(steps(text))[-1]
    with cli.running(*SERVE.split()[1:], "--listen-port", "0", "--s3-port", "0") as server:
        server.wait_ready()
        wait_until_now(lambda: len(server.out) >= len(printed.splitlines()))
        said = "".join(server.out)
        assert re.fullmatch(pattern(printed.replace(ADDRESS, server.url)), said), said
        assert call in printed
        check(cli, call, expected, server.url)
        for command, wanted in steps(section("Deploy a service, run a batch")):
            check(cli, command, wanted, server.url)


@pytest.mark.slow
def test_the_plugin_runs_as_pasted(cli: Cli) -> None:
    (cli.folder / "greeter.py").write_text(readme_plugin())
    (predict, answer), (serve, nothing), (call, expected) = (
        step for step in steps(section("Write a plugin")) if step[0] != "python"
    )
    check(cli, predict, answer, ADDRESS)
    assert not nothing
    with cli.running(*serve.split()[1:], "--listen-port", "0", "--s3-port", "0") as server:
        server.wait_ready()
        check(cli, call, expected, server.url)


# | what happens | `path` (`name`, `name`) … |
PLACE = re.compile(r"`((?:modelport|tests|tools)/[\w/.]*|[\w.]+\.(?:cfg|txt|toml))`(?: \(((?:`\w+`(?:, )?)+)\))?")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_what_the_tables_of_places_name_is_there(page: str) -> None:
    text = (ROOT / page).read_text().partition("## Where things are")[2].partition("\n## ")[0]
    places = PLACE.findall(text)
    assert len(places) >= 8
    for path, names in places:
        assert (ROOT / path).exists(), path
        for name in re.findall(r"\w+", names):
            defined = re.compile(rf"^\s*(?:(?:async )?def|class) {name}\b|^{name}\b.* = ", re.M)
            assert defined.search((ROOT / path).read_text()), f"{path} has no {name}"
