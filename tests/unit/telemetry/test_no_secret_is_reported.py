"""All methods of the reporter, called with values that contain secrets."""

import inspect
import io
from collections.abc import Callable

import pytest

from sidecar.credentials.interfaces import Withdrawal
from sidecar.credentials.states import Phase, ProfileState
from sidecar.credentials.timing import hold
from sidecar.errors import Failure, Outcome, Retry, SettingsError, StartError, TokenError, TokenProblem
from sidecar.telemetry.log import make_logger
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.reporter import EventReporter
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, profile, token

CLOCK = FakeClock()
NOW = CLOCK.now()
FAILURE = Failure(Outcome.ACCESS_DENIED, Retry.PERMANENT, "hint", "AccessDenied", 403)
HOLDING = ProfileState(phase=Phase.FRESH, exchange_input=token(), held=hold(assume_role_result()))
FAILED = ProfileState(phase=Phase.STALE, exchange_input=token(), held=hold(assume_role_result()), failure=FAILURE)

CALLS: dict[str, list[Callable[[EventReporter], None]]] = {
    "token_seen": [
        lambda reporter: reporter.token_seen(token()),
        lambda reporter: reporter.token_seen(token("a.b.c", expires_at=1_800_000_060.0)),
    ],
    "token_unusable": [lambda reporter: reporter.token_unusable(TokenError(TokenProblem.MALFORMED))],
    "watch_mode": [lambda reporter: reporter.watch_mode(""), lambda reporter: reporter.watch_mode("EMFILE")],
    "port_taken": [lambda reporter: reporter.port_taken(9841, from_secret=True)],
    "auth_tokens_replaced": [lambda reporter: reporter.auth_tokens_replaced(["default"])],
    "exchange_started": [lambda reporter: reporter.exchange_started(["default"])],
    "exchange_ended": [
        lambda reporter: reporter.exchange_ended(
            "default", assume_role_result(), 0.1, NOW, before=ProfileState(), after=HOLDING
        ),
        lambda reporter: reporter.exchange_ended(
            "default", assume_role_result(), 0.1, NOW, before=HOLDING, after=HOLDING
        ),
        lambda reporter: reporter.exchange_ended(
            "default", assume_role_result(), 0.1, NOW, before=HOLDING, after=FAILED
        ),
        lambda reporter: reporter.exchange_ended("default", FAILURE, 0.1, NOW, before=HOLDING, after=FAILED),
    ],
    "withdrawn": [
        lambda reporter: reporter.withdrawn("default", FAILED, Withdrawal.EXPIRED),
        lambda reporter: reporter.withdrawn("default", HOLDING, Withdrawal.REMOVED),
    ],
    "previous_settings_served": [lambda reporter: reporter.previous_settings_served("default", HOLDING, NOW)],
    "profiles_reloaded": [lambda reporter: reporter.profiles_reloaded({}, {"default": profile()})],
    "profiles_rejected": [
        lambda reporter: reporter.profiles_rejected(SettingsError("where", "what", "fix")),
        lambda reporter: reporter.profiles_rejected(StartError("what", "fix")),
    ],
    "state_persist_failed": [lambda reporter: reporter.state_persist_failed("No space left on device")],
    "credentials_file": [
        lambda reporter: reporter.credentials_file("default", "No space left on device"),
        lambda reporter: reporter.credentials_file("default", ""),
    ],
    "request_rejected": [
        lambda reporter: reporter.request_rejected(403, "authorization_wrong", "mount the volume of the profile"),
    ],
    "loaded": [lambda reporter: reporter.loaded("default", assume_role_result(), NOW)],
}


@pytest.mark.rule("SDK 25")
@pytest.mark.mutant("the session token of loaded credentials is logged")
def test_no_event_shows_a_secret() -> None:
    stream = io.StringIO()
    metrics = Metrics("1", [profile("default")], CLOCK)
    metrics.read_states(lambda _: FAILED)
    reporter = EventReporter(make_logger("debug", CLOCK, stream), metrics, CLOCK, "sts.amazonaws.com")
    for calls in CALLS.values():
        for call in calls:
            call(reporter)
    output = stream.getvalue() + metrics.text().decode()
    held = assume_role_result().credentials
    for secret in (token().raw, "a.b.c", held.access_key_id, held.secret_access_key, held.session_token):
        assert secret not in output
    assert stream.getvalue().count("\n") > len(CALLS)


def test_every_method_of_the_reporter_is_tested_here() -> None:
    public = {name for name, _ in inspect.getmembers(EventReporter, inspect.isfunction) if not name.startswith("_")}
    assert public == set(CALLS)
