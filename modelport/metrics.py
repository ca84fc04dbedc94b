"""What is counted and timed, for /metrics. One object a server: nothing is global."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from modelport.prediction import Outcome

# From a model that does nothing (0.2 ms) to one that works for minutes.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

PHASES = ("read", "queue", "validate", "predict", "encode")


class Metrics:
    """Predictions by deployment and result, their phases, and refusals."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._predictions = Counter(
            "modelport_predictions", "Predictions ended", ["deployment", "result"], registry=self.registry
        )
        self._phases = Histogram(
            "modelport_phase_seconds",
            "Time of predictions by phase",
            ["deployment", "phase"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        # Looking a child up by its labels costs more than counting; there are few, so they are kept.
        self._children: dict[tuple[str, str], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def add_collector(self, collector: Collector) -> None:
        """Something that gives gauges at the time of asking (workers, queue)."""
        self.registry.register(collector)

    def count(self, deployment: str, result: str) -> None:
        key = deployment, result
        counter = self._children.get(key)
        if counter is None:
            counter = self._children[key] = self._predictions.labels(deployment, result)
        counter.inc()

    def ended(self, deployment: str, outcome: Outcome) -> None:
        self.count(deployment, "succeeded" if outcome.error is None else outcome.error.kind)
        for phase, seconds in outcome.timings.items():
            key = deployment, phase
            histogram = self._histograms.get(key)
            if histogram is None:
                histogram = self._histograms[key] = self._phases.labels(deployment, phase)
            histogram.observe(seconds)


def gauge(name: str, help: str, rows: dict[str, float]) -> GaugeMetricFamily:
    """One gauge by deployment."""
    family = GaugeMetricFamily(name, help, labels=["deployment"])
    for deployment, value in rows.items():
        family.add_metric([deployment], value)
    return family
