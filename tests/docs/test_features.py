"""docs/dashboard-features.md: what is said to work has a test, and what is said not to has none."""

from __future__ import annotations

import re

from tests.docs.test_serverless import ROOT

ROW = re.compile(r"^\| (?!Feature )(.+?) \| (.+?) \| (.+?) \| (.*?) ?\|$", re.M)


def test_every_feature_has_a_test_that_is_there() -> None:
    rows = ROW.findall((ROOT / "docs" / "dashboard-features.md").read_text())
    assert len(rows) > 40
    for feature, mark, _, tests in rows:
        files = re.findall(r"`([^`]+)`", tests)
        assert mark in ("yes", "partly", "no"), feature
        assert bool(files) == (mark == "yes") or mark == "partly", feature
        assert all((ROOT / "tests" / "dashboard" / file).is_file() for file in files), feature
