"""Checksums as S3 clients send them, reckoned while a body passes.

CRC32C and CRC64NVME, which the newer clients prefer, are in no module of Python, and byte by byte they would run at
some 10 MB/s and hold up everything else. So a block is taken as one long number and folded until little is left.

A CRC is the remainder of the message, as a polynomial over two elements, by a polynomial P. Where x^n leaves a
remainder of few terms, x^n may be replaced by these anywhere; and since squaring keeps the number of terms, so may
x^(n·2^k) by those terms with their exponents times 2^k. Each such step halves the block by a few shifts and xors of
long numbers. That runs at 50 to 90 MB/s.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from functools import cache
from typing import Protocol


class Checksum(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# Folded at once: large enough that the work on what is left of it (byte by byte) does not count, and small enough that
# the numbers lie in memory that is used again (with 256 KiB, the kernel has to give it anew each time).
BLOCK_BYTES = 1 << 16

# Where to look for an n whose x^n has few terms: first among all of these, then, for what is left, among the lower.
SEARCHED = (4096, 256)

# Below, exponents would not be multiples of whole bytes.
LEAST_POWER = 3


class _Polynomial:
    """size: of the CRC in bytes. As in all of these CRCs, the lowest bit is that of the highest power."""

    def __init__(self, reflected: int, size: int) -> None:
        self.size = size
        self._bits = 8 * size
        self._table = [self._byte(reflected, value) for value in range(256)]
        powers = self._powers(reflected)
        self._sparse = [self._sparsest(powers[:end]) for end in SEARCHED]

    @staticmethod
    def _byte(reflected: int, value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ (reflected if value & 1 else 0)
        return value

    def _powers(self, reflected: int) -> list[int]:
        """x^n for each n."""
        found = []
        value = 1 << self._bits - 1  # x^0
        for _ in range(SEARCHED[0]):
            found.append(value)
            value = value >> 1 ^ (reflected if value & 1 else 0)
        return found

    def _sparsest(self, powers: list[int]) -> tuple[int, list[int]]:
        """An n, and the exponents of the terms of x^n."""
        n = min(range(self._bits + 1, len(powers)), key=lambda each: powers[each].bit_count())
        return n, [self._bits - 1 - bit for bit in range(self._bits) if powers[n] >> bit & 1]

    def feed(self, state: int, data: bytes | bytearray) -> int:
        for each in data:
            state = state >> 8 ^ self._table[(state ^ each) & 255]
        return state

    def feed_block(self, state: int, block: bytes | bytearray) -> int:
        """The same, faster where the block is long."""
        if len(block) < SEARCHED[1]:
            return self.feed(state, block)
        number = int.from_bytes(block, "little") ^ state
        bits = 8 * len(block)
        for n, exponents in self._sparse:
            cut = n - max(exponents)
            for power in range((bits // n).bit_length(), LEAST_POWER - 1, -1):
                while bits >= (n + cut) << power:
                    number = self._folded(number, n, exponents, cut << power, power)
                    bits -= cut << power
        return self.feed(0, number.to_bytes(bits // 8, "little"))

    @staticmethod
    def _folded(number: int, n: int, exponents: list[int], cut: int, power: int) -> int:
        """`number` without its lowest `cut` bits, which have been replaced by terms of lower powers."""
        lowest = number & ((1 << cut) - 1)
        number >>= cut
        for exponent in exponents:
            number ^= lowest << ((n - exponent << power) - cut)
        return number


@cache
def _polynomial(reflected: int, size: int) -> _Polynomial:
    return _Polynomial(reflected, size)


class FoldedCrc:
    """A CRC that starts with all ones, and is inverted at its end."""

    def __init__(self, reflected: int, size: int) -> None:
        self._polynomial = _polynomial(reflected, size)
        self._ones = (1 << 8 * size) - 1
        self._state = self._ones
        self._rest = bytearray()

    def update(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= BLOCK_BYTES:
            self._state = self._polynomial.feed_block(self._state, self._rest[:BLOCK_BYTES])
            del self._rest[:BLOCK_BYTES]

    def digest(self) -> bytes:
        state = self._polynomial.feed_block(self._state, self._rest)
        return (state ^ self._ones).to_bytes(self._polynomial.size, "big")


# By S3's names, as they stand behind x-amz-checksum-. The polynomials are Castagnoli's and NVMe's, their bits reversed.
ALGORITHMS: dict[str, Callable[[], Checksum]] = {
    "crc32": Crc32,
    "crc32c": lambda: FoldedCrc(0x82F63B78, 4),
    "crc64nvme": lambda: FoldedCrc(0x9A6C9329AC4BC9B5, 8),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}
