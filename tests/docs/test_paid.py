"""docs/paid.md is true: its commands print what it says, with a backend on this machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import MODELPORT, Cli
from tests.docs.test_jobs import free_port
from tests.docs.test_serverless import ROOT, pattern, run, steps
from tests.house import wait_until_now
from tests.nevermined.backend import KEY, Marketplace, running
from tests.payments.facilitator import token

PAGE = ROOT / "docs" / "paid.md"


@pytest.mark.slow
def test_the_page_works_as_written(tmp_path: Path, fitted_home: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    url = f"http://127.0.0.1:{free_port()}"
    cli.environ["PATH"] = f"{Path(MODELPORT).parent}:/usr/local/bin:/usr/bin:/bin"
    cli.environ |= {"NVM_API_KEY": KEY, "MODELPORT_PUBLIC_URL": url, "SERVER": url, "TOKEN": token()}
    commands = 0
    with running(Marketplace()) as backend:
        cli.environ["MODELPORT_NEVERMINED_BACKEND"] = backend
        port = url.rpartition(":")[2]
        with cli.running("serve", "--empty", "--public-documents", "--listen-port", port) as server:
            assert server.url
            wait_until_now(lambda: (cli.home / "server.json").exists())
            for command, expected in steps(PAGE.read_text()):
                own = re.sub(r"(?<=modelport nevermined )\w+ digits", rf"\g<0> --backend {backend}", command)
                said = run(cli, own).replace("\r", "")
                assert re.fullmatch(pattern(expected), said), f"$ {command}\n{said}\n--- the page says:\n{expected}"
                assert KEY not in said
                commands += 1
    assert commands == 9
