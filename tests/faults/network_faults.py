"""Faults of the network between the worker and AWS."""

from pathlib import Path

from tests.faults.aws_faults import failed
from tests.faults.case import Case
from tests.faults.fault import Fault
from tests.faults.relay import Mode

__all__ = ("NETWORK_FAULTS",)


def _relayed(name: str, mode: Mode, outcome: str, *, proxy: bool = False) -> Fault:
    """A relay in front of STS, or the proxy, misbehaves."""

    def prepare(case: Case) -> None:
        if proxy:
            case.use_tls()
        case.use_relay(tls=proxy, proxy=proxy)

    return Fault(
        name=name,
        prepare=prepare,
        inject=lambda case: case.relay.set_mode(mode),
        heal=lambda case: case.relay.set_mode(Mode.FORWARD),
        logged=failed(outcome),
    )


def _bundle(case: Case) -> Path:
    return Path(case.environment["AWS_CA_BUNDLE"])


NETWORK_FAULTS = (
    _relayed("STS port closed", Mode.REFUSE, "unreachable"),
    _relayed("connections to STS reset", Mode.RESET, "unreachable"),
    _relayed("STS never responds", Mode.HOLD, "timeout"),
    _relayed("STS responds a byte at a time", Mode.DRIP, "timeout"),
    _relayed("responses of STS cut", Mode.CUT, "invalid_response"),
    _relayed("proxy port closed", Mode.REFUSE, "unreachable", proxy=True),
    _relayed("proxy never responds", Mode.HOLD, "timeout", proxy=True),
    _relayed("proxy requires a password", Mode.DENY, "unreachable", proxy=True),
    Fault(
        name="CA bundle of another CA",
        prepare=Case.use_tls,
        inject=lambda case: _bundle(case).write_text(case.world.issuer.ca_pem),
        heal=lambda case: _bundle(case).write_text(case.world.aws.ca_pem),
        logged=failed("unreachable"),
    ),
    Fault(
        name="CA bundle missing",
        prepare=Case.use_tls,
        inject=lambda case: _bundle(case).unlink(),
        heal=lambda case: _bundle(case).write_text(case.world.aws.ca_pem),
        logged=failed("unreachable"),
    ),
    Fault(
        name="no name resolution",
        prepare=Case.use_stub_worker,
        inject=lambda case: (case.directory / "worker-mode").write_text("no_names"),
        heal=lambda case: (case.directory / "worker-mode").write_text("real"),
        logged=failed("unreachable"),
    ),
)
