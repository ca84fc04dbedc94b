"""`modelport check` as a command: what it prints in each form, and its exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from modelport.checks.rules import RULES
from tests.checks.modules import METADATA, good_module
from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """An error with a line, and a hint; nothing that must run."""
    folder = good_module(tmp_path / "louder")
    (folder / "ai4-metadata.yml").write_text(METADATA.replace("AI4 inference", "AI4 Inference"))
    (folder / "README.md").unlink()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("module", ["my_model", str(ROOT / "my_model"), str(ROOT / "examples" / "demo_app")])
def test_the_modules_of_this_repository_pass(cli: Cli, module: str) -> None:
    done = cli("check", module, "--strict")
    assert done.status == 0, done.text
    assert "0 errors, 0 warnings" in done.text


def test_a_table_names_the_file_and_the_line(cli: Cli, broken: Path) -> None:
    done = cli("check", "./louder", "--no-run")
    assert done.status == 1
    head, error, hint, summary = done.text.splitlines()
    assert head.split() == ["LEVEL", "RULE", "WHERE", "WHAT"]
    assert error.split()[:3] == ["error", "metadata-schema", "louder/ai4-metadata.yml:16"]
    assert error.endswith("did you mean 'AI4 inference'?")
    assert hint.split()[:3] == ["hint", "readme", "louder"]
    assert summary == "louder: 1 error, 0 warnings, 1 hint"


def test_the_folder_that_one_is_in_is_the_default(cli: Cli, broken: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelport", "check", "--no-run"], cwd=broken, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ai4-metadata.yml:16" in done.stdout


def test_json_has_everything(cli: Cli, broken: Path) -> None:
    document = cli("check", "./louder", "--json").json()
    assert (document["module"], document["errors"], document["warnings"], document["hints"]) == ("louder", 1, 0, 1)
    assert document["cold_start_s"] > 0
    assert document["memory_bytes"] > 1 << 20
    assert document["predictions"] == 1
    assert document["findings"][0] == {
        "rule": "metadata-schema",
        "level": "error",
        "file": "louder/ai4-metadata.yml",
        "line": 16,
        "message": "categories[0] is 'AI4 Inference'; did you mean 'AI4 inference'?",
    }


def test_github_shows_it_at_its_line(cli: Cli, broken: Path) -> None:
    error, hint = cli("check", "./louder", "--no-run", "--format", "github").text.splitlines()
    assert error == (
        "::error file=louder/ai4-metadata.yml,line=16,title=metadata-schema::"
        "categories[0] is 'AI4 Inference'; did you mean 'AI4 inference'?"
    )
    assert hint.startswith("::notice file=louder,title=readme::")


def test_junit_has_a_case_for_each_rule(cli: Cli, broken: Path) -> None:
    suite = ElementTree.fromstring(cli("check", "./louder", "--no-run", "--format", "junit").text)
    cases = {case.get("name", "").partition(":")[0]: case for case in suite}
    assert list(cases) == [rule.id for rule in RULES]
    assert cases["metadata-schema"].find("failure") is not None
    assert cases["loads"].find("skipped") is not None
    assert cases["readme"].find("failure") is None, "a hint fails nothing"
    assert (suite.get("failures"), suite.get("tests")) == ("1", str(len(RULES)))


def test_warnings_count_with_strict(cli: Cli, tmp_path: Path) -> None:
    (good_module(tmp_path / "louder") / ".env").write_text("A=b\n")
    assert cli("check", "./louder", "--no-run").status == 0
    assert cli("check", "./louder", "--no-run", "--strict").status == 1


def test_what_is_not_there_is_said(cli: Cli) -> None:
    missing = cli("check", "./nowhere")
    assert (missing.status, missing.err) == (
        3,
        "error: ./nowhere does not exist; name a module's folder, a Python file or an installed module\n",
    )
    unknown = cli("check", "nobodys_module")
    assert unknown.status == 3
    assert "nobodys_module is not an installed module" in unknown.err


def test_a_module_that_hangs_at_its_import_is_given_up(cli: Cli, tmp_path: Path) -> None:
    folder = good_module(tmp_path / "louder")
    (folder / "louder.py").write_text("import time\ntime.sleep(3600)\n")
    done = cli("check", "./louder", "--load-timeout-s", "0.5")
    assert done.status == 1
    assert done.text.splitlines()[1].split()[:3] == ["error", "loads", "louder"]


def test_a_single_file_is_run(cli: Cli, tmp_path: Path) -> None:
    folder = good_module(tmp_path / "louder")
    done = cli("check", str(folder / "louder.py"), "--json")
    assert done.status == 0
    assert done.json()["predictions"] == 1


def test_the_rules_are_listed(cli: Cli) -> None:
    head, *lines = cli("check", "--rules").text.splitlines()
    assert head.split() == ["RULE", "LEVEL", "WHAT", "MUST", "HOLD"]
    assert [line.split()[0] for line in lines] == [rule.id for rule in RULES]
