"""docs/cluster.md has every setting, as the package declares it."""

from __future__ import annotations

from html import unescape
from pathlib import Path

from modelport_ray.settings import SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def test_the_page_lists_every_setting() -> None:
    page = unescape(PAGE.read_text())
    for setting in SETTINGS:
        default = f" `{setting.default}`" if setting.default != "" else ""
        assert f"| `{setting.name}` |{default} | {setting.help} |" in page
