"""The pages of the documentation site that lie outside docs/. MkDocs calls `on_files` and `on_page_markdown`."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
# In the repository: on the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/digits.md": "digits.md",
    "data/README.md": "samples.md",
    ".github/pull_request_template.md": "checklist.md",
    "etc/modelport.toml": "modelport.toml",
    "modelport/frontends/dashboard/static/icon.svg": "images/logo.svg",
}
SOURCES = {page: source for source, page in PAGES.items()}

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def on_files(files: Files, *, config: Any) -> Files:
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Links are written for the repository's folders; here they point to the pages of the site."""
    here = page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(here, f"docs/{here}"))

    def relocated(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        moved = PAGES.get(target, target.removeprefix("docs/"))
        return "](" + posixpath.relpath(moved, posixpath.dirname(here) or ".")

    return LINK.sub(relocated, markdown)
