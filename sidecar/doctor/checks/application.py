"""The environment of the application's container: what wins over the endpoint, and what lacks."""

from typing import Final

from sidecar.appenv import FULL_URI, variables
from sidecar.appenv_findings import NEEDS, RULES, findings
from sidecar.doctor.case import Case, Place
from sidecar.doctor.verdict import Cause, Check, Finding, Verdict, broken, good, skipped
from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH
from sidecar.surroundings import surroundings

__all__ = ("CHECK",)

_RULES: Final = (*NEEDS, *RULES)
_CAUSES: Final = {rule.name: Cause(rule.name, rule.why, rule.fix) for rule in _RULES}


def _run(case: Case) -> Verdict:
    if case.place is not Place.APPLICATION:
        return skipped("seen only in the application's own container")
    environment = case.environment
    # Which port and profile are meant, the variable alone says here; another host or path is never meant.
    port = case.endpoint.port or case.settings.endpoint_port
    wanted = variables(
        profile=case.profile_name,
        port=port,
        auth_token_file=str(case.auth_token_file),
        region=environment.get("AWS_REGION", ""),
        environment=environment,
    )
    if case.endpoint.bare and case.given.profile in {"", "default"}:
        # It is served too: to the application of `default`, or of the only profile there is.
        wanted[FULL_URI] = f"http://{ENDPOINT_ADDRESS}:{port}{ENDPOINT_PATH}"
    around = surroundings(environment, wanted)
    found = list(findings(around, _RULES))
    if not found:
        how = f", by the credential_process of {', '.join(sorted(around.by_process))}" if around.by_process else ""
        return good(f"it leads to the sidecar, and nothing in it wins{how}")
    lacking = {rule.name for rule in NEEDS}
    parts = {
        "lacks": [name for finding in found for name in finding.names if finding.rule in lacking],
        "in the way": [name for finding in found for name in finding.names if finding.rule not in lacking],
    }
    evidence = "; ".join(f"{part}: {', '.join(names)}" for part, names in parts.items() if names)
    return broken(evidence, *(Finding(_CAUSES[finding.rule]) for finding in found))


CHECK: Final = Check(
    "application_environment",
    "application's environment",
    "the two variables that lead to the sidecar; every variable and home file that SDKs read before they ask it, or "
    "that leaks its token",
    tuple(_CAUSES.values()),
    _run,
)
