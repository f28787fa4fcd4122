import io
import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.credentials.states import Phase, State
from sidecar.credentials.timing import hold
from sidecar.errors import Failure, Outcome, Retry, TokenError, TokenProblem
from sidecar.journal import Journal
from sidecar.log import make_logger
from sidecar.metrics import Metrics
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, profile, token

DENIED = Failure(Outcome.ACCESS_DENIED, Retry.PROPAGATION, "mend the trust policy", "AccessDenied", 403)


class Desk:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stream = io.StringIO()
        self.metrics = Metrics("1", [profile("default")], self.clock)
        logger = make_logger("debug", self.clock, self.stream)
        self.journal = Journal(logger, self.metrics, self.clock, "sts.amazonaws.com")

    def lines(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        assert not any("dropped" in line for line in lines), "a field that is not on the list of allowed ones"
        return lines

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"aws_oidc_sidecar_{name}", labels)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_token_is_told_by_its_claims(desk: Desk) -> None:
    desk.journal.token_seen(token())
    (line,) = desk.lines()
    assert line["event"] == "token_read"
    assert line["subject"] == "system:serviceaccount:default:aws-parameter-reader"
    assert line["remaining_seconds"] == 3_600
    assert desk.metric("token_expiration_timestamp_seconds") == 1_800_003_600


def test_the_first_token_is_no_rotation(desk: Desk) -> None:
    desk.journal.token_seen(token())
    assert desk.metric("token_rotations_total") == 0
    desk.journal.token_seen(token("a.b.c"))
    assert desk.metric("token_rotations_total") == 1


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"audience": ("vault",)}, "aud is not sts.amazonaws.com"),
        ({"subject": "repo:acme"}, "not a ServiceAccount"),
        ({"issued_at": 1_800_003_000.0}, "lives 600 s"),
    ],
)
def test_an_unwise_token_is_warned_of_once(desk: Desk, changes: dict[str, Any], part: str) -> None:
    for _ in range(2):
        desk.journal.token_seen(replace(token(), **changes))
    warnings = [line for line in desk.lines() if line["level"] == "warning"]
    assert len(warnings) == 1
    assert part in warnings[0]["warning"]
    assert warnings[0]["next_step"]


def test_token_trouble_is_counted_by_its_reason(desk: Desk) -> None:
    desk.journal.token_trouble(TokenError(TokenProblem.EMPTY))
    assert desk.lines()[0]["reason"] == "empty"
    assert desk.metric("token_read_errors_total", reason="empty") == 1


def test_polling_alone_is_told_and_shown(desk: Desk) -> None:
    desk.journal.watch_mode("")
    assert desk.lines() == []
    assert desk.metric("token_watch_events") == 1
    desk.journal.watch_mode("EMFILE")
    assert desk.lines()[0]["reason"] == "EMFILE"
    assert desk.metric("token_watch_events") == 0


def test_a_renewal_is_told_with_its_expiry_and_counted(desk: Desk) -> None:
    state = State(phase=Phase.FRESH, held=hold(grant()))
    desk.journal.exchange_ended("default", grant(), 0.25, desk.clock.now(), before=State(), after=state)
    (line,) = desk.lines()
    assert (line["event"], line["expires_at"]) == ("credentials_renewed", 1_800_003_600)
    assert desk.metric("sts_requests_total", profile="default", outcome="success") == 1
    assert desk.metric("sts_request_duration_seconds_sum", profile="default") == 0.25
    assert desk.metric("credentials_last_refresh_success_timestamp_seconds", profile="default") == 1_800_000_000


def test_a_failure_says_its_class_the_next_step_and_when_it_is_tried_again(desk: Desk) -> None:
    state = State(phase=Phase.RETRYING, failure=DENIED, attempt_mono=1_004.0)
    desk.journal.exchange_ended("default", DENIED, 0.1, desk.clock.now(), before=State(), after=state)
    (line,) = desk.lines()
    assert line["event"] == "exchange_failed"
    assert (line["class"], line["aws_code"], line["http_status"]) == ("access_denied", "AccessDenied", 403)
    assert (line["next_step"], line["next_attempt_seconds"]) == ("mend the trust policy", 4.0)
    assert desk.metric("sts_requests_total", profile="default", outcome="access_denied") == 1


def test_a_grant_that_was_not_taken_counts_as_the_failure_that_it_became(desk: Desk) -> None:
    useless = Failure(Outcome.BAD_ANSWER, Retry.TRANSIENT, "hint", "ShorterThanHeld")
    state = State(phase=Phase.KEEPING, held=hold(grant()), failure=useless, attempt_mono=1_001.0)
    desk.journal.exchange_ended("default", grant(2, life=60), 0.1, desk.clock.now(), before=State(), after=state)
    assert desk.lines()[0]["aws_code"] == "ShorterThanHeld"
    assert desk.metric("sts_requests_total", profile="default", outcome="success") == 0
    assert desk.metric("sts_requests_total", profile="default", outcome="bad_answer") == 1


@pytest.mark.parametrize(("waited", "late"), [(2_000.0, 0.0), (2_500.0, 100.0)])
def test_a_renewal_is_late_by_what_passed_since_it_was_due(desk: Desk, waited: float, late: float) -> None:
    before = State(phase=Phase.RENEWING, held=hold(grant()), renew_remaining=1_200)
    desk.clock.advance(waited)
    new = grant(2, wall=desk.clock.wall, mono=desk.clock.mono)
    after = State(phase=Phase.FRESH, held=hold(new))
    desk.journal.exchange_ended("default", new, 0.1, desk.clock.now(), before=before, after=after)
    assert desk.metric("refresh_lateness_seconds_sum", profile="default") == late
    assert desk.metric("refresh_lateness_seconds_count", profile="default") == 1


def test_a_withdrawal_is_an_error_with_the_next_step(desk: Desk) -> None:
    desk.journal.withdrawn("default", State(failure=DENIED))
    desk.journal.withdrawn("default", State())
    one, two = desk.lines()
    assert (one["level"], one["class"], one["next_step"]) == ("error", "access_denied", "mend the trust policy")
    assert two["next_step"]


def test_a_file_that_cannot_be_written_is_told_once_and_counted_each_time(desk: Desk) -> None:
    for reason in ("No space left on device", "No space left on device", "", "No space left on device"):
        desk.journal.credentials_file("default", reason)
    desk.journal.credentials_file("gone by a reload", "No space left on device")
    lines = desk.lines()
    assert [line["event"] for line in lines] == ["credentials_file_failed"] * 2
    assert lines[0]["reason"] == "No space left on device"
    assert lines[0]["next_step"]
    assert b'credentials_file_errors_total{profile="default"} 3.0' in desk.metrics.text()
    assert b"gone by" not in desk.metrics.text()


def test_no_line_and_no_metric_shows_a_secret(desk: Desk) -> None:
    held = hold(grant())
    desk.journal.token_seen(token())
    desk.journal.exchange_ended(
        "default", grant(), 0.1, desk.clock.now(), before=State(), after=State(phase=Phase.FRESH, held=held)
    )
    desk.journal.exchange_ended(
        "default", DENIED, 0.1, desk.clock.now(), before=State(), after=State(held=held, failure=DENIED)
    )
    set_of = grant().credentials
    told = desk.stream.getvalue() + desk.metrics.text().decode()
    for secret in (token().raw, set_of.access_key_id, set_of.secret_access_key, set_of.session_token):
        assert secret not in told
