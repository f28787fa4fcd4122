import io
import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.credentials.interfaces import Withdrawal
from sidecar.credentials.states import Phase, ProfileState
from sidecar.credentials.timing import hold
from sidecar.errors import Failure, Outcome, Retry, TokenError, TokenProblem
from sidecar.exchange.classify import classify
from sidecar.limits import REPEATED_LOG_SECONDS
from sidecar.telemetry.log import make_logger
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.reporter import EventReporter
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, profile, token

DENIED = Failure(Outcome.ACCESS_DENIED, Retry.PROPAGATION, "fix the trust policy", "AccessDenied", 403)


class ReporterHarness:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stream = io.StringIO()
        self.metrics = Metrics("1", [profile("default")], self.clock)
        logger = make_logger("debug", self.clock, self.stream)
        self.reporter = EventReporter(logger, self.metrics, self.clock, "sts.amazonaws.com")

    def lines(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        assert not any("dropped" in line for line in lines), "a field that is not on the list of allowed fields"
        return lines

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"aws_oidc_sidecar_{name}", labels)


@pytest.fixture
def harness() -> ReporterHarness:
    return ReporterHarness()


def test_a_token_is_logged_with_its_claims(harness: ReporterHarness) -> None:
    harness.reporter.token_seen(token())
    (line,) = harness.lines()
    assert line["event"] == "token_read"
    assert line["subject"] == "system:serviceaccount:default:aws-parameter-reader"
    assert line["remaining_seconds"] == 3_600
    assert harness.metric("token_expiration_timestamp_seconds") == 1_800_003_600


def test_the_first_token_is_no_rotation(harness: ReporterHarness) -> None:
    harness.reporter.token_seen(token())
    assert harness.metric("token_rotations_total") == 0
    harness.reporter.token_seen(token("a.b.c"))
    assert harness.metric("token_rotations_total") == 1


@pytest.mark.rule("Kubernetes D3")
@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"audience": ("vault",)}, "aud is not sts.amazonaws.com"),
        ({"subject": "repo:acme"}, "not a ServiceAccount"),
        ({"issued_at": 1_800_003_000.0}, "lifetime is 600 s"),
    ],
)
def test_a_token_with_a_problem_logs_one_warning(harness: ReporterHarness, changes: dict[str, Any], part: str) -> None:
    for _ in range(2):
        harness.reporter.token_seen(replace(token(), **changes))
    warnings = [line for line in harness.lines() if line["level"] == "warning"]
    assert len(warnings) == 1
    assert part in warnings[0]["warning"]
    assert warnings[0]["fix"]


@pytest.mark.rule("Kubernetes D2")
def test_an_unusable_token_is_counted_by_its_reason(harness: ReporterHarness) -> None:
    harness.reporter.token_unusable(TokenError(TokenProblem.EMPTY))
    assert harness.lines()[0]["reason"] == "empty"
    assert harness.metric("token_read_errors_total", reason="empty") == 1


def test_polling_only_is_logged_and_shown(harness: ReporterHarness) -> None:
    harness.reporter.watch_mode("")
    assert harness.lines() == []
    assert harness.metric("token_watch_active") == 1
    harness.reporter.watch_mode("EMFILE")
    assert harness.lines()[0]["reason"] == "EMFILE"
    assert harness.metric("token_watch_active") == 0


def test_a_refresh_is_logged_with_its_expiration_and_counted(harness: ReporterHarness) -> None:
    state = ProfileState(phase=Phase.FRESH, held=hold(assume_role_result()))
    harness.reporter.exchange_ended(
        "default", assume_role_result(), 0.25, harness.clock.now(), before=ProfileState(), after=state
    )
    (line,) = harness.lines()
    assert (line["event"], line["expires_at"]) == ("credentials_refreshed", 1_800_003_600)
    assert harness.metric("sts_requests_total", profile="default", outcome="success") == 1
    assert harness.metric("sts_request_duration_seconds_sum", profile="default") == 0.25
    assert harness.metric("credentials_last_refresh_success_timestamp_seconds", profile="default") == 1_800_000_000


