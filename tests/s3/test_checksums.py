"""Checksums, against what others reckon."""

from __future__ import annotations

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelport.objectstore.checksums import ALGORITHMS, BLOCK_BYTES

# Of b"123456789", as the catalogue of CRCs has them, and of nothing.
KNOWN = {
    "crc32": ("cbf43926", "00000000"),
    "crc32c": ("e3069283", "00000000"),
    "crc64nvme": ("ae8b14860a799888", "0000000000000000"),
}


def reckoned(algorithm: str, *pieces: bytes) -> bytes:
    found = ALGORITHMS[algorithm]()
    for each in pieces:
        found.update(each)
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
@pytest.mark.parametrize("length", [1, 255, 256, 257, 4000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1])
def test_folding_gives_what_bit_by_bit_gives(algorithm: str, reflected: int, size: int, length: int) -> None:
    data = hashlib.shake_256(str(length).encode()).digest(length)
    middle = length // 3
    assert reckoned(algorithm, data[:middle], data[middle:]) == bit_by_bit(data, reflected, size)


@given(st.binary(max_size=3000), st.integers(0, 3 * BLOCK_BYTES))
def test_zeros_before_and_behind_count(data: bytes, zeros: int) -> None:
    """Folding must not lose a bit at either end."""
    for algorithm in ("crc32c", "crc64nvme"):
        found = {reckoned(algorithm, bytes(zeros), data), reckoned(algorithm, bytes(zeros) + data)}
        assert len(found) == 1
        assert reckoned(algorithm, data + bytes(zeros)) == reckoned(algorithm, data, bytes(zeros))
        if zeros:
            assert reckoned(algorithm, data + bytes(zeros)) != reckoned(algorithm, data + bytes(zeros - 1))
