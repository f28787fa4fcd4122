"""What a check says: its verdict, and the causes that it names. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

__all__ = (
    "Cause",
    "Check",
    "Exit",
    "Finding",
    "State",
    "Verdict",
    "advice",
    "broken",
    "good",
    "skipped",
    "suspected",
    "unknown",
)


class Exit:
    """The exit codes that a cause can have; those of all commands."""

    GOOD: Final = 0
    NOT_GOOD: Final = 1
    CONFIGURATION: Final = 2
    UNREACHABLE: Final = 3
    REFUSED: Final = 4
    ISSUER: Final = 5
    RIGHTS: Final = 6


class State(StrEnum):
    """How a link is."""

    GOOD = "ok"
    ADVICE = "advice"
    """It works; there is something to know."""
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """It cannot be judged from here, and the evidence says why."""
    SKIPPED = "skipped"
    """It is not there to be looked at, in this place or with these options."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One way in which the chain breaks. Its texts may name facts of the case in braces, such as ``{issuer}``.

    Attributes:
        name: how programs know it.
        what: what is wrong, one line.
        mend: what to do, one line; a command where one does it.
        decide: the command whose output shows whether this is it; "" where the doctor has seen it itself.
        exit_code: one of ``Exit``; GOOD for one that is only ever advice.
        symptom: whether another link has to be broken for it.
    """

    name: str
    what: str
    mend: str
    decide: str = ""
    exit_code: int = Exit.NOT_GOOD
    symptom: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause in this case.

    Attributes:
        cause: which.
        facts: what the texts of the cause name.
    """

    cause: Cause
    facts: Mapping[str, str] = field(default_factory=dict)

    def text(self, template: str) -> str:
        """Return one text of the cause with the facts in place; one that is not known stays as ``<name>``."""
        return template.format_map(_Facts(self.facts))


class _Facts(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"<{name.replace('_', '-')}>"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check found.

    Attributes:
        state: how the link is.
        evidence: what was seen, one line, nothing secret.
        findings: of a broken link, or of advice.
        exact: whether every finding is so; else one of them is, the most likely first, and nobody here can tell which.
    """

    state: State
    evidence: str
    findings: tuple[Finding, ...] = ()
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Check:
    """One link of the chain.

    Attributes:
        name: how programs know it.
        title: how people do.
        looks_at: what it looks at, for the documentation.
        causes: all that it can name, in no order.
        run: looks, and judges; what it raises makes the link unknown.
    """

    name: str
    title: str
    looks_at: str
    causes: tuple[Cause, ...]
    run: Callable[[Any], Verdict]


def good(evidence: str) -> Verdict:
    """Return the verdict on a link that holds."""
    return Verdict(State.GOOD, evidence)


def skipped(evidence: str) -> Verdict:
    """Return the verdict on a link that is not looked at."""
    return Verdict(State.SKIPPED, evidence)


def unknown(evidence: str) -> Verdict:
    """Return the verdict on a link that cannot be judged."""
    return Verdict(State.UNKNOWN, evidence)


def advice(evidence: str, *findings: Finding) -> Verdict:
    """Return the verdict on a link that holds, with something to know."""
    return Verdict(State.ADVICE, evidence, findings)


def broken(evidence: str, *findings: Finding) -> Verdict:
    """Return the verdict on a link that does not hold, for exactly these causes."""
    return Verdict(State.BROKEN, evidence, findings)


def suspected(evidence: str, *findings: Finding) -> Verdict:
    """Return the verdict on a link that does not hold, for one of these causes, the most likely first."""
    return Verdict(State.BROKEN, evidence, findings, exact=len(findings) == 1)
