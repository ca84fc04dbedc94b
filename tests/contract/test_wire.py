"""Frames arrive in whatever pieces the kernel makes of them: each is taken whole, and in its order."""

from __future__ import annotations

import random

import pytest

from modelport.contract import wire

FRAMES = [(b'{"a":1}', b""), (b"{}", b"x" * 70_000), (b"{" + b" " * 300 + b"}", b"payload"), (b"{}", b"")]
STREAM = b"".join(wire.pack(header, [payload]) for header, payload in FRAMES)
LIMIT_BYTES = 80_000


def taken(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    frames: list[tuple[bytes, bytes]] = []
    unpacker = wire.Unpacker(LIMIT_BYTES)
    for piece in pieces:
        unpacker.feed(piece, lambda header, payload: frames.append((header, payload)))
    return frames


def test_frames_in_one_piece_and_byte_by_byte() -> None:
    assert taken([STREAM]) == FRAMES
    assert taken([STREAM[at : at + 1] for at in range(len(STREAM))]) == FRAMES


def test_frames_in_pieces_of_any_size() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(200):
        cuts = sorted(chance.randrange(len(STREAM)) for _ in range(chance.randrange(1, 12)))
        pieces = [STREAM[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
        assert taken([piece for piece in pieces if piece]) == FRAMES


@pytest.mark.parametrize("cut", [0, 4, 8, 9])
def test_a_frame_beyond_the_limit_is_refused_by_its_length(cut: int) -> None:
    start = wire.PREFIX.pack(2, LIMIT_BYTES) + b"{"
    with pytest.raises(wire.BrokenFrame, match=f"a frame of {LIMIT_BYTES + 2} bytes; at most {LIMIT_BYTES}"):
        taken([piece for piece in (start[:cut], start[cut:]) if piece])
