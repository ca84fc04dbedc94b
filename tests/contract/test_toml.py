"""What pyproject.toml files hold, read under every Python that a module may have."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests import environments

ROOT = Path(__file__).parent.parent.parent

DOCUMENTS = {
    "setuptools": """
[build-system]
requires = ["setuptools", "setuptools-scm"] # the "usual"
[project]
name = "yolo_api" # "x"
license = { text = "MIT", more = [1, {b = true}] }
authors = [{name= "Ann", email= "ann@example.org"} ]
classifiers = [
    "Intended # Audience :: [Info",  # a comment ]
    'c:\\x',
]
dynamic = ["version", "dependencies"]
[project.urls]
"Bug Tracker" = "https://example.org/#frag"
[tool.setuptools.package-dir]
"yolo_api.api" = "api"
[project.entry-points."deepaas.v2.model"]
yolo_api = "yolo_api.api"
""",
    "texts": '''
basic = "a \\" b\\u00e9"
literal = 'a \\ b'
several = """
two [ lines
"""
literally = \'\'\'
"quoted" {
\'\'\'
"quoted key" = 3
number = -1.5
no = false
empty = {}
[a . "b.c"]
x = []
''',
}


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.8", "3.10", "3.11"])
def test_every_python_reads_what_the_gateways_reads(python: str) -> None:
    interpreter = environments.interpreter(python)
    if interpreter is None:
        pytest.skip(f"there is no Python {python}")
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from modelport.contract import toml\n"
        "toml.gateways = sys.argv[2]\n"
        "print(json.dumps([toml.read(text) for text in json.load(sys.stdin)]))"
    )
    run = subprocess.run(
        [str(interpreter), "-c", program, str(ROOT), str(Path(tomllib.__file__).parent)],
        input=json.dumps([*DOCUMENTS.values(), "= nonsense ["]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == [*map(tomllib.loads, DOCUMENTS.values()), {}]
