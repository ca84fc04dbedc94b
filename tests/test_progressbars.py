"""What bars say: tqdm's own, as it writes them to something that is no terminal."""

from __future__ import annotations

import io
import itertools
import os
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tqdm import tqdm

from modelport.jobs.progressbars import MESSAGE_CHARS, TIDY_BURST_S, TIDY_SHARE, LogTail, ProgressBars, overwritten

Told = list[tuple[float | None, str]]


class Written(io.StringIO):
    """A file that keeps each write by itself, as a pipe's reader may get them."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, text: str) -> int:
        self.writes.append(text.encode())
        return len(text)

    def bar(self, *arguments: Any, **options: Any) -> Any:
        return tqdm(*arguments, file=self, mininterval=0, **options)

    @property
    def whole(self) -> bytes:
        return b"".join(self.writes)


@pytest.fixture
def written() -> Written:
    return Written()


def told(chunks: Iterable[bytes]) -> Told:
    bars = ProgressBars()
    return [news for news in map(bars.feed, chunks) if news is not None]


def fractions(chunks: Iterable[bytes]) -> list[float | None]:
    return [fraction for fraction, _ in told(chunks)]


def test_a_bar_tells_how_far_it_is_and_how_fast(written: Written) -> None:
    for _ in written.bar(range(8), desc="reading"):
        pass
    said = told(written.writes)
    assert [fraction for fraction, _ in said][:9] == [each / 8 for each in range(9)]
    assert said[0][1] == "reading 0/8 [00:00<?, ?it/s]"
    assert said[3][1].startswith("reading 3/8 [00:00<00:00, ")


@pytest.mark.parametrize(
    ("options", "fraction"),
    [
        ({"ascii": True}, 0.3),
        ({"ascii": False}, 0.3),
        ({"ascii": " .oO"}, 0.3),
        ({"colour": "green"}, 0.3),
        ({"colour": "#00ff00", "ascii": False}, 0.3),
        ({"ncols": 0}, 0.3),
        ({"ncols": 300, "ascii": False}, 0.3),
        ({"unit": " files"}, 0.3),
        ({"unit": "B", "unit_scale": True}, 0.3),
        ({"unit": "B", "unit_scale": True, "unit_divisor": 1024}, 0.3),
        ({"postfix": {"loss": "[0.5]", "done": "45%"}}, 0.3),
        ({"desc": "[train] 99%: "}, 0.3),
        ({"desc": "größe ✓"}, 0.3),
        ({"bar_format": "{desc}: {percentage:.1f}%|{bar:10}|"}, 0.3),
        ({"bar_format": "{l_bar}{bar}| {n_fmt}/{total_fmt}"}, 0.3),
        ({"bar_format": "[{desc}] {l_bar}{bar}|"}, 0.3),
    ],
)
def test_a_bar_is_read_however_it_looks(written: Written, options: dict[str, Any], fraction: float) -> None:
    bar = written.bar(total=100_000, **options)
    bar.update(30_000)
    bar.close()
    assert fractions(written.writes)[-1] == pytest.approx(fraction, abs=0.005)
    assert fractions([written.whole]) == [pytest.approx(fraction, abs=0.005)]


def test_numbers_that_are_no_integers_are_read(written: Written) -> None:
    bar = written.bar(total=1.5)
    for _ in range(3):
        bar.update(0.1)
    assert fractions(written.writes) == [0.0, 0.066667, 0.133333, 0.2]


def test_without_a_total_the_count_is_told_and_no_fraction(written: Written) -> None:
    bar = written.bar(desc="rows: read", unit=" rows")
    bar.update(45)
    assert told(written.writes)[-1][0] is None
    assert told(written.writes)[-1][1].startswith("rows: read 45 rows [00:00, ")
    assert told(written.writes) == told([written.whole]) or len(told([written.whole])) == 1


def test_more_steps_than_expected_are_no_fraction(written: Written) -> None:
    bar = written.bar(total=2)
    for _ in range(3):
        bar.update()
    assert fractions(written.writes) == [0.0, 0.5, 1.0, None]


def test_a_description_that_changes_is_told(written: Written) -> None:
    with written.bar(total=4) as bar:
        for epoch in range(4):
            bar.set_description(f"loss {1 / (epoch + 1):.2f}")
            bar.update()
    said = told(written.writes)
    assert [message.partition(" ")[0] for _, message in said if "loss" in message] != []
    assert said[-1][0] == 1.0 and said[-1][1].startswith("loss 0.25 4/4 [")
    steps = [fraction for fraction, _ in said if fraction is not None]
    assert steps == sorted(steps)


@pytest.mark.parametrize("leave", [True, False, None])
@pytest.mark.parametrize(("outer", "inner"), [("epochs", "batches"), ("", "")])
@pytest.mark.parametrize("steps", [3, 4])
def test_a_bar_inside_another_does_not_count(
    written: Written, leave: bool | None, outer: str, inner: str, steps: int
) -> None:
    for _ in written.bar(range(4), desc=outer):
        for _ in written.bar(range(steps), desc=inner, leave=leave):
            pass
    said = told(written.writes)
    assert [fraction for fraction, _ in itertools.groupby(said, key=lambda news: news[0])] == [0, 0.25, 0.5, 0.75, 1]
    assert all(message.startswith(f"{outer} ".lstrip()) and "batches" not in message for _, message in said)


def test_three_deep(written: Written) -> None:
    for _ in written.bar(range(2), desc="a"):
        for _ in written.bar(range(2), desc="b", leave=False):
            for _ in written.bar(range(2), desc="c", leave=False):
                pass
    shown = fractions(written.writes)
    assert [fraction for fraction, _ in itertools.groupby(shown)] == [0.0, 0.5, 1.0]


def test_one_inside_without_a_total_does_not_count(written: Written) -> None:
    for _ in written.bar(range(2), desc="a"):
        for _ in written.bar(iter(range(3)), desc="b", leave=False):
            pass
    assert set(fractions(written.writes)) == {0.0, 0.5, 1.0}


def test_bars_one_after_the_other_have_no_fraction(written: Written) -> None:
    """Nobody knows how many are to come: the end of the first of six epochs is not the end."""
    for epoch in range(3):
        for _ in written.bar(range(2), desc=f"epoch {epoch}"):
            pass
    shown = [fraction for fraction, _ in itertools.groupby(fractions(written.writes))]
    assert shown == [0.0, 0.5, 1.0, None]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("description", ["Epoch {}/4", "{}/4         0G      3.1", "[Train] epoch: {}/4"])
def test_bars_that_are_counted_are_parts_of_the_whole(written: Written, description: str, first: int) -> None:
    """As ultralytics shows epochs: a bar for each, and one without a count for the validation after it."""
    for epoch in range(first, 4 + first):
        for _ in written.bar(range(2), desc=description.format(epoch)):
            pass
        for _ in written.bar(range(3), desc="Class  Images  Instances"):
            pass
    shown = [fraction for fraction, _ in itertools.groupby(fractions(written.writes))]
    assert shown == [each / 8 for each in range(9)]


def test_a_count_in_a_description_does_not_mislead(written: Written) -> None:
    bar = written.bar(total=8)
    for step in range(8):
        bar.set_description(f"epoch {step // 4 + 1}/2")
        bar.update()
    bar.close()
    assert fractions(written.writes)[-1] == 1.0
    again = Written()
    for step in (steps := again.bar(range(4))):
        steps.set_description(f"step {step + 1}/4")
    assert fractions(again.writes)[-1] == 1.0


def test_lines_printed_between_do_not_hide_a_bar(written: Written) -> None:
    for step in written.bar(range(4), desc="steps"):
        written.write(f"step {step} has loss [0.5]\n")
    said = told(written.writes)
    assert {each / 4 for each in range(5)} <= {fraction for fraction, _ in said}
    assert not any("loss" in message for _, message in said)


def test_lines_printed_above_do_not_either(written: Written) -> None:
    for step in written.bar(range(4), desc="steps"):
        tqdm.write(f"step {step}", file=written)
    assert sorted({fraction or 0.0 for fraction, _ in told(written.writes)}) == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_matter_where_the_stream_is_cut(written: Written, seed: int) -> None:
    """Also in the middle of a character or of a control sequence."""
    for _ in written.bar(range(5), desc="größe", ascii=False, colour="red"):
        for _ in written.bar(range(3), desc="innen ✓", ascii=False, leave=False):
            pass
    stream, chosen = written.whole, random.Random(seed)
    cuts = sorted(chosen.sample(range(len(stream)), 200))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    for chunks in (parts, [stream[each : each + 1] for each in range(len(stream))]):
        shown = told(chunks)
        steps = [fraction for fraction, _ in shown if fraction is not None]
        assert steps == sorted(steps) and set(steps) == {each / 5 for each in range(6)}, f"seed {seed}"
        assert shown[-1] == told([stream])[-1]
        assert not any("\ufffd" in message or "\x1b" in message for _, message in shown)


@pytest.mark.parametrize(
    "text",
    [
        b"plain lines\nand 45%|more| of them\n",
        b"windows lines 45%|##| 4/10 [00:01<00:02]\r\n" * 3,
        b"\r45% of all\r46% of all",
        b"\r[1/10] compiling\r[2/10] compiling",
        b"\r\r\r\n\n\r\x1b[A\x1b[A\x1b[A",
        b"\rratio 3/4\n",
        b"\r" + b"x" * (1 << 20) + b"45%|##| 4/10 [00:01<00:02]",
    ],
)
def test_what_is_no_bar_is_none(text: bytes) -> None:
    assert told([text]) == []
    assert told([text[each : each + 7] for each in range(0, min(len(text), 40_000), 7)]) == []


@pytest.mark.parametrize(
    "text",
    [
        b"\r" + b"1" * 5000,
        b"\r" + b"1%" * 2000 + b" [00:00",
        b"\r" + b"1%|" * 1300 + b" [00:00",
        b"\r" + b"1: " * 1300 + b" [00:00",
        b"\r" + b"9" * 3000 + b"% " + b"9" * 1000 + b"/9 [00:00",
        b"\r" * 40_000,
        b"\x1b[A" * 20_000,
        b"\r" + b"\x1b[A" * 20_000,
        b"\n\r45%|##| 4/10 [00:01<00:02]\x1b[A",
        b"\rx\x1b[31" * 8000,
        b"\r" + os.urandom(2000),
    ],
)
def test_no_chunk_takes_long(text: bytes) -> None:
    """The event loop waits meanwhile."""
    chunk = (text * (1 + (1 << 16) // len(text)))[: 1 << 16]
    bars = ProgressBars()
    started = time.process_time()
    for _ in range(10):
        bars.feed(chunk)
    assert time.process_time() - started < 0.5
    started = time.process_time()
    overwritten(chunk * 2)
    assert time.process_time() - started < 1


def test_memory_stays_small_whatever_is_fed() -> None:
    bars = ProgressBars()
    for each in (b"\r", b"x" * (1 << 20), b"\n" * (1 << 20), b"\x1b[A" * 100_000, b"\r" + b"y" * (1 << 20)):
        for _ in range(3):
            bars.feed(each)
            assert len(bars._tail or b"") < 1 << 16
    for number in range(1000):
        bars.feed(
            b"\n" * (number % 20)
            + b"\r%d%%|##| %d/100 [00:01<00:02]" % (number % 100, number % 100)
            + b"\x1b[A" * (number % 20)
        )
    assert len(bars._inside) < 20


def test_a_message_is_cut(written: Written) -> None:
    written.bar(total=2, desc="x" * 1000)
    assert [len(message) for _, message in told(written.writes)] == [MESSAGE_CHARS]


# What stays in a log


def printed(draw: Callable[[Written], None]) -> str:
    written = Written()
    draw(written)
    return overwritten(written.whole).decode()


def test_of_a_bar_the_last_state_stays_in_a_log() -> None:
    def draw(written: Written) -> None:
        written.write("before\n")
        for _ in written.bar(range(100), desc="reading"):
            pass
        written.write("after\n")

    before, bar, after, rest = printed(draw).split("\n")
    assert (before, after, rest) == ("before", "after", "")
    assert bar.startswith("reading: 100%|██████████| 100/100 [")


def test_of_bars_inside_others_nothing_but_the_last_states_stays() -> None:
    def draw(written: Written) -> None:
        for _ in written.bar(range(2), desc="outer"):
            for _ in written.bar(range(50), desc="inner"):
                pass

    lines = printed(draw).split("\n")
    assert [line.partition("%")[0] for line in lines] == ["inner: 100", "inner: 100", "outer: 100", ""]


def test_a_bar_that_is_cleared_leaves_nothing() -> None:
    def draw(written: Written) -> None:
        for step in written.bar(range(2), leave=False):
            tqdm.write(f"step {step}", file=written)
        written.write("after\n")

    assert printed(draw) == "step 0\nstep 1\nafter\n"


def test_lines_printed_between_bars_stay() -> None:
    def draw(written: Written) -> None:
        for step in written.bar(range(3), desc="a"):
            for _ in written.bar(range(3), desc="b", leave=False):
                pass
            written.write(f"step {step} done\n")

    assert all(f"step {step} done\n" in printed(draw) for step in range(3))


@pytest.mark.parametrize(
    ("log", "stays"),
    [
        (b"", b""),
        (b"plain\n", b"plain\n"),
        (b"no end", b"no end"),
        (b"one\r\ntwo\r\n", b"one\ntwo\n"),
        (b"10%\r20%\r30%\ndone", b"30%\ndone"),
        (b"10%\r20%\r", b"20%"),
        (b"gone\r    \rstays\n", b"stays\n"),
        (b"\x1b[31mred\x1b[0m\n", b"\x1b[31mred\x1b[0m\n"),
        (b"old\r\x1b[Knew\n", b"new\n"),
        (b"a\nb\n\x1b[2A\rA\n\rB\n", b"A\nB\n"),
        (b"\x1b[999999999A\x1b[Ax", b"x"),
        (b"\x1b[" + b"9" * 5000 + b"A", b"\x1b[" + b"9" * 5000 + b"A"),
        (b"caf\xe9\rth\xc3\xa9", b"th\xc3\xa9"),
    ],
)
def test_a_log_is_as_a_terminal_shows_it_in_the_end(log: bytes, stays: bytes) -> None:
    assert overwritten(log) == stays


def test_a_bar_that_moves_for_long_does_not_push_out_what_was_printed_before(written: Written) -> None:
    written.write("important\n")
    for step in written.bar(range(2000), desc="steps", colour="green"):
        if step % 500 == 0:
            written.write(f"loss at {step}\n")
    assert len(written.whole) > 100_000
    log = LogTail(5_000)
    for write in written.writes:
        log.add(write)
        assert len(log) <= 5_000
    lines = log.read().decode().split("\n")
    assert lines[0] == "important" and lines[-1] == ""
    assert [line.partition("loss at ")[2] for line in lines[1:5]] == ["0", "500", "1000", "1500"]
    assert lines[-2].startswith("steps: 100%")


def test_bars_inside_others_do_not_either(written: Written) -> None:
    written.write("important\n")
    for _ in written.bar(range(20), desc="outer"):
        for _ in written.bar(range(200), desc="inner", leave=False):
            pass
    log = LogTail(5_000)
    for write in written.writes:
        log.add(write)
    lines = log.read().decode().split("\n")
    assert lines[0] == "important"
    assert len(lines) < 60


def test_output_that_is_made_to_be_hard_to_tidy_takes_a_small_part_of_the_time() -> None:
    log, chunk = LogTail(64 << 10), b"\r \rx" * (16 << 10)
    took, elapsed = time.thread_time(), time.monotonic()
    for _ in range(1000):  # each would take some 50 ms
        log.add(chunk)
    took, elapsed = time.thread_time() - took, time.monotonic() - elapsed
    assert took < TIDY_BURST_S + TIDY_SHARE * elapsed + 1
    assert len(log.read()) <= 64 << 10


@pytest.mark.parametrize("limit", [0, 1, 1000])
def test_a_log_keeps_its_end(limit: int) -> None:
    log = LogTail(limit)
    for number in range(10_000):
        log.add(f"{number}\n".encode())
        assert len(log) <= limit
    whole = "".join(f"{number}\n" for number in range(10_000)).encode()
    assert log.read() == (whole[-limit:] if limit else b"")
