"""What can be wrong between the worker and AWS."""

from pathlib import Path

from tests.faults.case import Case
from tests.faults.kinds import Fault
from tests.faults.kinds_aws import failed
from tests.faults.relay import Mode

__all__ = ("NETWORK_FAULTS",)


def _relayed(name: str, mode: Mode, outcome: str, *, proxy: bool = False) -> Fault:
    """A middlebox misbehaves, on the way or as the proxy."""

    def prepare(case: Case) -> None:
        if proxy:
            case.use_tls()
        case.use_relay(tls=proxy, proxy=proxy)

    return Fault(
        name=name,
        prepare=prepare,
        strike=lambda case: case.relay.set_mode(mode),
        heal=lambda case: case.relay.set_mode(Mode.FORWARD),
        told=failed(outcome),
    )


def _bundle(case: Case) -> Path:
    return Path(case.environment["AWS_CA_BUNDLE"])


NETWORK_FAULTS = (
    _relayed("STS port refuses", Mode.REFUSE, "unreachable"),
    _relayed("connections to STS reset", Mode.RESET, "unreachable"),
    _relayed("STS a black hole", Mode.HOLD, "timeout"),
    _relayed("STS answers a byte at a time", Mode.DRIP, "timeout"),
    _relayed("answers of STS cut", Mode.CUT, "bad_answer"),
    _relayed("proxy refuses", Mode.REFUSE, "unreachable", proxy=True),
    _relayed("proxy a black hole", Mode.HOLD, "timeout", proxy=True),
    _relayed("proxy wants a password", Mode.DENY, "unreachable", proxy=True),
    Fault(
        name="CA bundle of somebody else",
        prepare=Case.use_tls,
        strike=lambda case: _bundle(case).write_text(case.world.issuer.ca_pem),
        heal=lambda case: _bundle(case).write_text(case.world.aws.ca_pem),
        told=failed("unreachable"),
    ),
    Fault(
        name="CA bundle missing",
        prepare=Case.use_tls,
        strike=lambda case: _bundle(case).unlink(),
        heal=lambda case: _bundle(case).write_text(case.world.aws.ca_pem),
        told=failed("unreachable"),
    ),
    Fault(
        name="no name resolution",
        prepare=Case.use_stub_worker,
        strike=lambda case: (case.directory / "worker-mode").write_text("no_names"),
        heal=lambda case: (case.directory / "worker-mode").write_text("real"),
        told=failed("unreachable"),
    ),
)
