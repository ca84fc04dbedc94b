"""What front ends declare, of ours: the conformance suite's part that holds for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelport import extensions
from modelport.testing.frontends import FrontendDeclarations, Serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    serving = Serving(tmp_path_factory.mktemp("home"))
    yield serving
    serving.close()


class Ours(FrontendDeclarations):
    @pytest.fixture
    def serving(self, server: Serving) -> Serving:
        return server


for _name in extensions.registered(extensions.FRONTENDS):
    globals()[f"Test{_name.capitalize()}"] = type(f"Test{_name.capitalize()}", (Ours,), {"name": _name})