@pytest.mark.rule("SDK 28")
def test_a_failure_is_logged_with_its_outcome_the_fix_and_the_next_attempt(harness: ReporterHarness) -> None:
    state = ProfileState(phase=Phase.RETRYING, failure=DENIED, attempt_mono=1_004.0)
    harness.reporter.exchange_ended("default", DENIED, 0.1, harness.clock.now(), before=ProfileState(), after=state)
    (line,) = harness.lines()
    assert line["event"] == "exchange_failed"
    assert (line["outcome"], line["aws_code"], line["http_status"]) == ("access_denied", "AccessDenied", 403)
    assert (line["fix"], line["next_attempt_seconds"]) == ("fix the trust policy", 4.0)
    assert harness.metric("sts_requests_total", profile="default", outcome="access_denied") == 1


def test_a_denial_has_the_kind_of_policy_in_log_and_metric(harness: ReporterHarness) -> None:
    denied = classify("AccessDenied", "with an explicit deny in a resource control policy", 403, "b1946ac9")
    state = ProfileState(phase=Phase.RETRYING, failure=denied, attempt_mono=1_004.0)
    harness.reporter.exchange_ended("default", denied, 0.1, harness.clock.now(), before=ProfileState(), after=state)
    (line,) = harness.lines()
    assert (line["aws_error"], line["aws_request_id"]) == ("resource_control_policy", "b1946ac9")
    assert harness.metric("sts_denials_total", profile="default", policy="resource_control_policy") == 1
    assert harness.metric("sts_denials_total", profile="default", policy="denied") == 0


def test_a_rejected_result_counts_as_a_failure(harness: ReporterHarness) -> None:
    unusable = Failure(Outcome.INVALID_RESPONSE, Retry.TRANSIENT, "hint", "ShorterThanHeld")
    state = ProfileState(phase=Phase.STALE, held=hold(assume_role_result()), failure=unusable, attempt_mono=1_001.0)
    harness.reporter.exchange_ended(
        "default", assume_role_result(2, lifetime=60), 0.1, harness.clock.now(), before=ProfileState(), after=state
    )
    assert harness.lines()[0]["aws_code"] == "ShorterThanHeld"
    assert harness.metric("sts_requests_total", profile="default", outcome="success") == 0
    assert harness.metric("sts_requests_total", profile="default", outcome="invalid_response") == 1


@pytest.mark.parametrize(("waited", "late"), [(2_000.0, 0.0), (2_500.0, 100.0)])
def test_the_lateness_of_a_refresh_is_the_time_since_it_was_due(
    harness: ReporterHarness, waited: float, late: float
) -> None:
    before = ProfileState(phase=Phase.REFRESHING, held=hold(assume_role_result()), refresh_remaining=1_200)
    harness.clock.advance(waited)
    new = assume_role_result(2, wall=harness.clock.wall, mono=harness.clock.mono)
    after = ProfileState(phase=Phase.FRESH, held=hold(new))
    harness.reporter.exchange_ended("default", new, 0.1, harness.clock.now(), before=before, after=after)
    assert harness.metric("refresh_lateness_seconds_sum", profile="default") == late
    assert harness.metric("refresh_lateness_seconds_count", profile="default") == 1


def test_expired_credentials_are_logged_as_an_error_with_the_fix(harness: ReporterHarness) -> None:
    harness.reporter.withdrawn("default", ProfileState(failure=DENIED), Withdrawal.EXPIRED)
    harness.reporter.withdrawn("default", ProfileState(), Withdrawal.EXPIRED)
    one, two = harness.lines()
    assert (one["level"], one["outcome"], one["fix"]) == ("error", "access_denied", "fix the trust policy")
    assert two["fix"]


@pytest.mark.parametrize("reason", [reason for reason in Withdrawal if reason is not Withdrawal.EXPIRED])
def test_a_withdrawal_by_settings_is_a_warning_with_its_reason(harness: ReporterHarness, reason: Withdrawal) -> None:
    harness.reporter.withdrawn("default", ProfileState(failure=DENIED), reason)
    (line,) = harness.lines()
    assert (line["level"], line["reason"], line["outcome"]) == ("warning", reason, "")
    assert line["fix"] != "fix the trust policy", "it is not the reason of the withdrawal"


