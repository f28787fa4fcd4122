"""The result of a check: its status, and the causes that it names. Pure."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from sidecar.exits import Exit
from sidecar.iam.statements import Comparison

__all__ = (
    "Cause",
    "Check",
    "CheckResult",
    "CheckStatus",
    "Finding",
    "advice",
    "broken",
    "good",
    "skipped",
    "suspected",
    "unknown",
)

_Seen_contra = TypeVar("_Seen_contra", contravariant=True)


class CheckStatus(StrEnum):
    """The status of a check."""

    GOOD = "ok"
    ADVICE = "advice"
    """It works; the finding is a recommendation."""
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """It cannot be decided from here; the evidence says why."""
    SKIPPED = "skipped"
    """It was not checked, because of the place or the options; the evidence says which."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A named reason for a failure. Its texts can contain facts of the case in braces, such as ``{issuer}``.

    Attributes:
        name: the name for programs.
        what: what is wrong, one line.
        fix: what to do, one line; a command if one command is enough.
        to_confirm: the command whose output shows whether this is the cause; "" if the doctor has checked it itself.
        exit_code: one of ``Exit``; GOOD for a cause that is always advice.
        symptom: whether it always follows from the cause of another check.
    """

    name: str
    what: str
    fix: str
    to_confirm: str = ""
    exit_code: int = Exit.NOT_GOOD
    symptom: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause with the facts of this case.

    Attributes:
        cause: the cause.
        facts: the values for the braces in the texts of the cause.
        compared: what was compared in IAM; () if the evidence of the check has all of it.
    """

    cause: Cause
    facts: Mapping[str, str] = field(default_factory=dict)
    compared: tuple[Comparison, ...] = ()

    def text(self, template: str) -> str:
        """Return one text of the cause with the facts filled in; an unknown fact becomes ``<name>``."""
        return template.format_map(_Facts(self.facts))

    def command(self) -> str:
        """Return the command that confirms the cause, each fact quoted as one word of a POSIX shell; "" for none."""
        # The path of a role can contain quotes and dollar signs, and people paste this command into a shell.
        words = {name: shlex.quote(value) if value else "" for name, value in self.facts.items()}
        return self.cause.to_confirm.format_map(_Facts(words))


class _Facts(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"<{name.replace('_', '-')}>"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    Attributes:
        status: the status of the check.
        evidence: what the check observed, one line, without secrets.
        findings: the causes, if the status is BROKEN or ADVICE; else empty.
        exact: whether every finding is true, by what was compared; else the findings are possible causes, the most
            likely first, and the doctor cannot tell which is true.
    """

    status: CheckStatus
    evidence: str
    findings: tuple[Finding, ...] = ()
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Check(Generic[_Seen_contra]):
    """One check. The parameter of the type is the argument of `run`, such as a ``Case``.

    Attributes:
        name: the name for programs.
        title: the name for people.
        description: what it checks, for the documentation.
        causes: all causes that it can name, in no order.
        run: does the check; if it raises, the status is UNKNOWN.
        apart: whether credentials that work prove nothing about it: if it is UNKNOWN, that is always important.
    """

    name: str
    title: str
    description: str
    causes: tuple[Cause, ...]
    run: Callable[[_Seen_contra], CheckResult]
    apart: bool = False


def good(evidence: str) -> CheckResult:
    """Return the result of a check that found no fault."""
    return CheckResult(CheckStatus.GOOD, evidence)


def skipped(evidence: str) -> CheckResult:
    """Return the result of a check that was not done."""
    return CheckResult(CheckStatus.SKIPPED, evidence)


def unknown(evidence: str) -> CheckResult:
    """Return the result of a check that could not decide."""
    return CheckResult(CheckStatus.UNKNOWN, evidence)


def advice(evidence: str, *findings: Finding) -> CheckResult:
    """Return the result of a check that found no fault, with recommendations."""
    return CheckResult(CheckStatus.ADVICE, evidence, findings)


def broken(evidence: str, *findings: Finding) -> CheckResult:
    """Return the result of a check that found a fault, with exactly these causes."""
    return CheckResult(CheckStatus.BROKEN, evidence, findings)


def suspected(evidence: str, *findings: Finding) -> CheckResult:
    """Return the result of a check that found a fault with possible causes, the most likely first.

    One possible cause is not exact: that no other is known proves nothing.
    """
    return CheckResult(CheckStatus.BROKEN, evidence, findings, exact=False)
