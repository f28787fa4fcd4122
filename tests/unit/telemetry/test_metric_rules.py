"""Rules for all metrics, also for new ones."""

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from sidecar.telemetry.metrics import METRIC_PREFIX, Metrics
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, profile

# Alerts, dashboards and other programs depend on these.
PROMISED = (
    "build_info", "token_expiration_timestamp_seconds", "token_issued_timestamp_seconds", "token_rotations_total",
    "token_read_errors_total", "credentials_expiration_timestamp_seconds", "credentials_next_refresh_timestamp_seconds",
    "credentials_last_refresh_success_timestamp_seconds", "credentials_ready", "sts_requests_total",
    "sts_request_duration_seconds_bucket",
)  # fmt: skip


@pytest.fixture
def families() -> list[Metric]:
    text = Metrics("1", [profile("reader"), profile("writer")], FakeClock()).text().decode()
    return list(text_string_to_metric_families(text))


def own(families: list[Metric]) -> list[Metric]:
    """Return the metrics of this project; the others are those of the library for the process."""
    return [family for family in families if family.name.startswith(METRIC_PREFIX)]


@pytest.mark.rule("Kubernetes D11")
@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_metric_exists_from_the_start(families: list[Metric], name: str) -> None:
    assert f"{METRIC_PREFIX}_{name}" in {sample.name for family in families for sample in family.samples}


@pytest.mark.rule("Kubernetes D11")
def test_times_are_timestamps_and_never_ages(families: list[Metric]) -> None:
    assert not [family.name for family in own(families) if family.name.endswith(("_age", "_age_seconds", "_remaining"))]
    durations = [
        family.name
        for family in own(families)
        if family.name.endswith("_seconds") and not family.name.endswith("_timestamp_seconds")
    ]
    assert all(family.type == "histogram" for family in own(families) if family.name in durations)


@pytest.mark.rule("Kubernetes D11")
def test_the_role_is_a_label_of_one_info_metric_only(families: list[Metric]) -> None:
    with_role = {family.name for family in families for sample in family.samples if ROLE_ARN in sample.labels.values()}
    assert with_role == {f"{METRIC_PREFIX}_profile_info"}


@pytest.mark.rule("Kubernetes D11")
def test_no_metric_has_a_label_that_prometheus_adds(families: list[Metric]) -> None:
    """Prometheus adds these labels at the scrape."""
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert not labels & {"namespace", "pod", "node", "instance", "container"}


def test_every_metric_has_a_help_text(families: list[Metric]) -> None:
    assert all(len(family.documentation) > 10 for family in own(families))