def test_previous_settings_that_are_still_served_are_logged_and_shown(harness: ReporterHarness) -> None:
    harness.metrics.read_states(lambda _: state)
    state = ProfileState(phase=Phase.STALE, held=hold(assume_role_result()), shown=True, settings="new", failure=DENIED)
    harness.reporter.previous_settings_served("default", state, harness.clock.now())
    harness.reporter.exchange_ended("default", DENIED, 0.1, harness.clock.now(), before=state, after=state)
    served, failed = harness.lines()
    assert served["event"] == "previous_settings_served"
    assert (served["role_arn"], served["remaining_seconds"]) == (assume_role_result().credentials.role_arn, 3_600)
    assert failed["previous_settings"] is True
    assert harness.metric("credentials_previous_settings", profile="default") == 1
    expired = replace(state, shown=False)
    harness.reporter.exchange_ended("default", DENIED, 0.1, harness.clock.now(), before=expired, after=expired)
    assert harness.lines()[-1]["previous_settings"] is False
    state = replace(state, settings="")
    assert harness.metric("credentials_previous_settings", profile="default") == 0


def test_a_reload_logs_the_added_changed_and_removed_profiles(harness: ReporterHarness) -> None:
    previous = {name: profile(name) for name in ("as it was", "changed", "removed")}
    now = {name: profile(name) for name in ("as it was", "added")} | {"changed": replace(profile("changed"), fips=True)}
    harness.reporter.profiles_reloaded(previous, now)
    (line,) = harness.lines()
    assert [line[what] for what in ("added", "changed", "removed")] == [["added"], ["changed"], ["removed"]]


def test_a_failed_write_is_logged_once_and_counted_each_time(harness: ReporterHarness) -> None:
    for reason in ("No space left on device", "No space left on device", "", "No space left on device"):
        harness.reporter.credentials_file("default", reason)
    harness.reporter.credentials_file("removed by a reload", "No space left on device")
    lines = harness.lines()
    assert [line["event"] for line in lines] == ["credentials_file_failed"] * 3
    assert lines[0]["reason"] == "No space left on device"
    assert lines[0]["fix"]
    assert b'credentials_file_errors_total{profile="default"} 3.0' in harness.metrics.text()
    assert b"removed by" not in harness.metrics.text()


def test_rejected_requests_log_one_line_for_each_reason_in_five_minutes(harness: ReporterHarness) -> None:
    for reason in ("authorization_wrong", "authorization_wrong", "host", "authorization_wrong"):
        harness.reporter.request_rejected(403, reason, f"the fix of {reason}")
    harness.clock.advance(REPEATED_LOG_SECONDS)
    harness.reporter.request_rejected(403, "authorization_wrong", "the fix")
    lines = [(line["event"], line["level"], line["reason"], line["requests"]) for line in harness.lines()]
    assert lines == [
        ("request_rejected", "warning", "authorization_wrong", 1),
        ("request_rejected", "warning", "host", 1),
        ("request_rejected", "warning", "authorization_wrong", 3),
    ]
    assert harness.lines()[0]["fix"] == "the fix of authorization_wrong"


@pytest.mark.mutant("the token is logged")
def test_no_line_and_no_metric_shows_a_secret(harness: ReporterHarness) -> None:
    held = hold(assume_role_result())
    harness.reporter.token_seen(token())
    harness.reporter.exchange_ended(
        "default",
        assume_role_result(),
        0.1,
        harness.clock.now(),
        before=ProfileState(),
        after=ProfileState(phase=Phase.FRESH, held=held),
    )
    harness.reporter.exchange_ended(
        "default",
        DENIED,
        0.1,
        harness.clock.now(),
        before=ProfileState(),
        after=ProfileState(held=held, failure=DENIED),
    )
    held_credentials = assume_role_result().credentials
    output = harness.stream.getvalue() + harness.metrics.text().decode()
    for secret in (
        token().raw,
        held_credentials.access_key_id,
        held_credentials.secret_access_key,
        held_credentials.session_token,
    ):
        assert secret not in output
