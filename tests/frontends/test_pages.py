"""The documentation pages and the files of Swagger UI that they need."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

from modelport.http import pages

ROOT = Path(__file__).parent.parent.parent
ASSETS = files("modelport.frontends") / "static" / "swagger"


class Page(HTMLParser):
    """What a page refers to, and what it holds that a strict policy forbids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.data: dict[str, str | None] = {}
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [found[name] or "" for name in ("src", "href") if name in found]
        self.inline += [name for name in found if name.startswith("on") or name == "style"]
        self.data.update({name: value for name, value in attrs if name.startswith("data-")})
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def test_a_page_refers_only_to_files_that_we_ship_and_to_its_document() -> None:
    page = Page(pages.swagger_page("A model", "/base/swagger.json", "/base/static/swagger/"))
    assert page.data == {"data-document": "/base/swagger.json"}
    for address in page.addresses:
        if address != "/base/swagger.json":
            assert (ASSETS / address.removeprefix("/base/static/swagger/")).is_file(), address


def test_the_assets_address_may_come_without_its_final_slash() -> None:
    assert pages.swagger_page("t", "/d", "/s") == pages.swagger_page("t", "/d", "/s/")


def test_a_page_has_no_script_or_style_of_its_own() -> None:
    assert Page(pages.swagger_page("t", "/d", "/s")).inline == []


def test_a_title_cannot_bring_markup_into_the_page() -> None:
    html = pages.swagger_page("</title><script>x</script>", '/d"><script>', "/s")
    assert html.count("<script") == 2


def test_nothing_is_fetched_from_elsewhere() -> None:
    """The bundle mentions addresses, such as namespaces; nothing may load from one but what the policy lets through."""
    assert "http" not in pages.POLICY
    assert "default-src 'none'" in pages.POLICY
    assert "unsafe-eval" not in pages.POLICY
    assert re.search(r"script-src 'self';", pages.POLICY)
    styles = (ASSETS / "swagger-ui.css").read_text()
    assert not re.search(r"""url\((?!["']?data:)|@import""", styles)


def test_the_vendored_files_are_what_was_fetched() -> None:
    checked = subprocess.run([sys.executable, ROOT / "tools/vendor.py", "--check"], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr.strip()) == (0, "")


def test_no_source_map_is_asked_for() -> None:
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "init.js"):
        assert "sourceMappingURL" not in (ASSETS / name).read_text()[-500:]
