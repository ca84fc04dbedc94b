"""Documents, pages, commands and errors are in plain English: none of the turns that a reviewer has marked is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.docs.test_serverless import ROOT
from tests.docs.test_troubleshooting import constants

ODD = re.compile(
    r"(?<!there )\b(?:is|are) no (?!longer\b|room\b|more\b)\w+|\bwho wants\b|\bof its own making\b|\bcomes to it\b|"
    r"\bhalf of the last within\b|\bopens? nothing\b(?! else)|\bis nobody's\b|\btake (?:it )?away\b|\bdoes without\b|"
    r"\bwith the names that are\b|\bno (?:model|deployment) called\b|\bthe youngest\b|"
    r"\bso many (?:\w+ )?(?:stay|at once|of|per|workers|containers|bytes|words|calls)\b|"
    r"\b(?:for|after) so (?:many|long)\b",
    re.I,
)


def texts() -> Iterator[tuple[str, str]]:
    """(where, text) of all that users read."""
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", path.read_text(), flags=re.M | re.S)
        yield path.name, " ".join(prose.split())
    for path in sorted((ROOT / "modelport/frontends/dashboard/templates").glob("*.html")):
        yield path.name, " ".join(path.read_text().split())
    for path in sorted((ROOT / "modelport").rglob("*.py")):
        for text in constants(path.read_text()):
            yield str(path.relative_to(ROOT)), text


def test_no_text_reads_as_a_translation() -> None:
    odd = [
        f"{where}: …{text[max(0, turn.start() - 30) : turn.end() + 30]}…"
        for where, text in texts()
        for turn in ODD.finditer(text)
    ]
    assert not odd, "\n".join(odd)
