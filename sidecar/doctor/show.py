"""The doctor's report: for a person, or as JSON."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Final, Never, TextIO

from sidecar.doctor.result import Cause, Check, CheckResult, CheckStatus, Finding
from sidecar.exits import Exit
from sidecar.iam.statements import Comparison

__all__ = ("Report", "as_json", "as_text", "exit_code")

# The report is only written, and runs no check again, so the type of their argument does not matter.
Report = Sequence[tuple[Check[Never], CheckResult]]

_SHOWN: Final = 10
"""The values that a line shows of each side of a comparison; JSON has all of them."""
_STYLES: Final = {
    CheckStatus.GOOD: "green",
    CheckStatus.ADVICE: "yellow",
    CheckStatus.BROKEN: "bold red",
    CheckStatus.UNKNOWN: "yellow",
    CheckStatus.SKIPPED: "dim",
}


def exit_code(report: Report, proofs: Collection[str] | None = None) -> int:
    """Return the exit code of the first cause: exact causes before suspected ones, symptoms last.

    Without a cause it is 0, or ``NOT_PROVEN`` if a check is unknown and no check of `proofs` is good.

    Args:
        report: the checks and their results.
        proofs: names of the checks that need all the others, such as the exchange: if one is good, a check that is
            unknown hides no fault. None if a check that is unknown is not important.
    """
    found = [(result, finding.cause) for _, result in report if result.status is CheckStatus.BROKEN
             for finding in result.findings]  # fmt: skip
    ranked = sorted(found, key=lambda each: (each[1].symptom, not each[0].exact))
    if ranked:
        return ranked[0][1].exit_code
    return Exit.NOT_PROVEN if proofs is not None and _not_proven(report, proofs) else Exit.GOOD


def _not_proven(report: Report, proofs: Collection[str]) -> list[str]:
    """Return the titles of the checks that are unknown; none if a check proves the whole chain."""
    good = {CheckStatus.GOOD, CheckStatus.ADVICE}
    proven = any(check.name in proofs and result.status in good for check, result in report)
    unknown = (check for check, result in report if result.status is CheckStatus.UNKNOWN)
    return [check.title for check in unknown if check.apart or not proven]


def as_json(report: Report, proofs: Collection[str] | None = None) -> str:
    """Return the report as one JSON document; ``docs/doctor.md`` describes the keys, ``exit_code`` the arguments."""
    checks = [
        {
            "name": check.name,
            "status": result.status,
            "evidence": result.evidence,
            "exact": result.exact,
            "causes": [_as_fields(finding) for finding in result.findings],
        }
        for check, result in report
    ]
    return json.dumps({"checks": checks, "exit_code": exit_code(report, proofs)}, indent=2) + "\n"


def _as_fields(finding: Finding) -> dict[str, object]:
    cause = finding.cause
    what, fix = finding.text(cause.what), finding.text(cause.fix)
    compared = [comparison._asdict() for comparison in finding.compared]
    return {"name": cause.name, "what": what, "compared": compared, "fix": fix, "to_confirm": finding.command()}


def _as_line(comparison: Comparison) -> str:
    operator = f"{comparison.operator} " if comparison.operator else ""
    wanted, found = _listed(comparison.wanted), _listed(comparison.found)
    return f"{comparison.where}: {operator}{comparison.key}: wanted {wanted}, found {found}"


def _listed(values: Sequence[str]) -> str:
    # A policy can contain any character: what a terminal would obey is escaped, and an end in white space is visible.
    shown = [json.dumps(value) for value in values[:_SHOWN]]
    more = [f"{len(values) - _SHOWN} more"] if len(values) > _SHOWN else []
    return " or ".join(shown + more) or "nothing"


def as_text(report: Report, out: TextIO, proofs: Collection[str] | None = None) -> None:
    """Write the report for a person, in colours if `out` is a terminal and rich is installed; see ``exit_code``."""
    lines = list(_lines(report, proofs))
    console = _console(out)
    for state, text in lines:
        if console is None:
            out.write(text + "\n")
        else:
            console.print(text, style=_STYLES[state] if state else None, markup=False, highlight=False, soft_wrap=True)


def _console(out: TextIO):  # type: ignore[no-untyped-def]  # noqa: ANN202 - of rich, which is optional
    if not out.isatty():
        return None
    try:
        from rich.console import Console  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return Console(file=out)


def _lines(report: Report, proofs: Collection[str] | None) -> Iterator[tuple[CheckStatus | None, str]]:
    width = max(len(check.title) for check, _ in report)
    printed: set[Cause] = set()
    for check, result in report:
        yield result.status, f"{result.status:<8}{check.title:<{width}}  {result.evidence}"
        if result.findings and not result.exact:
            yield None, f"{'':8}possible causes, the most likely first; what was observed is the same for all:"
        for finding in result.findings:
            cause = finding.cause
            if cause in printed and result.exact:
                yield None, f"{'':8}- {cause.name}: see above"
                continue
            printed.add(cause)
            yield None, f"{'':8}- {cause.name}: {finding.text(cause.what)}"
            for comparison in finding.compared:
                yield None, f"{'':8}  compared: {_as_line(comparison)}"
            yield None, f"{'':8}  fix: {finding.text(cause.fix)}"
            if cause.to_confirm and not result.exact:
                yield None, f"{'':8}  to confirm: {finding.command()}"
    bad = sum(result.status is CheckStatus.BROKEN for _, result in report)
    yield None, ""
    unknown = [] if bad or proofs is None else _not_proven(report, proofs)
    if unknown:
        yield None, f"not proven: no fault found, but these could not be checked: {', '.join(unknown)}"
    else:
        yield None, f"{bad} of {len(report)} checks found a fault" if bad else "no fault found"
