"""SIGHUP during an exchange, before the first token, and many times at once."""

import threading

import pytest

from tests.faults.case import Case

pytestmark = pytest.mark.timeout(120)


def test_after_a_sighup_during_a_failing_exchange_another_exchange_starts_at_once(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = case.start_with_credentials()
    case.deny()
    requested = threading.Event()
    issuer = case.world.issuer
    respond = issuer._respond

    def respond_and_set(handler: object) -> None:
        requested.set()
        respond(handler)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(issuer, "_respond", respond_and_set)
    issuer.delay_seconds = 1.0
    case.refresh()
    # STS is fetching the issuer's keys; it has already read the trust policy that is in effect now.
    assert requested.wait(20)
    case.world.set_up_trust()
    case.refresh()
    case.wait_for_line("exchange_failed", outcome="access_denied")
    case.watch.until(
        lambda sample: sample.key not in {"", first}, "the credentials of the exchange that SIGHUP started", 20.0
    )


def test_a_sighup_before_the_first_token_has_no_effect(case: Case) -> None:
    case.kubelet.volume.publish({})
    case.hold_token()
    case.start()
    case.wait_for_line("token_unusable")
    case.refresh()
    case.watch.more(3)
    case.kubelet.heal()
    case.watch.until(lambda sample: sample.status == 200, "the first credentials")


def test_ten_sighups_at_once_start_at_most_two_exchanges(case: Case) -> None:
    first = case.start_with_credentials()
    before = len(case.world.aws.issued())
    for _ in range(10):
        case.refresh()
    case.watch.until(lambda sample: sample.key not in {"", first}, "a refresh")
    case.watch.more(40)
    assert len(case.world.aws.issued()) - before <= 2
