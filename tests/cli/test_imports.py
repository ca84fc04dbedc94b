"""What a command loads before it does anything: most of the time that it takes to start."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelport import commands

PLUGIN = """
from marshmallow import fields
def get_predict_args():
    return {"text": fields.Str(load_default="a")}
def predict(text):
    return text
"""

RUN = """
import sys
from modelport import cli
sys.argv = ["modelport", *sys.argv[1:]]
try:
    cli.main()
finally:
    print("LOADED", *sorted(sys.modules), file=sys.stderr)
"""

# Of a server that listens and has shown no page.
LISTEN = """
import asyncio, sys
from modelport.server import Server
from modelport.settings import Settings
async def main():
    server = Server(Settings(home=sys.argv[1], listen_port=0, s3_port=0), [])
    await server.start()
    print("LOADED", *sorted(sys.modules), file=sys.stderr)
    await server.stop(0)
asyncio.run(main())
"""


def loaded(script: str, *arguments: str) -> set[str]:
    """The modules, of all packages, that the script has loaded."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120)
    assert "LOADED" in done.stderr, done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split())


# Each command, and each package that some of them share, is a module more.
MOST = 225 + len(list(pkgutil.iter_modules(commands.__path__)))


@pytest.mark.parametrize(
    ("arguments", "most"),
    [(("--help",), MOST), (("serve", "--help"), MOST), (("predict", "--help"), MOST)],
    ids=["all", "serve", "predict"],
)
def test_help_loads_no_library_but_click(arguments: tuple[str, ...], most: int) -> None:
    modules = loaded(RUN, *arguments)
    assert not modules & {"aiohttp", "asyncio", "jinja2", "marshmallow", "msgspec", "rich", "stevedore", "yaml"}
    assert len(modules) <= most, sorted(modules)


@pytest.mark.slow
def test_a_model_of_this_machine_is_called_without_loading_http(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    modules = loaded(RUN, "predict", str(tmp_path / "plugin.py"), "--help")
    assert not modules & {"aiohttp", "jinja2", "marshmallow", "yaml"}


@pytest.mark.slow
def test_a_server_starts_without_what_its_pages_need(tmp_path: Path) -> None:
    modules = loaded(LISTEN, str(tmp_path / "home"))
    assert "modelport.frontends.dashboard" in modules
    assert not modules & {"jinja2", "markdown_it", "marshmallow", "nh3", "rich", "cryptography"}
