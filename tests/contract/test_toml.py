"""The reader of TOML for Pythons without one agrees with Python's own on what pyproject.toml files hold."""

from __future__ import annotations

import tomllib

import pytest

from modelport.contract import toml

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


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_packaging_files_hold_is_read_as_python_reads_it(name: str) -> None:
    assert toml._read(DOCUMENTS[name]) == tomllib.loads(DOCUMENTS[name]) == toml.read(DOCUMENTS[name])


def test_what_it_does_not_read_it_leaves_out() -> None:
    text = 'a.b = 1\n[[tables]]\nx = 1\n[date]\nday = 2026-01-31\nbroken = "\n'
    assert toml._read(text) == {"date": {}}
    assert toml.read("= nonsense [") == {}
