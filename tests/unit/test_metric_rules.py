"""Rules that hold for every metric, whichever comes next."""

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from sidecar.metrics import PREFIX, Metrics
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, profile

# What alerts, dashboards and other programs of this kind go by.
PROMISED = (
    "build_info", "token_expiration_timestamp_seconds", "token_issued_timestamp_seconds", "token_rotations_total",
    "token_read_errors_total", "credentials_expiration_timestamp_seconds", "credentials_renewal_timestamp_seconds",
    "credentials_last_refresh_success_timestamp_seconds", "credentials_ready", "sts_requests_total",
    "sts_request_duration_seconds_bucket",
)  # fmt: skip


@pytest.fixture
def families() -> list[Metric]:
    text = Metrics("1", [profile("reader"), profile("writer")], FakeClock()).text().decode()
    return list(text_string_to_metric_families(text))


def own(families: list[Metric]) -> list[Metric]:
    """Return those that are ours; the others are the library's, of the process."""
    return [family for family in families if family.name.startswith(PREFIX)]


@pytest.mark.parametrize("name", PROMISED)
def test_what_is_promised_is_there_from_the_start(families: list[Metric], name: str) -> None:
    assert f"{PREFIX}_{name}" in {sample.name for family in families for sample in family.samples}


def test_times_are_timestamps_and_never_ages(families: list[Metric]) -> None:
    assert not [family.name for family in own(families) if family.name.endswith(("_age", "_age_seconds", "_remaining"))]
    durations = [
        family.name
        for family in own(families)
        if family.name.endswith("_seconds") and not family.name.endswith("_timestamp_seconds")
    ]
    assert all(family.type == "histogram" for family in own(families) if family.name in durations)


def test_the_role_is_a_label_of_one_info_metric_alone(families: list[Metric]) -> None:
    with_role = {family.name for family in families for sample in family.samples if ROLE_ARN in sample.labels.values()}
    assert with_role == {f"{PREFIX}_profile_info"}


def test_no_metric_says_which_pod_it_is(families: list[Metric]) -> None:
    """Whoever scrapes adds that."""
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert not labels & {"namespace", "pod", "node", "instance", "container"}


def test_every_metric_says_what_it_is(families: list[Metric]) -> None:
    assert all(len(family.documentation) > 10 for family in own(families))
