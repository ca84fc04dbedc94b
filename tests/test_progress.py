"""modelport.progress where nobody waits for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import modelport


def test_elsewhere_it_does_nothing() -> None:
    modelport.progress(0.5)
    modelport.progress(None, "loading")
    modelport.progress(float("nan"), "odd")


def test_a_fraction_that_is_no_number_is_a_mistake_everywhere() -> None:
    with pytest.raises(ValueError, match="half"):
        modelport.progress("half")  # type: ignore[arg-type]


def test_it_needs_nothing_else_of_modelport() -> None:
    """A plugin may import it in an environment of its own."""
    code = "import sys, modelport; modelport.progress(1, 'done'); print(*(m for m in sys.modules if '.' in m))"
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert not [part for part in found.stdout.split() if part.startswith("modelport.")]
