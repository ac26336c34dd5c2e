"""The service's figures in Prometheus' words, read from the database at each scrape: all processes
tell the same, and a restart forgets nothing. What was wanted more than a week ago and ends only
today is counted so from tomorrow on (`flows.totals`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tenantry.flows.gauges import Gauges, read_gauges
from tenantry.flows.service import Service
from tenantry.flows.totals import BOUNDS, Counts, Group, read_totals


def write_metrics(service: Service) -> bytes:
    """All metrics, in the text format."""
    registry = CollectorRegistry()
    registry.register(_OfDatabase(service))
    return generate_latest(registry)


class _OfDatabase(Collector):
    def __init__(self, service: Service) -> None:
        self.service = service

    def describe(self) -> list[Metric]:
        """Nothing: else the database is asked twice."""
        return []

    def collect(self) -> Iterator[Metric]:
        now, database = self.service.now(), self.service.database
        with database.read() as session:
            totals = read_totals(database, session, now)
            cells = [each.name for each in self.service.cells.values() if each.argocd]
            gauges = read_gauges(session, now, cells)
        yield _durations(totals.steps)
        yield _outcomes(totals.outcomes)
        yield from _standing(gauges)
        yield from _subscribed(gauges)
        yield from _watches(gauges)


def _durations(steps: Mapping[Group, Counts]) -> Metric:
    family = HistogramMetricFamily(
        "tenantry_deployment_step_seconds",
        "Seconds from one step of a deployment to the next; `total`: from wanted to answering.",
        labels=("kind", "synthetic", "step"),
    )
    for (kind, synthetic, step), counts in steps.items():
        labels = [kind, _truth(synthetic), step]
        family.add_metric(labels, _buckets(counts), counts.seconds)
    return family


def _buckets(counts: Counts) -> list[tuple[str, float]]:
    upto = [(str(float(bound)), number) for bound, number in zip(BOUNDS, counts.upto, strict=True)]
    return [*upto, ("+Inf", counts.times)]


def _outcomes(ends: Mapping[Group, int]) -> Metric:
    family = GaugeMetricFamily(
        "tenantry_deployments",
        "Deployments by outcome.",
        labels=("kind", "synthetic", "outcome"),
    )
    for (kind, synthetic, outcome), times in ends.items():
        family.add_metric([kind, _truth(synthetic), outcome], times)
    return family


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _standing(gauges: Gauges) -> Iterator[Metric]:
    yield _by("tenants", "Tenants by status.", "status", gauges.statuses)
    yield _gauge("unpublished", "Tenants that main does not show as wanted.", gauges.behind)
    yield _gauge("set_aside", "Of these, those that cannot be published.", gauges.set_aside)
    yield _gauge("mail_waiting", "Mail that is due and not sent.", gauges.mail)
    yield CounterMetricFamily(
        "tenantry_flaps", "Times that a running tenant was disturbed.", value=gauges.flaps
    )


def _subscribed(gauges: Gauges) -> Iterator[Metric]:
    yield _by("subscriptions", "Subscriptions by stage.", "stage", gauges.stages)
    yield _gauge("mail_refused", "Mail that a server refused for good.", gauges.mail_refused)
    yield _by(
        "billing_events_unclear",
        "What was told of payments and changed nothing, by why.",
        "why",
        gauges.billing,
    )
    yield _gauge("subscriptions_overdue", "Subscriptions that nobody follows.", gauges.overdue)
    yield _gauge("licenses_ending", "Paid licenses that end soon.", gauges.ending)
    yield _by("flag", "1 while a switch of operators is on.", "name", gauges.flags)


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"tenantry_{name}", text, labels=(label,))
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tenantry_{name}", text, value=value)


def _watches(gauges: Gauges) -> Iterator[Metric]:
    age = "Since a cell's Argo CD last answered."
    yield _by("watch_age_seconds", age, "cell", gauges.watch_age)
    failing = "1 while a cell's Argo CD does not answer."
    yield _by("watch_failing", failing, "cell", gauges.watch_failing)
