"""Checksums, against what others reckon."""

from __future__ import annotations

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.objectstore import checksums
from modelport.objectstore.checksums import ALGORITHMS

# Of b"123456789", as the catalogue of CRCs has them, and of nothing.
KNOWN = {
    "crc32": ("cbf43926", "00000000"),
    "crc32c": ("e3069283", "00000000"),
    "crc64nvme": ("ae8b14860a799888", "0000000000000000"),
}


def reckoned(algorithm: str, *pieces: bytes) -> bytes:
    found = ALGORITHMS[algorithm]()
    for piece in pieces:
        found.update(piece)
    return found.digest()


def bit_by_bit(data: bytes, reflected: int, size: int) -> bytes:
    ones = (1 << 8 * size) - 1
    state = ones
    for each in data:
        state ^= each
        for _ in range(8):
            state = state >> 1 ^ (reflected if state & 1 else 0)
    return (state ^ ones).to_bytes(size, "big")


@pytest.mark.parametrize("algorithm", KNOWN)
def test_known_values(algorithm: str) -> None:
    assert (reckoned(algorithm, b"123456789").hex(), reckoned(algorithm).hex()) == KNOWN[algorithm]


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_those_of_the_standard_library(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert reckoned("crc32", *pieces) == zlib.crc32(data).to_bytes(4, "big")
    assert reckoned("sha1", *pieces) == hashlib.sha1(data).digest()
    assert reckoned("sha256", *pieces) == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("algorithm", "reflected", "size"), [("crc32c", 0x82F63B78, 4), ("crc64nvme", 0x9A6C9329AC4BC9B5, 8)]
)
@pytest.mark.parametrize("length", [1, 255, 256, 257, 4000, 65535, 65537])
def test_crcs_are_what_bit_by_bit_gives(algorithm: str, reflected: int, size: int, length: int) -> None:
    data = hashlib.shake_256(str(length).encode()).digest(length)
    middle = length // 3
    assert reckoned(algorithm, data[:middle], data[middle:]) == bit_by_bit(data, reflected, size)


def test_without_the_extra_the_others_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert set(checksums._algorithms()) == {"crc32", "sha1", "sha256"}
