"""The calls of the last minutes, by stretches of some seconds."""

from __future__ import annotations

from modelport.observe.recent_calls import SAMPLES, SLOT_S, SLOTS, RecentCalls


def test_calls_are_counted_in_their_stretch_and_empty_ones_are_told_too() -> None:
    now = 1000.0
    series = RecentCalls(lambda: now)
    series.add(0.1, failed=False)
    series.add(0.3, failed=True)
    now += 2 * SLOT_S
    series.add(0.5, failed=False)
    last = series.last(4)
    assert [(each.calls, each.failed) for each in last] == [(0, 0), (2, 1), (0, 0), (1, 0)]
    assert [each.percentile_s(0.5) for each in last] == [None, 0.3, None, 0.5]


def test_no_more_is_kept_than_the_last_stretches_and_some_times_of_each() -> None:
    now = 0.0
    series = RecentCalls(lambda: now)
    for _ in range(10 * SAMPLES):
        series.add(1.0, failed=False)
    for _ in range(2 * SLOTS):
        now += SLOT_S
        series.add(2.0, failed=False)
    assert len(series.last()) == SLOTS
    assert {each.calls for each in series.last()} == {1}
    now = 0.0
    fresh = RecentCalls(lambda: now)
    for _ in range(10 * SAMPLES):
        fresh.add(1.0, failed=False)
    [slot] = fresh.last(1)
    assert (slot.calls, len(slot.seconds)) == (10 * SAMPLES, SAMPLES)
