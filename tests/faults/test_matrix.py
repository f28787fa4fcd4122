"""Every fault in three phases: nothing but what is right is served meanwhile, and afterwards all is as before.

The watch of the case asks the endpoint all the time and holds each answer against I1, I2, I5 and I7; the end of the
case looks for secrets (I3).
"""

from collections.abc import Callable

import pytest

from examples.local.faults import FaultKind
from tests.faults.case import Case
from tests.faults.kinds import Fault, Told, Wake
from tests.faults.kinds_aws import AWS_FAULTS, TRUST_FAULTS
from tests.faults.kinds_machine import MACHINE_FAULTS
from tests.faults.kinds_network import NETWORK_FAULTS
from tests.faults.kinds_token import TOKEN_FAULTS
from tests.faults.watch import CLOCK

FAULTS = (*AWS_FAULTS, *TRUST_FAULTS, *TOKEN_FAULTS, *MACHINE_FAULTS, *NETWORK_FAULTS)
RECOVERY_SECONDS = 70.0
"""The longest backoff is a minute."""
SHORT_SECONDS = 36.0
"""A set of this life is served for 6 s."""

Row = Callable[[str, str, str, float], None]
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
pytestmark = pytest.mark.timeout(180)


@each_fault
def test_a_fault_before_the_first_set(case: Case, row: Row, fault: Fault) -> None:
    fault.prepare(case)
    if fault.refuses_start:
        fault.strike(case)
        served = _refused(case)
        healed_at = _heal(case, fault)
        case.start()
    else:
        if fault.running:
            # Nothing is exchanged before the fault has begun.
            case.kubelet.volume.publish({})
            case.hold_token()
            case.start()
            fault.strike(case)
            case.kubelet.heal()
        else:
            fault.strike(case)
            case.start()
        began = CLOCK.now().wall
        _feel(case, fault, fault.told_first or fault.told)
        if not fault.first_blocked:
            case.watch.until(lambda sample: sample.status == 200, "a set in spite of the fault")
        served = _served(case, began)
        if fault.first_blocked and not fault.silent:
            assert not case.watch.keys()
        healed_at = _heal(case, fault)
    _wake(case, (fault.first_wake or fault.wake) if fault.first_blocked else Wake.RENEW)
    row(fault.name, "1 first set", served, _recovery(case, set(), healed_at))


@each_fault
def test_a_fault_with_a_set_in_hand(case: Case, row: Row, fault: Fault) -> None:
    fault.prepare(case)
    first = case.start_with_set()
    case.mark()
    fault.strike(case)
    began = CLOCK.now().wall
    if fault.new_token:
        case.told("token_read")
    case.renew()
    _feel(case, fault, fault.told)
    if not fault.renewal_blocked:
        case.watch.until(lambda sample: sample.key not in {"", first}, "a renewal in spite of the fault")
    served = _served(case, began)
    if not fault.silent:
        kept = {sample.key for sample in case.watch.samples if sample.asked_at >= began}
        assert "" not in kept
        assert (kept == {first}) is fault.renewal_blocked
    before = case.watch.keys()
    healed_at = _heal(case, fault)
    _wake(case, fault.wake if fault.renewal_blocked else Wake.RENEW)
    row(fault.name, "2 set in hand", served, _recovery(case, before, healed_at))


@each_fault
def test_a_fault_while_the_set_runs_out(case: Case, row: Row, fault: Fault) -> None:
    fault.prepare(case)
    case.world.aws.grant_seconds = SHORT_SECONDS
    case.start_with_set()
    case.mark()
    if not fault.renewal_blocked:
        # The fault alone would not keep it from renewing.
        case.world.aws.faults.set(FaultKind.DOWN)
    fault.strike(case)
    began = CLOCK.now().wall
    if fault.new_token:
        case.told("token_read")
    case.renew()
    promise = case.watch.promise
    assert promise is not None
    if fault.silent:
        case.watch.until(lambda sample: sample.asked_at > promise.expires_at - 30, "the end of the set")
    else:
        case.watch.until(lambda sample: sample.status == 503, "the end of the set")
    if fault.renewal_blocked:
        _feel(case, fault, fault.told)
    served = _served(case, began)
    before = case.watch.keys()
    case.world.aws.grant_seconds = None
    case.world.aws.faults.clear(FaultKind.DOWN)
    healed_at = _heal(case, fault)
    _wake(case, fault.wake)
    row(fault.name, "3 set runs out", served, _recovery(case, before, healed_at))


def _refused(case: Case) -> str:
    """Start a daemon that must not start, and return how it told so."""
    sidecar = case.launch()
    status = sidecar.process.wait(20)
    sidecar.close()
    assert status == 2
    assert len(sidecar.raw) == 1
    return "refused to start, exit status 2"


def _feel(case: Case, fault: Fault, told: Told | None) -> None:
    """Wait until the fault has taken effect, and for some answers more."""
    fault.felt(case)
    if told is not None:
        case.told(told.event, **told.fields)
    case.watch.more(5)


def _heal(case: Case, fault: Fault) -> float:
    case.mark()
    began = CLOCK.now().mono
    fault.heal(case)
    return began


def _wake(case: Case, wake: Wake) -> None:
    if wake is Wake.RENEW:
        case.renew()


def _recovery(case: Case, before: set[str], healed_at: float) -> float:
    """Wait for a set that was not served before; return the seconds since the fault ended."""
    before = before or case.watch.keys()
    case.watch.until(lambda sample: bool(sample.key) and sample.key not in before, "a fresh set", RECOVERY_SECONDS)
    return CLOCK.now().mono - healed_at


def _served(case: Case, since: float) -> str:
    """Return what was served since then, as runs of equal answers."""
    runs: list[str] = []
    numbers: dict[str, int] = {}
    for sample in case.watch.samples:
        if sample.key:
            text = f"200 set {numbers.setdefault(sample.key, len(numbers) + 1)}"
        else:
            text = f"{sample.status} {sample.cause}" if sample.status else "no answer"
        if sample.asked_at >= since and text not in runs[-1:]:
            runs.append(text)
    return ", ".join(runs)
