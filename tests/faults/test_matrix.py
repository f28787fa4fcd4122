"""Each fault in three phases: meanwhile the responses are right, and after the fault the daemon recovers.

The watch of the case sends requests to the endpoint and checks each response against I1, I2, I5 and I7; the end of the
case searches for secrets (I3).
"""

from collections.abc import Callable

import pytest

from examples.local.faults import FaultKind
from tests.faults.aws_faults import AWS_FAULTS, TRUST_FAULTS
from tests.faults.case import Case
from tests.faults.fault import Fault, LogLine, Recovery
from tests.faults.machine_faults import MACHINE_FAULTS
from tests.faults.network_faults import NETWORK_FAULTS
from tests.faults.token_faults import TOKEN_FAULTS
from tests.faults.watch import CLOCK

FAULTS = (*AWS_FAULTS, *TRUST_FAULTS, *TOKEN_FAULTS, *MACHINE_FAULTS, *NETWORK_FAULTS)
RECOVERY_SECONDS = 70.0
"""The maximum backoff is a minute."""
SHORT_SECONDS = 36.0
"""Credentials with this lifetime are served for 6 s."""

Row = Callable[[str, str, str, float], None]
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "_"))
pytestmark = pytest.mark.timeout(180)


@each_fault
def test_a_fault_before_the_first_credentials(case: Case, row: Row, fault: Fault) -> None:
    fault.prepare(case)
    if fault.prevents_start:
        fault.inject(case)
        served = _fail_to_start(case)
        healed_at = _heal(case, fault)
        case.start()
    else:
        if fault.running:
            # No exchange before the fault has begun.
            case.kubelet.volume.publish({})
            case.hold_token()
            case.start()
            fault.inject(case)
            case.kubelet.heal()
        else:
            fault.inject(case)
            case.start()
        began = CLOCK.now().wall
        _wait_for_effect(case, fault, fault.logged_first or fault.logged)
        if not fault.first_blocked:
            case.watch.until(lambda sample: sample.status == 200, "credentials in spite of the fault")
        served = _served(case, began)
        if fault.first_blocked and not fault.unresponsive:
            assert not case.watch.keys()
        healed_at = _heal(case, fault)
    _recover(case, (fault.first_recovery or fault.recovery) if fault.first_blocked else Recovery.REFRESH)
    row(fault.name, "1 first credentials", served, _recovery(case, set(), healed_at))


@each_fault
def test_a_fault_while_credentials_are_held(case: Case, row: Row, fault: Fault) -> None:
    fault.prepare(case)
    first = case.start_with_credentials()
    case.mark()
    fault.inject(case)
    began = CLOCK.now().wall
    if fault.new_token:
        case.wait_for_line("token_read")
    case.refresh()
    _wait_for_effect(case, fault, fault.logged)
    if not fault.refresh_blocked:
        case.watch.until(lambda sample: sample.key not in {"", first}, "a refresh in spite of the fault")
    served = _served(case, began)
    if not fault.unresponsive:
        keys = {sample.key for sample in case.watch.samples if sample.asked_at >= began}
        assert "" not in keys
        assert (keys == {first}) is fault.refresh_blocked
    before = case.watch.keys()
    healed_at = _heal(case, fault)
    _recover(case, fault.recovery if fault.refresh_blocked else Recovery.REFRESH)
    row(fault.name, "2 credentials held", served, _recovery(case, before, healed_at))


@each_fault
def test_a_fault_until_the_credentials_expire(case: Case, row: Row, fault: Fault) -> None:
    fault.prepare(case)
    case.world.aws.max_lifetime_seconds = SHORT_SECONDS
    case.start_with_credentials()
    case.mark()
    if not fault.refresh_blocked:
        # The fault does not prevent a refresh, so STS is also down.
        case.world.aws.faults.set(FaultKind.DOWN)
    fault.inject(case)
    began = CLOCK.now().wall
    if fault.new_token:
        case.wait_for_line("token_read")
    case.refresh()
    promise = case.watch.promise
    assert promise is not None
    if fault.unresponsive:
        case.watch.until(lambda sample: sample.asked_at > promise.expires_at - 30, "the withdrawal of the credentials")
    else:
        case.watch.until(lambda sample: sample.status == 503, "the withdrawal of the credentials")
    if fault.refresh_blocked:
        _wait_for_effect(case, fault, fault.logged)
    served = _served(case, began)
    before = case.watch.keys()
    case.world.aws.max_lifetime_seconds = None
    case.world.aws.faults.clear(FaultKind.DOWN)
    healed_at = _heal(case, fault)
    _recover(case, fault.recovery)
    row(fault.name, "3 credentials expire", served, _recovery(case, before, healed_at))


def _fail_to_start(case: Case) -> str:
    """Start a daemon that must not start, and return a description for the table."""
    sidecar = case.launch()
    status = sidecar.process.wait(20)
    sidecar.close()
    assert status == 2
    assert len(sidecar.raw) == 1
    return "does not start, exit status 2"


def _wait_for_effect(case: Case, fault: Fault, logged: LogLine | None) -> None:
    """Wait until the fault has taken effect, and for five more samples."""
    fault.wait_for_effect(case)
    if logged is not None:
        case.wait_for_line(logged.event, **logged.fields)
    case.watch.more(5)


def _heal(case: Case, fault: Fault) -> float:
    case.mark()
    began = CLOCK.now().mono
    fault.heal(case)
    return began


def _recover(case: Case, recovery: Recovery) -> None:
    if recovery is Recovery.REFRESH:
        case.refresh()


def _recovery(case: Case, before: set[str], healed_at: float) -> float:
    """Wait for credentials that were not served before; return the seconds since the fault ended."""
    before = before or case.watch.keys()
    case.watch.until(lambda sample: bool(sample.key) and sample.key not in before, "new credentials", RECOVERY_SECONDS)
    return CLOCK.now().mono - healed_at


def _served(case: Case, since: float) -> str:
    """Return the responses since then, as runs of equal responses."""
    runs: list[str] = []
    numbers: dict[str, int] = {}
    for sample in case.watch.samples:
        if sample.key:
            text = f"200 key {numbers.setdefault(sample.key, len(numbers) + 1)}"
        else:
            text = f"{sample.status} {sample.cause}" if sample.status else "no response"
        if sample.asked_at >= since and text not in runs[-1:]:
            runs.append(text)
    return ", ".join(runs)
