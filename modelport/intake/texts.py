"""Text that clients write: its encoding, and what they call their files."""

from __future__ import annotations

import re
import unicodedata

from modelport.errors import InvalidRequest

# Never asked of Python by the client's own word: it has codecs that decompress, translate or raise anything.
# All but UTF-8 have one byte a character, so that a text may be cut anywhere.
CODECS = {
    **dict.fromkeys(("utf-8", "utf8"), "utf-8"),
    **dict.fromkeys(("us-ascii", "ascii"), "ascii"),
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "latin-1", "latin1"), "latin-1"),
    "iso-8859-15": "iso8859-15",
    **dict.fromkeys(("windows-1252", "cp1252"), "cp1252"),
}
# Endings of several parts that programs look at as a whole.
_LONG_ENDING = re.compile(
    r"(?:\.(?:tar|nii|csv|tsv|json|txt|xml|fits|vcf|fastq|fasta|img)\.(?:gz|bz2|xz|zst)|\.ome\.tiff?)\Z", re.IGNORECASE
)
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,16}\Z")


def codec(charset: str | None) -> str:
    """Python's name of the encoding that a client names. Raises InvalidRequest."""
    name = (charset or "utf-8").strip().lower().replace("_", "-")
    if name not in CODECS:
        raise InvalidRequest(f"the charset {charset!r:.60} is not supported; send UTF-8")
    return CODECS[name]


def file_name(text: str, otherwise: str = "file") -> str:
    """A client's file name as a model may be given it: without folders and control characters, valid Unicode."""
    last = re.split(r"[/\\]", text)[-1]
    name = "".join(char for char in last if unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")).strip()
    return otherwise if name in ("", ".", "..") else name


def long_ending(name: str) -> str:
    """`.nii.gz` and the like; empty for any other."""
    ending = _LONG_ENDING.search(name)
    return ending[0] if ending else ""


def ending(name: str) -> str:
    """The ending of a file's name, with its dot, as a path may have it: `.png`, `.nii.gz`; empty: there is none."""
    plain = _ENDING.search(name)
    return long_ending(name) or (plain[0] if plain else "")
