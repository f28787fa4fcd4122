"""All metrics of the daemon: names, labels and buckets, on one registry.

Rules (Prometheus documentation, "Metric and label naming" and "Instrumentation"): base units, timestamps
rather than ages, all label values initialised, no label whose values a client chooses. The endpoint counts requests
as plain integers, which are read here at scrape; no code on the request path calls this library.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from sidecar.clock import Clock
from sidecar.credentials.states import ProfileState
from sidecar.endpoint.served_life import LifetimeHistogram
from sidecar.errors import DENIALS, Outcome, TokenProblem
from sidecar.limits import EXCHANGE_BUCKETS_SECONDS, LATENESS_BUCKETS_SECONDS
from sidecar.model import Profile

__all__ = ("CONTENT_TYPE", "METRIC_PREFIX", "Counted", "Metrics")

METRIC_PREFIX: Final = "aws_oidc_sidecar"
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


class Counted(Protocol):
    """The counts of the credentials endpoint, as plain integers."""

    @property
    def requests(self) -> Mapping[tuple[int, str], int]:
        """Number of answers by status and reason, with all combinations from the start."""
        ...

    @property
    def connections(self) -> int:
        """Number of open connections."""
        ...

    @property
    def evicted(self) -> int:
        """Number of idle connections that were closed to make room for new ones."""
        ...

    @property
    def turned_away(self) -> int:
        """Number of new connections that were closed because no idle one could be closed."""
        ...

    @property
    def lives(self) -> LifetimeHistogram:
        """The remaining lifetimes of the credentials that were served."""
        ...


class Metrics:
    """All metrics of one daemon.

    Args:
        version: version of this program.
        profiles: all profiles.
        clock: gives the time of a scrape, for the question whether credentials are servable then.
    """

    def __init__(self, version: str, profiles: Iterable[Profile], clock: Clock) -> None:
        # A setting of the library, not of a registry: without it each counter has a second series, _created.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves it untyped
        self.registry = CollectorRegistry(auto_describe=False)
        prometheus_client.ProcessCollector(registry=self.registry)
        build = Gauge(f"{METRIC_PREFIX}_build_info", "The running version.", ["version"], registry=self.registry)
        build.labels(version).set(1)
        self.token_expiration = self._gauge("token_expiration_timestamp_seconds", "When the projected token expires.")
        self.token_issued = self._gauge("token_issued_timestamp_seconds", "When the projected token was issued.")
        self.token_events = self._gauge(
            "token_watch_active", "1 while file events report a rotation at once; 0 while the file is only polled."
        )
        self.token_rotations = self._counter("token_rotations_total", "Projected tokens read after the first one.")
        self.token_errors = self._counter(
            "token_read_errors_total", "How often the token file became unusable, by reason.", ["reason"]
        )
        self.sts_requests = self._counter("sts_requests_total", "Exchanges by outcome.", ["profile", "outcome"])
        self.sts_denials = self._counter(
            "sts_denials_total", "Denied exchanges, by the kind of policy that STS names; denied if it names none.",
            ["profile", "policy"],
        )  # fmt: skip
        self.sts_seconds = Histogram(
            f"{METRIC_PREFIX}_sts_request_duration_seconds",
            "Duration of an exchange, with the start of its process.",
            ["profile"],
            buckets=EXCHANGE_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.lateness = Histogram(
            f"{METRIC_PREFIX}_refresh_lateness_seconds",
            "Seconds from the time a refresh was due to the new credentials; 0 if they came early.",
            ["profile"],
            buckets=LATENESS_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.last_success = self._gauge(
            "credentials_last_refresh_success_timestamp_seconds", "When the last exchange succeeded.", ["profile"]
        )
        self.port_taken = self._gauge(
            "endpoint_port_taken",
            "1 if the endpoint's port was taken by another process at the start: it may know auth tokens. Else 0.",
        )
        self.reloads = self._counter(
            "profiles_reloads_total",
            "Reloads of the profiles file, by outcome; refused: it cannot be used.",
            ["outcome"],
        )
        self.file_errors = self._counter(
            "credentials_file_errors_total", "Failed writes or removals of credentials.json.", ["profile"]
        )
        # Each with the values of its labels after the profile's name, which all exist from the start.
        self._per_profile: tuple[tuple[Counter | Gauge | Histogram, Sequence[tuple[str, ...]]], ...] = (
            (self.sts_requests, [(outcome,) for outcome in Outcome]),
            (self.sts_denials, [(policy,) for policy in DENIALS]),
            (self.sts_seconds, [()]),
            (self.lateness, [()]),
            (self.last_success, [()]),
            (self.file_errors, [()]),
        )
        self._role = self._gauge("profile_info", "The role of a profile.", ["profile", "role_arn"])
        for problem in TokenProblem:
            self.token_errors.labels(problem)
        for outcome in ("success", "refused"):
            self.reloads.labels(outcome)
        self._states = _StateCollector(clock)
        self._requests = _RequestCollector()
        self.registry.register(self._states)
        self.registry.register(self._requests)
        self.set_profiles(profiles)

    def set_profiles(self, profiles: Iterable[Profile]) -> None:
        """Replace the profiles; all series of the new ones exist at once, those of removed ones are deleted."""
        roles = {profile.name: profile.role_arn for profile in profiles}
        for metric, values in self._per_profile:
            for labels in values:
                for removed in set(self._states.profiles) - set(roles):
                    metric.remove(removed, *labels)
                for name in roles:
                    metric.labels(name, *labels)
        self._role.clear()
        for name, role_arn in roles.items():
            self._role.labels(name, role_arn).set(1)
        self._states.profiles = tuple(roles)

    def has(self, profile: str) -> bool:
        """Return whether there is a profile with this name now."""
        return profile in self._states.profiles

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"{METRIC_PREFIX}_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"{METRIC_PREFIX}_{name}", text, labels, registry=self.registry)

    def read_states(self, state: Callable[[str], ProfileState]) -> None:
        """Read the credential metrics from ``state`` at scrape; before this call they show no credentials."""
        self._states.state = state

    def read_server(self, server: Counted) -> None:
        """Read the counts of the credentials endpoint from ``server`` at scrape; before this call there are none."""
        self._requests.server = server

    def text(self) -> bytes:
        """Return all metrics in the text format of ``CONTENT_TYPE``."""
        return generate_latest(self.registry)


class _StateCollector(Collector):
    def __init__(self, clock: Clock) -> None:
        self.profiles: tuple[str, ...] = ()
        self._clock = clock
        self.state: Callable[[str], ProfileState] = lambda _: ProfileState()

    def collect(self) -> Iterable[Metric]:
        now = self._clock.now()
        expiration = _family(
            "credentials_expiration_timestamp_seconds", "When the credentials expire; 0 if there are none."
        )
        refresh = _family(
            "credentials_next_refresh_timestamp_seconds", "When the next refresh is due; 0 without credentials."
        )
        ready = _family("credentials_ready", "1 while the profile has valid credentials, else 0.")
        previous = _family(
            "credentials_previous_settings",
            "1 while the profile serves credentials that were requested before its settings changed.",
        )
        failures = _family("exchange_consecutive_failures", "Number of failed exchanges in a row.")
        for name in self.profiles:
            state = self.state(name)
            held = state.held
            expires_at = float(held.result.credentials.expires_at) if held else 0.0
            expiration.add_metric([name], expires_at)
            refresh.add_metric([name], expires_at - state.refresh_remaining if held else 0.0)
            ready.add_metric([name], float(held is not None and held.servable(now)))
            previous.add_metric([name], float(held is not None and state.has_previous_settings and held.servable(now)))
            failures.add_metric([name], state.failures)
        return (expiration, refresh, ready, previous, failures)


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{METRIC_PREFIX}_{name}", text, labels=["profile"])


class _RequestCollector(Collector):
    def __init__(self) -> None:
        self.server: Counted | None = None

    def collect(self) -> Iterable[Metric]:
        if self.server is None:
            return ()
        requests = CounterMetricFamily(
            f"{METRIC_PREFIX}_http_requests_total",
            "Answers of the credentials endpoint by status and reason; the reason is none if credentials were served.",
            labels=["code", "reason"],
        )
        for (code, reason), count in self.server.requests.items():
            requests.add_metric([str(code), reason], count)
        connections = GaugeMetricFamily(
            f"{METRIC_PREFIX}_http_connections", "Open connections of the credentials endpoint."
        )
        connections.add_metric([], self.server.connections)
        closed = CounterMetricFamily(
            f"{METRIC_PREFIX}_http_connections_refused_total",
            "Connections closed at the limit: idle ones to make room, or new ones while no other was idle.",
            labels=["reason"],
        )
        closed.add_metric(["idle"], self.server.evicted)
        closed.add_metric(["new"], self.server.turned_away)
        lifetimes = self.server.lives
        served = HistogramMetricFamily(
            f"{METRIC_PREFIX}_served_remaining_lifetime_seconds",
            "Seconds until expiration of the credentials when they were served.",
        )
        served.add_metric([], lifetimes.cumulated(), lifetimes.total_seconds)
        return (requests, connections, closed, served)
