"""Keys of objects and the files that hold them, where buckets are folders of this machine.

A key is its file's path, so that people find their objects with any other program. S3 allows more than a path can be;
what cannot be kept, or not kept apart from another key, is refused before anything is stored.
"""

from __future__ import annotations

import re

# An object whose key ends in a slash, which is how S3 clients make a folder, is a file of this name in that folder.
FOLDER_FILE = ".modelport_folder"
# How the names of files begin that become objects when they are whole.
TEMPORARY = ".modelport_temp_"

KEY_BYTES = 1024
COMPONENT_BYTES = 255

# Control characters, surrogates and the last two of the basic plane cannot stand in XML.
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def fault(key: str) -> str:
    """Why an object cannot have this key, as half a sentence; empty where it can."""
    if not key:
        return "is empty"
    if _UNFIT.search(key):
        return "has control characters"
    if len(stored(key).encode()) > KEY_BYTES:
        return f"has more than {KEY_BYTES} bytes"
    for part in (key[:-1] if key.endswith("/") else key).split("/"):
        if part in ("", ".", ".."):
            return 'has an empty part, "." or ".." between slashes'
        if len(part.encode()) > COMPONENT_BYTES:
            return f"has a part of more than {COMPONENT_BYTES} bytes between slashes"
        if part == FOLDER_FILE or part.startswith(TEMPORARY):
            return f"has the part {part[:40]}, which is reserved"
    return ""


def is_plain(part: str) -> bool:
    """Whether a part of a key between slashes can be one of a path."""
    return part not in ("", ".", "..") and not any(ord(character) < 32 or ord(character) == 127 for character in part)


def stored(key: str) -> str:
    """The path of the object's file in its bucket."""
    return key + FOLDER_FILE if key.endswith("/") else key
