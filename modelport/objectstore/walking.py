"""Going through a bucket's folder in the order of its keys, which is that of their bytes."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from contextlib import suppress

from modelport.errors import InvalidRequest
from modelport.objectstore.keys import FOLDER_FILE, TEMPORARY, fault


def walk(folder: str, prefix: str, after: str = "", *, folded: bool = False) -> Iterator[tuple[str, str]]:
    """(key, path of its file) of the objects whose keys begin with `prefix` and come after `after`.

    folded: what lies in a folder below the prefix is one: its key, which ends in a slash, and no path.
    Links, and files whose names are no keys, are left out.
    """
    base = prefix[: prefix.rfind("/") + 1]
    parts = base.split("/")[:-1]
    above = ["/".join([folder, *parts[: number + 1]]) for number in range(len(parts))]
    if any(part in ("", ".", "..") for part in parts) or any(map(os.path.islink, above)) or "\0" in prefix:
        return iter(())
    return _walk(f"{folder}/{base}", base, prefix, after, folded)


def _walk(folder: str, base: str, prefix: str, after: str, folded: bool) -> Iterator[tuple[str, str]]:
    """folder: with a slash at its end. base: what the keys of all in it begin with."""
    for name, is_folder in _names(folder):
        key = base + name
        if not key.startswith(prefix) or (key <= after and not (is_folder and after.startswith(key))):
            continue
        if not is_folder:
            if not fault(key):
                yield key, folder + (name or FOLDER_FILE)
        elif not folded:
            yield from _walk(f"{folder}{name}", key, prefix, after, folded)
        elif key != after and any(_walk(f"{folder}{name}", key, prefix, after, folded=False)):
            yield key, ""


def _names(folder: str) -> list[tuple[str, bool]]:
    """In order, folders with a slash, as keys have it; the marker of this one is the empty name, the first of all."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        names = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                names.append((f"{entry.name}/", True))
            elif entry.is_file(follow_symlinks=False) and not entry.name.startswith(TEMPORARY):
                names.append(("" if entry.name == FOLDER_FILE else entry.name, False))
        return sorted(names)
    return []


def token_after(key: str) -> str:
    """The token of the page that begins behind this key."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def after_token(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("the page token is not valid; send the one that came with the previous page") from error
