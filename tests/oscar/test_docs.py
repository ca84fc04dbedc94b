"""docs/oscar.md: its examples are run, its calls are those that there are."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.oscar.conftest import DATA, ROOT, OpenOscar

pytestmark = pytest.mark.asyncio(loop_scope="package")

PAGE = (ROOT / "docs/oscar.md").read_text()
END = "---- end of output ----"


def examples() -> list[tuple[str, str]]:
    """(command, what it prints) of all console blocks."""
    found: list[tuple[list[str], list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(([line[2:]], []))
            elif line.startswith("> "):
                found[-1][0].append(line[2:])
            else:
                found[-1][1].append(line)
    return [("\n".join(command), "\n".join(output).strip()) for command, output in found]


def pattern(expected: str) -> str:
    """`…` is anything; a line of it alone, any lines."""
    return re.escape(expected).replace("…", ".*?")


async def test_the_examples(oscar_with: OpenOscar, tmp_path: Path) -> None:
    opened = await oscar_with(password="secret")
    folder = tmp_path / "work"
    shutil.copytree(DATA, folder)
    commands = examples()
    script = "\n".join(f"{command}\necho; echo '{END}'" for command, _ in commands)
    head = f"ENDPOINT={opened.house.url}\nPASSWORD=secret\nPATH={Path(sys.executable).parent}:$PATH\n"
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", head + script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    printed = done.stdout.split(END)
    assert len(commands) > 8
    for (command, expected), found in zip(commands, printed, strict=False):
        # The first lines of an answer are its status and headers, in an order of the server's own.
        lines = expected.splitlines()
        text = found.strip()
        if lines and lines[0].startswith("HTTP/"):
            above, _, expected = expected.partition("\n…")
            for line in above.splitlines():
                assert re.search(pattern(line), text), f"{command}\n{text}"
            text = text.replace("\r", "").partition("\n\n")[2]
        assert re.fullmatch(pattern(expected.strip()), text.strip(), re.DOTALL), f"{command}\n{text}"


def routes(app_routes: list[tuple[str, str]]) -> set[str]:
    return {path.rstrip("/") for _, path in app_routes if re.match(r"/(run|job|system)/", path) and "tail" not in path}


async def test_every_call_is_in_the_table(oscar_with: OpenOscar) -> None:
    opened = await oscar_with()
    runner = opened.house.server._runner
    assert runner is not None
    app_routes = [(route.method, route.resource.canonical) for route in runner.app.router.routes() if route.resource]
    table = PAGE.partition("## Calls")[2].partition("## Account")[0]
    for path in sorted(routes(app_routes)):
        shown = re.sub(r"\{(\w+)\}", r"<\1>", path)
        for verb in ("start", "stop", "restart", "deployment/logs"):
            shown = shown.replace(f"/system/services/<name>/{verb}", f"/{verb}")
        assert shown in table, f"{path} is not in docs/oscar.md"
