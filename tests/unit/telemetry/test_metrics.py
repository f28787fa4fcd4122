from typing import ClassVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.credentials.states import Phase, ProfileState
from sidecar.credentials.timing import hold
from sidecar.endpoint.served_life import LifetimeHistogram
from sidecar.errors import Outcome, TokenProblem
from sidecar.telemetry.metrics import Metrics
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, profile


def scraped(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return every sample by its name and label values."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.rule("SDK 28", "Kubernetes D11")
def test_every_label_value_exists_before_the_first_event() -> None:
    found = scraped(Metrics("1.2.3", [profile("reader")], FakeClock()))
    for outcome in Outcome:
        assert found["aws_oidc_sidecar_sts_requests_total", (outcome, "reader")] == 0
    for problem in TokenProblem:
        assert found["aws_oidc_sidecar_token_read_errors_total", (problem,)] == 0
    assert found["aws_oidc_sidecar_build_info", ("1.2.3",)] == 1
    assert found["aws_oidc_sidecar_credentials_ready", ("reader",)] == 0


def test_credentials_are_shown_as_timestamps_and_ready_follows_the_clock() -> None:
    clock = FakeClock()
    metrics = Metrics("1", [profile("a")], clock)
    state = ProfileState(phase=Phase.FRESH, held=hold(assume_role_result()), refresh_remaining=1_200, failures=3)
    metrics.read_states(lambda _: state)
    found = scraped(metrics)
    assert found["aws_oidc_sidecar_credentials_expiration_timestamp_seconds", ("a",)] == 1_800_003_600
    assert found["aws_oidc_sidecar_credentials_next_refresh_timestamp_seconds", ("a",)] == 1_800_002_400
    assert found["aws_oidc_sidecar_exchange_consecutive_failures", ("a",)] == 3
    assert found["aws_oidc_sidecar_credentials_ready", ("a",)] == 1
    clock.advance(3_570)
    assert scraped(metrics)["aws_oidc_sidecar_credentials_ready", ("a",)] == 0


class Server:
    """Implements ``Counted``."""

    requests: ClassVar = {(200, "none"): 0, (403, "host"): 0}
    connections = 3
    evicted = 1
    lives = LifetimeHistogram()
    turned_away = 0


def test_request_counts_are_read_from_the_server() -> None:
    metrics = Metrics("1", [profile("a")], FakeClock())
    server = Server()
    metrics.read_server(server)
    server.requests[200, "none"] += 7
    for seconds in (10.0, 1_000.0, 3_500.0):
        server.lives.count(seconds)
    found = scraped(metrics)
    assert found["aws_oidc_sidecar_http_requests_total", ("200", "none")] == 7
    assert found["aws_oidc_sidecar_http_requests_total", ("403", "host")] == 0
    assert found["aws_oidc_sidecar_http_connections", ()] == 3
    assert found["aws_oidc_sidecar_served_remaining_lifetime_seconds_bucket", ("900.0",)] == 1
    assert found["aws_oidc_sidecar_served_remaining_lifetime_seconds_bucket", ("1200.0",)] == 2
    assert found["aws_oidc_sidecar_served_remaining_lifetime_seconds_count", ()] == 3
    assert found["aws_oidc_sidecar_served_remaining_lifetime_seconds_sum", ()] == 4_510
    assert found["aws_oidc_sidecar_http_connections_refused_total", ("idle",)] == 1


def test_a_new_profile_has_every_series_and_a_removed_one_has_none() -> None:
    metrics = Metrics("1", [profile("a")], FakeClock())
    metrics.set_profiles([profile("b")])
    text = metrics.text().decode()
    assert 'profile="a"' not in text
    assert text.count('profile="b"') > 20


@pytest.mark.rule("Kubernetes D11")
def test_there_is_no_created_series() -> None:
    assert "_created" not in Metrics("1", [profile("a")], FakeClock()).text().decode()


def test_two_daemons_in_one_process_do_not_share_a_registry() -> None:
    one, two = Metrics("1", [profile("a")], FakeClock()), Metrics("1", [profile("a")], FakeClock())
    one.token_rotations.inc()
    assert scraped(two)["aws_oidc_sidecar_token_rotations_total", ()] == 0
