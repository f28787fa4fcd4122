"""Every method of the journal, fed with values that hold secrets."""

import inspect
import io
from collections.abc import Callable

from sidecar.credentials.states import Phase, State
from sidecar.credentials.timing import hold
from sidecar.errors import Failure, Outcome, Retry, SettingsError, StartError, TokenError, TokenProblem
from sidecar.journal import Journal
from sidecar.log import make_logger
from sidecar.metrics import Metrics
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, profile, token

CLOCK = FakeClock()
NOW = CLOCK.now()
FAILURE = Failure(Outcome.ACCESS_DENIED, Retry.PERMANENT, "hint", "AccessDenied", 403)
HOLDING = State(phase=Phase.FRESH, ticket=token(), held=hold(grant()))
FAILED = State(phase=Phase.KEEPING, ticket=token(), held=hold(grant()), failure=FAILURE)

CALLS: dict[str, list[Callable[[Journal], None]]] = {
    "token_seen": [
        lambda journal: journal.token_seen(token()),
        lambda journal: journal.token_seen(token("a.b.c", expires_at=1_800_000_060.0)),
    ],
    "token_trouble": [lambda journal: journal.token_trouble(TokenError(TokenProblem.MALFORMED))],
    "watch_mode": [lambda journal: journal.watch_mode(""), lambda journal: journal.watch_mode("EMFILE")],
    "exchange_started": [lambda journal: journal.exchange_started(["default"])],
    "exchange_ended": [
        lambda journal: journal.exchange_ended("default", grant(), 0.1, NOW, before=State(), after=HOLDING),
        lambda journal: journal.exchange_ended("default", grant(), 0.1, NOW, before=HOLDING, after=HOLDING),
        lambda journal: journal.exchange_ended("default", grant(), 0.1, NOW, before=HOLDING, after=FAILED),
        lambda journal: journal.exchange_ended("default", FAILURE, 0.1, NOW, before=HOLDING, after=FAILED),
    ],
    "withdrawn": [
        lambda journal: journal.withdrawn("default", FAILED),
        lambda journal: journal.withdrawn("default", HOLDING),
    ],
    "profiles_reloaded": [lambda journal: journal.profiles_reloaded(["default"])],
    "profiles_refused": [
        lambda journal: journal.profiles_refused(SettingsError("where", "what", "fix")),
        lambda journal: journal.profiles_refused(StartError("what", "fix")),
    ],
    "state_not_kept": [lambda journal: journal.state_not_kept("No space left on device")],
    "credentials_file": [
        lambda journal: journal.credentials_file("default", "No space left on device"),
        lambda journal: journal.credentials_file("default", ""),
    ],
    "loaded": [lambda journal: journal.loaded("default", grant(), NOW)],
}


def test_no_event_whatever_it_tells_of_shows_a_secret() -> None:
    stream = io.StringIO()
    metrics = Metrics("1", [profile("default")], CLOCK)
    metrics.read_states(lambda _: FAILED)
    journal = Journal(make_logger("debug", CLOCK, stream), metrics, CLOCK, "sts.amazonaws.com")
    for calls in CALLS.values():
        for call in calls:
            call(journal)
    told = stream.getvalue() + metrics.text().decode()
    held = grant().credentials
    for secret in (token().raw, "a.b.c", held.access_key_id, held.secret_access_key, held.session_token):
        assert secret not in told
    assert stream.getvalue().count("\n") > len(CALLS)


def test_a_method_of_the_journal_that_is_new_is_looked_at_here_too() -> None:
    public = {name for name, _ in inspect.getmembers(Journal, inspect.isfunction) if not name.startswith("_")}
    assert public == set(CALLS)
