"""docs/nevermined.md is true: its commands print what it says, with a backend on this machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_jobs import free_port
from tests.docs.test_serverless import ROOT, pattern, run, steps
from tests.house import wait_until_now
from tests.nevermined.backend import KEY, Marketplace, running

PAGE = ROOT / "docs" / "nevermined.md"


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    port = free_port()
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    cli.environ |= {"NVM_API_KEY": KEY, "MODELPORT_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    commands = 0
    with (
        running(Marketplace()) as url,
        cli.running("serve", "--empty", "--public-documents", "--listen-port", str(port)) as server,
    ):
        assert server.url
        wait_until_now(lambda: (cli.home / "server.json").exists())
        for command, expected in steps(PAGE.read_text()):
            own = re.sub(r"(?<=modelport nevermined )\w+ digits", rf"\g<0> --backend {url}", command)
            said = run(cli, own)
            shown = pattern(expected.replace("https://…/", f"{url}/"))
            assert re.fullmatch(shown, said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
            commands += 1
    assert commands == 4
