"""Checks the application's environment: settings that SDKs prefer to the endpoint, and variables that are missing."""

from typing import Final

from sidecar.application.rules import NEEDS, RULES, environment_warnings
from sidecar.application.surroundings import surroundings
from sidecar.application.variables import FULL_URI, variables
from sidecar.doctor.case import Case
from sidecar.doctor.options import Place
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, broken, good, skipped
from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH

__all__ = ("CHECK",)

_RULES: Final = (*NEEDS, *RULES)
_CAUSES: Final = {rule.name: Cause(rule.name, rule.why, rule.fix) for rule in _RULES}


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
    found = list(environment_warnings(around, _RULES))
    if not found:
        how = f", through the credential_process of {', '.join(sorted(around.by_process))}" if around.by_process else ""
        return good(f"SDKs use the sidecar, and no other setting takes precedence{how}")
    needed = {rule.name for rule in NEEDS}
    parts = {
        "missing": [name for finding in found for name in finding.names if finding.rule in needed],
        "conflicting": [name for finding in found for name in finding.names if finding.rule not in needed],
    }
    evidence = "; ".join(f"{part}: {', '.join(names)}" for part, names in parts.items() if names)
    return broken(evidence, *(Finding(_CAUSES[finding.rule]) for finding in found))


CHECK: Final = Check(
    "application_environment",
    "application's environment",
    "the two variables that point SDKs to the sidecar; each variable and each file in the home directory that SDKs "
    "prefer to it, or that leaks its auth token",
    tuple(_CAUSES.values()),
    _run,
)
