"""The record of a simulated year: the times of faults, and the times without credentials."""

from dataclasses import dataclass, field

from sidecar.limits import STOP_SERVING_SECONDS

__all__ = ("WANTED_SECONDS", "Span", "Summary", "excused", "merged", "total")

# Below this, botocore, .NET and Java v1 request credentials on every call.
WANTED_SECONDS = 900.0


@dataclass
class Span:
    """A time without credentials, or the time of a fault until its effects have ended.

    ``sudden``: credentials can be lost at the beginning of the fault, by a clock or with the pod, not by AWS.
    """

    begin: float
    end: float
    sudden: bool = False


@dataclass
class Summary:
    """The result of a year."""

    refreshes: int = 0
    failures: int = 0
    restarts: int = 0
    checks: int = 0
    steps: int = 0
    gaps: list[Span] = field(default_factory=list)
    faults: list[Span] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.refreshes} refreshes, {self.failures} failures, {self.restarts} restarts, {self.checks} checks of "
            f"the clocks; {len(merged(self.faults))} faults, {len(self.gaps)} times without credentials, "
            f"{total(self.gaps) / 60:.0f} minutes in all, of {total(excused(self)) / 60:.0f} that the faults explain"
        )


def total(spans: list[Span]) -> float:
    """Return the sum of their seconds."""
    return sum(span.end - span.begin for span in spans)


def merged(spans: list[Span]) -> list[list[Span]]:
    """Return the spans in groups that touch."""
    groups: list[list[Span]] = []
    end = -1.0
    for span in sorted(spans, key=lambda span: span.begin):
        if span.begin > end:
            groups.append([])
        groups[-1].append(span)
        end = max(end, span.end)
    return groups


def excused(summary: Summary) -> list[Span]:
    """Return when there may be no credentials: from their expiration in a fault, or from a sudden fault."""
    spans = []
    for group in merged(summary.faults):
        starts = [group[0].begin + WANTED_SECONDS - STOP_SERVING_SECONDS, *(one.begin for one in group if one.sudden)]
        spans.append(Span(min(starts), max(one.end for one in group)))
    return [span for span in spans if span.begin < span.end]
