"""What servers see of the plugin: metadata, arguments, schema, import cost."""

from __future__ import annotations

import os
import subprocess
import sys
from email.message import Message
from importlib import metadata as importlib_metadata
from typing import Any, cast

import pytest

import my_model
from my_model import metadata

KEYS = {"name", "version", "summary", "description", "author", "license"}


def test_metadata_is_complete_installed_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = my_model.get_metadata()
    assert set(installed) == KEYS
    assert all(isinstance(value, str) and value for value in installed.values())
    monkeypatch.setattr(metadata, "DISTRIBUTION", "no-such-distribution")
    copied = my_model.get_metadata()
    assert set(copied) == KEYS
    assert all(copied.values())


def _core(**values: str | list[str]) -> importlib_metadata.PackageMetadata:
    message = Message()
    for name, value in values.items():
        for one in [value] if isinstance(value, str) else value:
            message[name.replace("_", "-")] = one
    return cast(importlib_metadata.PackageMetadata, message)


def test_old_and_new_spellings_of_metadata_are_read() -> None:
    old = metadata.described(_core(License="MIT", Home_page="https://old.example"))
    new = metadata.described(
        _core(
            License_Expression="Apache-2.0",
            Project_URL=["Source, https://source.example", "Homepage, https://new.example"],
        )
    )
    assert (old["license"], old["home-page"]) == ("MIT", "https://old.example")
    assert (new["license"], new["home-page"]) == ("Apache-2.0", "https://new.example")


def test_arguments_are_as_deepaas_needs_them() -> None:
    fields: dict[str, Any] = my_model.get_predict_args()
    assert list(fields) == ["files", "confidence", "classes", "model", "accept"]
    assert fields["files"].required
    # deepaas-cli asks for exactly this class, and deepaas for exactly one validator with a list.
    assert type(fields["files"]).__name__ == "Field"
    assert fields["files"].metadata["type"] == "file"
    assert "JPEG" in fields["files"].metadata["description"]
    assert isinstance(fields["accept"].validate.choices, list)
    assert fields["accept"].metadata["location"] == "headers"
    fields["accept"].validate.choices.append("*/*")
    again: dict[str, Any] = my_model.get_predict_args()
    assert "*/*" not in again["accept"].validate.choices, "one server's change reached another's arguments"


def test_the_schema_describes_a_list() -> None:
    good = {"name": "one", "class": 1, "confidence": 0.9, "box": {"x1": 0, "y1": 0, "x2": 4, "y2": 9}}
    assert my_model.schema().load([good, good])
    assert my_model.schema().load([]) == []
    assert my_model.schema().validate([{**good, "class": 10}])


@pytest.mark.slow
def test_importing_it_does_not_import_scikit_learn() -> None:
    code = "import sys, my_model; assert not [m for m in sys.modules if m.startswith('sklearn')], 'sklearn'"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
