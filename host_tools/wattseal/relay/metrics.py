"""What the relay counts and measures, for Prometheus (docs/operations.md). Labels are outcomes, codes, states, tokens and sites: few.

What happens is counted as it happens; what is so now is read when somebody asks.
"""

import time
from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wattseal.protocol.messages import to_hex
from wattseal.relay.site_control import SiteControl

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES = ("stored", "superseded", "refused", "not_kept")
_ACKNOWLEDGED_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Watched(Protocol):
    """What is read of a relay when somebody asks."""

    sites: SiteControl

    @property
    def plugs_connected(self) -> int:
        """How many plugs are connected."""

    @property
    def queued(self) -> int:
        """How many receipts wait to be stored."""

    @property
    def chain_head(self) -> int | None:
        """UTC second of the newest header that was seen, None before the first."""

    @property
    def money_at_risk(self) -> dict[bytes, int]:
        """By token, in its base units: what all stored receipts are worth beyond what is settled."""

    @property
    def settlements(self) -> dict[str, int]:
        """How many settlements have come to each state since the start."""


class Metrics:
    """The counters of one relay, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        receipts = Counter("wattseal_receipts", "Receipts that came, by what became of them.", ["outcome"], registry=self._registry)
        self._receipts = {outcome: receipts.labels(outcome) for outcome in OUTCOMES}
        self._acknowledged = Histogram(
            "wattseal_acknowledgement_seconds",
            "From a receipt's arrival to its acknowledgement.",
            buckets=_ACKNOWLEDGED_S,
            registry=self._registry,
        )
        self._quarantined = Counter("wattseal_quarantined", "Messages that were refused, by code.", ["code"], registry=self._registry)
        self._gateway_errors = Counter("wattseal_gateway_errors", "Failed calls of the chain, by code.", ["code"], registry=self._registry)

    def watch(self, relay: Watched) -> None:
        """Read a relay whenever somebody asks."""
        self._registry.register(_Now(relay))

    def receipt(self, outcome: str) -> None:
        """Count a receipt; `outcome` is one of OUTCOMES."""
        self._receipts[outcome].inc()

    def acknowledged(self, seconds: float) -> None:
        """Note how long a receipt took."""
        self._acknowledged.observe(seconds)

    def quarantined(self, code: str) -> None:
        """Count a refused message."""
        self._quarantined.labels(code).inc()

    def gateway_error(self, code: str) -> None:
        """Count a failed call of the chain."""
        self._gateway_errors.labels(code).inc()

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)


class _Now(Collector):
    """What is so now."""

    def __init__(self, relay: Watched) -> None:
        self._relay = relay

    def collect(self) -> Iterator[Metric]:
        relay = self._relay
        yield GaugeMetricFamily("wattseal_plugs_connected", "Plugs that are connected.", relay.plugs_connected)
        yield GaugeMetricFamily("wattseal_queued_receipts", "Receipts that wait to be stored.", relay.queued)
        settlements = CounterMetricFamily("wattseal_settlements", "Settlements that came to a state, since the start.", labels=["state"])
        for state, count in relay.settlements.items():
            settlements.add_metric([state], count)
        yield settlements
        at_risk = GaugeMetricFamily("wattseal_money_at_risk", "What receipts are worth beyond what is settled, in base units.", labels=["token"])
        for token, amount in relay.money_at_risk.items():
            at_risk.add_metric([to_hex(token)], amount)
        yield at_risk
        if relay.chain_head is not None:
            age = time.time() - relay.chain_head
            yield GaugeMetricFamily("wattseal_chain_head_age_seconds", "Age of the newest header that was seen.", age)
        yield from _sites(relay.sites)


def _sites(control: SiteControl) -> Iterator[Metric]:
    capacity = GaugeMetricFamily("wattseal_site_capacity_amperes", "What a site's breaker has for its plugs.", labels=["site"])
    may_draw = GaugeMetricFamily(
        "wattseal_site_may_draw_amperes", "The most that a site's plugs may draw by what they were granted.", labels=["site"]
    )
    drawn = GaugeMetricFamily("wattseal_site_drawn_amperes", "What a site's connected plugs say that they draw.", labels=["site"])
    waiting = GaugeMetricFamily("wattseal_site_waiting_plugs", "Plugs with a session and no grant.", labels=["site"])
    uncontrolled = GaugeMetricFamily("wattseal_site_uncontrolled_plugs", "Plugs that charge without a grant.", labels=["site"])
    for page in control.pages():
        plugs = page["plugs"]
        capacity.add_metric([page["name"]], (page["breaker_ma"] - page["reserve_ma"]) / 1000)
        may_draw.add_metric([page["name"]], page["may_draw_ma"] / 1000)
        drawn.add_metric([page["name"]], page["drawn_ma"] / 1000)
        waiting.add_metric([page["name"]], sum(plug["wants"] and not plug["granted"] for plug in plugs))
        uncontrolled.add_metric([page["name"]], sum(plug["uncontrolled"] for plug in plugs))
    yield from (capacity, may_draw, drawn, waiting, uncontrolled)
