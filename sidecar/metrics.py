"""Every metric: its name, labels and buckets, on a registry of our own.

Rules (Prometheus documentation, "Metric and label naming" and "Instrumentation"): base units, timestamps
rather than ages, every label value initialised, no label whose values an outsider chooses. Rates are counted
where they happen as plain integers and read here at scrape; nothing on the request path calls this library.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from sidecar.clock import Clock
from sidecar.credentials.states import State
from sidecar.errors import Outcome, TokenProblem
from sidecar.lives import Lives
from sidecar.model import Profile

__all__ = ("CONTENT_TYPE", "PREFIX", "Counted", "Metrics")

PREFIX: Final = "aws_oidc_sidecar"
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

# One exchange: a process start and an HTTPS call; 10 s is when it is killed, 60 s when its start is.
_EXCHANGE_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
# A renewal is due 20 minutes before expiry, and 5 of those are before the first client asks.
_LATENESS_BUCKETS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 600.0, 1_200.0)


class Counted(Protocol):
    """What the credentials endpoint counts, as plain integers."""

    @property
    def requests(self) -> Mapping[tuple[int, str], int]:
        """Answers by status and cause, every combination from the start."""
        ...

    @property
    def connections(self) -> int:
        """Connections that are open."""
        ...

    @property
    def evicted(self) -> int:
        """Connections that were closed to make room."""
        ...

    @property
    def turned_away(self) -> int:
        """New connections that were closed because no other could be."""
        ...

    @property
    def lives(self) -> Lives:
        """The remaining lives of the sets that were served."""
        ...


class Metrics:
    """All metrics of one daemon.

    Args:
        version: of this program.
        profiles: every profile.
        clock: decides whether a set is servable at scrape.
    """

    def __init__(self, version: str, profiles: Iterable[Profile], clock: Clock) -> None:
        # A setting of the library, not of a registry: without it each counter doubles into a _created series.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves it untyped
        self.registry = CollectorRegistry(auto_describe=False)
        prometheus_client.ProcessCollector(registry=self.registry)
        build = Gauge(f"{PREFIX}_build_info", "The version that runs.", ["version"], registry=self.registry)
        build.labels(version).set(1)
        self.token_expiration = self._gauge("token_expiration_timestamp_seconds", "When the projected token expires.")
        self.token_issued = self._gauge("token_issued_timestamp_seconds", "When the projected token was issued.")
        self.token_events = self._gauge(
            "token_watch_events", "1 while file events announce a rotation, 0 while the file is only polled."
        )
        self.token_rotations = self._counter("token_rotations_total", "Projected tokens seen after the first.")
        self.token_errors = self._counter(
            "token_read_errors_total", "Times that the token file became unusable.", ["reason"]
        )
        self.sts_requests = self._counter("sts_requests_total", "Exchanges by how they ended.", ["profile", "outcome"])
        self.sts_seconds = Histogram(
            f"{PREFIX}_sts_request_duration_seconds",
            "Time of an exchange, the start of its process included.",
            ["profile"],
            buckets=_EXCHANGE_BUCKETS,
            registry=self.registry,
        )
        self.lateness = Histogram(
            f"{PREFIX}_refresh_lateness_seconds",
            "How long after a set was due its successor came; 0 for one that came early.",
            ["profile"],
            buckets=_LATENESS_BUCKETS,
            registry=self.registry,
        )
        self.last_success = self._gauge(
            "credentials_last_refresh_success_timestamp_seconds", "When the last exchange succeeded.", ["profile"]
        )
        self.reloads = self._counter("profiles_reloads_total", "Changes of the profiles file by outcome.", ["outcome"])
        self.file_errors = self._counter(
            "credentials_file_errors_total", "Times that credentials.json could not be written or removed.", ["profile"]
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
        """Have these profiles from now on; every series of each is there at once, those of others are gone."""
        roles = {profile.name: profile.role_arn for profile in profiles}
        for gone in set(self._states.profiles) - set(roles):
            self.sts_seconds.remove(gone)
            self.lateness.remove(gone)
            self.last_success.remove(gone)
            self.file_errors.remove(gone)
            for outcome in Outcome:
                self.sts_requests.remove(gone, outcome)
        self._role.clear()
        for name, role_arn in roles.items():
            self._role.labels(name, role_arn).set(1)
            self.sts_seconds.labels(name)
            self.lateness.labels(name)
            self.last_success.labels(name)
            self.file_errors.labels(name)
            for outcome in Outcome:
                self.sts_requests.labels(name, outcome)
        self._states.profiles = tuple(roles)

    def has(self, profile: str) -> bool:
        """Whether there is such a profile now."""
        return profile in self._states.profiles

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def read_states(self, state: Callable[[str], State]) -> None:
        """Have credential metrics read from here at scrape; before that there are none."""
        self._states.state = state

    def read_server(self, server: Counted) -> None:
        """Have the counts of the credentials endpoint read from here at scrape; before that there are none."""
        self._requests.server = server

    def text(self) -> bytes:
        """Return all metrics in the text format that ``CONTENT_TYPE`` names."""
        return generate_latest(self.registry)


class _StateCollector(Collector):
    def __init__(self, clock: Clock) -> None:
        self.profiles: tuple[str, ...] = ()
        self._clock = clock
        self.state: Callable[[str], State] = lambda _: State()

    def collect(self) -> Iterable[Metric]:
        now = self._clock.now()
        expiration = _family("credentials_expiration_timestamp_seconds", "When the held set expires; 0 without one.")
        renewal = _family("credentials_renewal_timestamp_seconds", "When the held set is due; 0 without one.")
        ready = _family("credentials_ready", "1 while an unexpired set is held.")
        failures = _family("exchange_consecutive_failures", "Exchanges that failed in a row.")
        for name in self.profiles:
            state = self.state(name)
            held = state.held
            expires_at = float(held.grant.credentials.expires_at) if held else 0.0
            expiration.add_metric([name], expires_at)
            renewal.add_metric([name], expires_at - state.renew_remaining if held else 0.0)
            ready.add_metric([name], float(held is not None and held.servable(now)))
            failures.add_metric([name], state.failures)
        return (expiration, renewal, ready, failures)


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=["profile"])


class _RequestCollector(Collector):
    def __init__(self) -> None:
        self.server: Counted | None = None

    def collect(self) -> Iterable[Metric]:
        if self.server is None:
            return ()
        requests = CounterMetricFamily(
            f"{PREFIX}_http_requests_total",
            "Answers of the credentials endpoint by status and cause; cause is none for what was served.",
            labels=["code", "cause"],
        )
        for (code, cause), count in self.server.requests.items():
            requests.add_metric([str(code), cause], count)
        connections = GaugeMetricFamily(f"{PREFIX}_http_connections", "Open connections of the credentials endpoint.")
        connections.add_metric([], self.server.connections)
        closed = CounterMetricFamily(
            f"{PREFIX}_http_connections_refused_total",
            "Connections closed at the limit: idle ones evicted, or new ones when every other was being answered.",
            labels=["which"],
        )
        closed.add_metric(["idle"], self.server.evicted)
        closed.add_metric(["new"], self.server.turned_away)
        lives = self.server.lives
        served = HistogramMetricFamily(
            f"{PREFIX}_served_remaining_life_seconds", "Seconds until expiry of each set at the moment it was served."
        )
        served.add_metric([], lives.cumulated(), lives.total_seconds)
        return (requests, connections, closed, served)
