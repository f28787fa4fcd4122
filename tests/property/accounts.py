"""The accounts of a simulated year: when something was wrong, and when there were no credentials."""

from dataclasses import dataclass, field

from sidecar.limits import STOP_SERVING_SECONDS

__all__ = ("WANTED_SECONDS", "Span", "Summary", "excused", "merged", "total")

# botocore, .NET and Java v1 ask on every call below this.
WANTED_SECONDS = 900.0


@dataclass
class Span:
    """A time without credentials, or one in which something is wrong, until all of it is mended.

    ``sudden``: a set can be lost at its very beginning, by a clock or with the pod, not by AWS.
    """

    begin: float
    end: float
    sudden: bool = False


@dataclass
class Summary:
    """What came of a year."""

    renewals: int = 0
    failures: int = 0
    restarts: int = 0
    looks: int = 0
    steps: int = 0
    dark: list[Span] = field(default_factory=list)
    trouble: list[Span] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.renewals} renewals, {self.failures} failures, {self.restarts} restarts, {self.looks} looks at the "
            f"clocks; {len(merged(self.trouble))} troubles, {len(self.dark)} times without credentials, "
            f"{total(self.dark) / 60:.0f} minutes in all, of {total(excused(self)) / 60:.0f} that must be put up with"
        )


def total(spans: list[Span]) -> float:
    """Return how many seconds they last together."""
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
    """Return when there may be no set: from where the one that was held ran out, or something took it away."""
    spans = []
    for group in merged(summary.trouble):
        starts = [group[0].begin + WANTED_SECONDS - STOP_SERVING_SECONDS, *(one.begin for one in group if one.sudden)]
        spans.append(Span(min(starts), max(one.end for one in group)))
    return [span for span in spans if span.begin < span.end]
