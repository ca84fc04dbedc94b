"""Keys of objects and the files that hold them, where buckets are folders of this machine.

A key is its file's path, so that people find their objects with any other program. S3 allows more than a path can be;
what cannot be kept, or not kept apart from another key, is refused before anything is stored.
"""

from __future__ import annotations

import re

# An object whose key ends in a slash, which is how S3 clients make a folder, is a file of this name in that folder.
FOLDER_FILE = ".modelport_folder"

KEY_BYTES = 1024
COMPONENT_BYTES = 255

# rclone hides names that begin so from listings, since its unfinished uploads have them.
RESERVED = (".rclone_temp_", ".rclone_multipart_upload_")

# What rclone takes for one another: control characters and their pictures, and the mark that it quotes pictures with.
# Control characters, surrogates and the last two of the basic plane cannot stand in XML either.
_UNFIT = re.compile("[\x00-\x1f\x7f\u2400-\u2421\u201b\ud800-\udfff\ufffe\uffff]")


def fault(key: str) -> str:
    """Why an object cannot have this key, as half a sentence; empty where it can."""
    if not key:
        return "is empty"
    if _UNFIT.search(key):
        return "has control characters, or characters that stand for them"
    if len(stored(key).encode()) > KEY_BYTES:
        return f"has more than {KEY_BYTES} bytes"
    for part in (key[:-1] if key.endswith("/") else key).split("/"):
        if part in ("", ".", ".."):
            return 'has an empty part, "." or ".." between slashes'
        if len(part.encode()) > COMPONENT_BYTES:
            return f"has a part of more than {COMPONENT_BYTES} bytes between slashes"
        if part == FOLDER_FILE or part.startswith(RESERVED):
            return f"has the part {part[:40]}, which is reserved"
    return ""


def stored(key: str) -> str:
    """The path of the object's file in its bucket, which is its key for rclone."""
    return key + FOLDER_FILE if key.endswith("/") else key


def shown(path: str) -> str:
    """The key of the object that is stored there."""
    return path.removesuffix(FOLDER_FILE) if path.endswith("/" + FOLDER_FILE) else path
