"""What is counted and timed, for /metrics. One object a server: nothing is global.

Counting happens several times in each prediction, exporting a few times a minute: so counting is an addition to a
list here, and prometheus-client's own objects are made when it asks.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from modelport.contract.prediction import Outcome
from modelport.observe.recent_calls import RecentCalls

# From a model that does nothing (0.2 ms) to one that works for minutes.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
# The median is that of so many calls, the last of a deployment: enough that one odd call does not move it.
MEDIAN_CALLS = 200

Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)


class _Histogram:
    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum = 0.0

    def buckets(self) -> Iterable[tuple[str, float]]:
        """(upper bound, how many up to it), as Prometheus wants them."""
        total = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, float(total)


class Metrics(Collector):
    """Predictions by deployment and result, and their phases: read, queue, validate, predict, encode."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.recent = RecentCalls()
        self._results: dict[tuple[str, str], int] = defaultdict(int)
        self._failures: dict[str, int] = defaultdict(int)
        self._phases: dict[tuple[str, str], _Histogram] = defaultdict(_Histogram)
        self._answered_s: dict[str, deque[float]] = defaultdict(partial(deque, maxlen=MEDIAN_CALLS))

    def count(self, deployment: str, result: str) -> None:
        """A call that did not succeed and has no outcome."""
        self._results[deployment, result] += 1
        self._failures[deployment] += 1

    def ended(self, deployment: str, outcome: Outcome, method: str = "predict") -> None:
        self._results[deployment, "succeeded" if outcome.error is None else outcome.error.kind] += 1
        seconds = sum(outcome.timings.values())
        self.recent.add(seconds, failed=outcome.error is not None)
        if outcome.error is not None:
            self._failures[deployment] += 1
        elif method == "predict":
            self._answered_s[deployment].append(seconds)
        for phase, seconds in outcome.timings.items():
            histogram = self._phases[deployment, phase]
            histogram.counts[bisect_left(BUCKETS_S, seconds)] += 1
            histogram.sum += seconds

    def median_s(self, deployment: str) -> float | None:
        """Of the last predictions that were answered; waiting for a worker, encoding and a generator's steps included.

        None: none has been answered since the server started.
        """
        seconds = self._answered_s.get(deployment)
        return statistics.median(seconds) if seconds else None

    def failures(self, deployment: str) -> int:
        """Calls that did not succeed since the server started, refused ones included."""
        return self._failures.get(deployment, 0)

    def forget(self, deployment: str) -> None:
        """The deployment has gone."""
        counted: dict[tuple[str, str], Any]
        for counted in (self._results, self._phases):
            for key in [key for key in counted if key[0] == deployment]:
                del counted[key]
        self._answered_s.pop(deployment, None)
        self._failures.pop(deployment, None)

    def collect(self) -> Iterable[Metric]:
        labels = ["deployment", "result"]
        yield filled(CounterMetricFamily("modelport_predictions", "Predictions ended", labels=labels), self._results)
        phases = HistogramMetricFamily(
            "modelport_phase_seconds", "Time of predictions by phase", labels=["deployment", "phase"]
        )
        for key, histogram in self._phases.items():
            phases.add_metric(key, list(histogram.buckets()), histogram.sum)
        yield phases
        help = "Half of the last calls were answered within"
        medians = {(name,): statistics.median(seconds) for name, seconds in self._answered_s.items()}
        yield filled(GaugeMetricFamily("modelport_call_p50_seconds", help, labels=["deployment"]), medians)


def filled(family: Family, rows: Mapping[Any, float]) -> Family:
    """rows: by the values of its labels."""
    for labels, value in rows.items():
        family.add_metric(labels, value)
    return family
