"""The environment of the application's container: what wins over the endpoint."""

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sidecar.appenv import FULL_URI, TOKEN_FILE, variables
from sidecar.appenv_findings import AUTH_TOKEN, HOME_FILES, RULES, Surroundings, findings
from sidecar.doctor.case import Case, Place
from sidecar.doctor.verdict import Cause, Check, Finding, Verdict, broken, good, skipped
from sidecar.limits import ENDPOINT_ADDRESS

__all__ = ("CHECK",)

_AUTH_TOKEN_MAX_BYTES: Final = 4_096
_CAUSES: Final = {rule.name: Cause(rule.name, rule.why, rule.fix) for rule in RULES}


def _run(case: Case) -> Verdict:
    if case.place is not Place.APPLICATION:
        return skipped("seen only in the application's own container")
    environment = case.environment
    given = urlsplit(environment.get(FULL_URI, ""))
    # Which port and profile are meant, the variable alone says here; another host or path is never meant.
    port = given.port if given.hostname == ENDPOINT_ADDRESS and given.port else case.settings.endpoint_port
    wanted = variables(
        profile=case.profile_name,
        port=port,
        auth_token_file=str(case.auth_token_file),
        region=environment.get("AWS_REGION", ""),
        environment=environment,
    )
    home = environment.get("HOME")
    around = Surroundings(
        environment=environment,
        wanted=wanted,
        auth_token=_read(Path(wanted[TOKEN_FILE])) if environment.get(AUTH_TOKEN) else None,
        home_files=frozenset(name for name in HOME_FILES if home and os.access(Path(home, name[2:]), os.R_OK)),
    )
    found = list(findings(around))
    if not found:
        return good("nothing in it wins over the sidecar")
    names = ", ".join(name for finding in found for name in finding.names)
    return broken(f"in the way: {names}", *(Finding(_CAUSES[finding.rule]) for finding in found))


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_AUTH_TOKEN_MAX_BYTES)
    except OSError:
        return None


CHECK: Final = Check(
    "application_environment",
    "application's environment",
    "every variable and home file that SDKs read before they ask the sidecar, or that leaks its token",
    tuple(_CAUSES.values()),
    _run,
)
