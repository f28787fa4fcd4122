"""What an operator's SIGHUP does to an exchange that is under way."""

import threading

import pytest

from tests.faults.case import Case

pytestmark = pytest.mark.timeout(120)


def test_a_sighup_during_an_exchange_that_fails_is_followed_by_another_at_once(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = case.start_with_set()
    case.deny()
    judged = threading.Event()
    issuer = case.world.issuer
    answer = issuer._answer

    def answer_and_tell(handler: object) -> None:
        judged.set()
        answer(handler)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(issuer, "_answer", answer_and_tell)
    issuer.delay_seconds = 1.0
    case.renew()
    # STS fetches the issuer's keys now, and has taken its decision on the trust policy that is in force now.
    assert judged.wait(20)
    case.world.set_up_trust()
    case.renew()
    case.told("exchange_failed", **{"class": "access_denied"})
    case.watch.until(lambda sample: sample.key not in {"", first}, "the set that SIGHUP asked for", 20.0)


def test_a_sighup_before_the_first_token_does_no_harm(case: Case) -> None:
    case.kubelet.volume.publish({})
    case.hold_token()
    case.start()
    case.told("token_unusable")
    case.renew()
    case.watch.more(3)
    case.kubelet.heal()
    case.watch.until(lambda sample: sample.status == 200, "the first set")


def test_ten_sighups_at_once_make_two_exchanges_at_most(case: Case) -> None:
    first = case.start_with_set()
    before = len(case.world.aws.issued())
    for _ in range(10):
        case.renew()
    case.watch.until(lambda sample: sample.key not in {"", first}, "a renewal")
    case.watch.more(40)
    assert len(case.world.aws.issued()) - before <= 2
