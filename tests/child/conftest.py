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
def clean_imports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget what a plugin brought along: modules and folders on sys.path."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        file = str(getattr(sys.modules[name], "__file__", ""))
        if "/tests/modules/" in file or file.startswith(str(tmp_path_factory.getbasetemp())):
            del sys.modules[name]
    sys.path[:] = path
