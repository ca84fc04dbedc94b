"""docs/kserve.md is true: tritonclient and curl get what it says, and its limits are those of the settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelport.settings import core_table
from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_serverless import ADDRESS, ROOT, pattern, run, steps
from tests.environments import environment
from tests.kserve.test_clients import TRITONCLIENT

PAGE = (ROOT / "docs" / "kserve.md").read_text()


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    client = environment("3.11", TRITONCLIENT).parent
    cli.environ["PATH"] = f"{client}:{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    with cli.running("serve", "my_model", "--listen-port", "0", "--s3-port", "0") as server:
        server.wait_ready()
        page = PAGE.replace(ADDRESS.partition("//")[2], server.url.partition("//")[2])
        kinds = []
        for command, expected in steps(page):
            kinds.append(command.partition(" ")[0])
            if command == "python":
                (tmp_path / expected.partition("\n")[0].removeprefix("# ")).write_text(expected)
                continue
            said = run(cli, command)
            assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
        assert kinds == ["python", "python", "curl"]


def test_its_limits_are_those_of_the_settings() -> None:
    defaults = {setting.name: setting.default for setting in core_table()}
    shown = dict(re.findall(r"^\| .* \| `(\w+)` \| (.*) \|$", PAGE, re.M))
    assert {name: value for name, value in shown.items() if name in defaults} == {
        "tensor_limit_bytes": f"{int(defaults['tensor_limit_bytes']) >> 20} MiB",
        "tensor_limit_elements": f"{defaults['tensor_limit_elements']:,}",
        "tensor_limit_items": str(defaults["tensor_limit_items"]),
        "form_limit_parts": str(defaults["form_limit_parts"]),
        "client_max_size": "none" if defaults["client_max_size"] == 0 else "",
    }
