"""What the tests of the child's side share."""

from __future__ import annotations

import sys
import timeit
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

with warnings.catch_warnings():
    # webargs 5.5.3 reads marshmallow.__version__ when it is imported, which marshmallow 3.26 deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    import webargs.fields  # noqa: F401


@pytest.fixture
def benchmark_us() -> Callable[[Callable[[], Any]], float]:
    """The best of five: microseconds for one call."""
    return lambda function: min(timeit.repeat(function, number=200, repeat=5)) / 200 * 1e6


@pytest.fixture
def clean_imports() -> Iterator[None]:
    """Forget what a plugin brought along: modules and folders on sys.path."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        module = sys.modules[name]
        if "/tests/modules/" in str(getattr(module, "__file__", "")) or "pytest-" in str(
            getattr(module, "__file__", "")
        ):
            del sys.modules[name]
    sys.path[:] = path
