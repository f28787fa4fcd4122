"""Checks the application's environment: settings that SDKs prefer to the endpoint, and variables that are missing."""

from typing import Final

from sidecar.application.rule import environment_warnings
from sidecar.application.rules import NEEDS, RULES
from sidecar.application.surroundings import surroundings
from sidecar.application.variables import FULL_URI, variables
from sidecar.doctor.case import Case
from sidecar.doctor.options import Place
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, advice, broken, good, skipped
from sidecar.exits import Exit
from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH

__all__ = ("CHECK",)

_RULES: Final = (*NEEDS, *RULES)
_CAUSES: Final = {
    rule.name: Cause(rule.name, rule.why, rule.fix, exit_code=Exit.GOOD if rule.for_some else Exit.NOT_GOOD)
    for rule in _RULES
}


def _run(case: Case) -> CheckResult:
    if case.place is not Place.APPLICATION:
        return skipped("only checked in the application's container")
    environment = case.environment
    # Here only the variable tells the port and the profile. Another host or path is always a fault.
    port = case.endpoint.port or case.settings.endpoint_port
    wanted = variables(
        profile=case.profile_name,
        port=port,
        auth_token_file=str(case.auth_token_file),
        region=environment.get("AWS_REGION", ""),
        environment=environment,
    )
    if case.endpoint.bare and case.options.profile in {"", "default"}:
        # This path is served too: for `default`, or for the only profile.
        wanted[FULL_URI] = f"http://{ENDPOINT_ADDRESS}:{port}{ENDPOINT_PATH}"
    if case.endpoint.port and f"http://{ENDPOINT_ADDRESS}:{port}{case.endpoint.path}" == wanted[FULL_URI]:
        wanted[FULL_URI] = environment[FULL_URI]  # another spelling of the same URI
    around = surroundings(environment, wanted)
    # Of a broken check, the first cause has the exit code.
    found = sorted(environment_warnings(around, _RULES), key=lambda each: each.rule.for_some)
    if not found:
        how = f", through the credential_process of {', '.join(sorted(around.by_process))}" if around.by_process else ""
        return good(f"SDKs use the sidecar, and no other setting takes precedence{how}")
    parts = {
        "missing": [name for each in found for name in each.names if each.rule in NEEDS],
        "conflicting": [name for each in found for name in each.names if each.rule not in NEEDS],
    }
    evidence = "; ".join(f"{part}: {', '.join(names)}" for part, names in parts.items() if names)
    findings = [Finding(_CAUSES[each.rule.name]) for each in found]
    if found[0].rule.for_some:
        return advice(f"{evidence} (affects some SDKs)", *findings)
    return broken(evidence, *findings)


CHECK: Final = Check(
    "application_environment",
    "application's environment",
    "the two variables that point SDKs to the sidecar, and the region; each variable and each file in the home "
    "directory that SDKs prefer to it, or that leaks its auth token. What affects a few SDKs only is advice",
    tuple(_CAUSES.values()),
    _run,
)
