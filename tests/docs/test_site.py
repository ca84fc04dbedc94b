"""The documentation site is built without a warning, and every link in the repository's Markdown leads somewhere."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_serverless import ROOT
from tests.house import PATIENCE_S

PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "my_model/README.md")]
PAGES += [page for folder in ("docs", "benchmarks", "data", ".github") for page in (ROOT / folder).glob("*.md")]
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]*)\)")
LONG_PAGE_LINES = 200

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """The headings of a page as addresses, as GitHub and MkDocs make them."""
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.M)}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_a_long_page_has_a_table_of_contents(page: Path) -> None:
    text = page.read_text()
    made = page.name in ("CHANGELOG.md", "settings.md", "README.md")
    sections = {link for link in LINK.findall(text) if link.startswith("#")}
    assert made or text.count("\n") < LONG_PAGE_LINES or len(sections) >= text.count("\n## ") // 2, page


@every_page
def test_a_table_of_contents_has_every_section(page: Path) -> None:
    introduction, *rest = FENCE.sub("", page.read_text()).split("\n## ")
    listed = {link[1:] for link in LINK.findall(introduction) if link.startswith("#")}
    assert not listed or {anchor(section.partition("\n")[0]) for section in rest} <= listed


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=4 * PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        [body] = re.findall(r"<article.*?</article>", text, re.S) or [text]
        prose = html.unescape(re.sub(r"<(pre|code).*?</\1>", "", body, flags=re.S))
        assert "|---" not in prose, f"{page.name} shows a table as text"
        assert not re.search(r"<p>[^<]*\n- ", prose), f"{page.name} shows a list as text"
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?:[^\"\s>]+)", text)
        assert not loaded, f"{page.name} loads {loaded} from elsewhere"
