"""The doctor's report: for a person, or as JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Final, TextIO

from sidecar.doctor.verdict import Cause, Check, Exit, Finding, State, Verdict

__all__ = ("Report", "as_json", "as_text", "exit_code")

Report = Sequence[tuple[Check, Verdict]]

_STYLES: Final = {
    State.GOOD: "green",
    State.ADVICE: "yellow",
    State.BROKEN: "bold red",
    State.UNKNOWN: "yellow",
    State.SKIPPED: "dim",
}


def exit_code(report: Report) -> int:
    """Return the exit code: that of the first cause, an exact one before a suspected, and a symptom last; 0 without."""
    found = [(verdict, finding.cause) for _, verdict in report if verdict.state is State.BROKEN
             for finding in verdict.findings]  # fmt: skip
    ranked = sorted(found, key=lambda each: (each[1].symptom, not each[0].exact))
    return ranked[0][1].exit_code if ranked else Exit.GOOD


def as_json(report: Report) -> str:
    """Return the report as one JSON document; the keys are those of ``docs/doctor.md``."""
    checks = [
        {
            "name": check.name,
            "state": verdict.state,
            "evidence": verdict.evidence,
            "exact": verdict.exact,
            "causes": [_as_fields(finding) for finding in verdict.findings],
        }
        for check, verdict in report
    ]
    return json.dumps({"checks": checks, "exit_code": exit_code(report)}, indent=2) + "\n"


def _as_fields(finding: Finding) -> dict[str, str]:
    cause = finding.cause
    return {"name": cause.name} | {key: finding.text(getattr(cause, key)) for key in ("what", "mend", "decide")}


def as_text(report: Report, out: TextIO) -> None:
    """Write the report for a person, in colours where `out` is a terminal and rich is there."""
    lines = list(_lines(report))
    console = _console(out)
    for state, text in lines:
        if console is None:
            out.write(text + "\n")
        else:
            console.print(text, style=_STYLES[state] if state else None, markup=False, highlight=False, soft_wrap=True)


def _console(out: TextIO):  # type: ignore[no-untyped-def]  # noqa: ANN202 - of rich, which need not be there
    if not out.isatty():
        return None
    try:
        from rich.console import Console  # noqa: PLC0415 - only for people, and only where it is installed
    except ImportError:
        return None
    return Console(file=out)


def _lines(report: Report) -> Iterator[tuple[State | None, str]]:
    width = max(len(check.title) for check, _ in report)
    told: set[Cause] = set()
    for check, verdict in report:
        yield verdict.state, f"{verdict.state:<8}{check.title:<{width}}  {verdict.evidence}"
        if verdict.findings and not verdict.exact:
            yield None, f"{'':8}one of these, most likely first; AWS does not tell them apart:"
        for finding in verdict.findings:
            cause = finding.cause
            if cause in told and verdict.exact:
                yield None, f"{'':8}- {cause.name}, as above"
                continue
            told.add(cause)
            yield None, f"{'':8}- {cause.name}: {finding.text(cause.what)}"
            yield None, f"{'':8}  mend: {finding.text(cause.mend)}"
            if cause.decide and not verdict.exact:
                yield None, f"{'':8}  decide: {finding.text(cause.decide)}"
    bad = sum(verdict.state is State.BROKEN for _, verdict in report)
    yield None, ""
    yield None, "the chain holds" if not bad else f"{bad} of {len(report)} links {'is' if bad == 1 else 'are'} broken"
