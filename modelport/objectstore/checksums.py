"""Checksums as S3 clients send them, reckoned while a body passes."""

from __future__ import annotations

import hashlib
import importlib.util
import zlib
from collections.abc import Callable
from functools import cache
from typing import Protocol


class Checksum(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc:
    """size: in bytes. reckon: the CRC of more data, after that of the data before."""

    def __init__(self, size: int, reckon: Callable[[bytes, int], int]) -> None:
        self._size, self._reckon, self._value = size, reckon, 0

    def update(self, data: bytes) -> None:
        self._value = self._reckon(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _algorithms() -> dict[str, Callable[[], Checksum]]:
    algorithms: dict[str, Callable[[], Checksum]] = {
        "crc32": lambda: Crc(4, zlib.crc32),
        "sha1": lambda: hashlib.sha1(usedforsecurity=False),
        "sha256": hashlib.sha256,
    }
    if importlib.util.find_spec("anycrc") is not None:
        algorithms |= {
            "crc32c": lambda: Crc(4, _other("CRC32-ISCSI")),
            "crc64nvme": lambda: Crc(8, _other("CRC64-NVME")),
        }
    return algorithms


@cache
def _other(name: str) -> Callable[[bytes, int], int]:
    from anycrc import Model

    reckon: Callable[[bytes, int], int] = Model(name).calc
    return reckon


# By S3's names, as they stand behind x-amz-checksum-. CRC32C and CRC64NVME come with the extra `buckets`.
ALGORITHMS = _algorithms()
