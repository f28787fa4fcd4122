"""The daemon beside us: does it answer, with credentials, to this auth token?"""

import http.client
import json
from typing import Final

from sidecar.doctor.case import Case, Place
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, broken, good, skipped, unknown
from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH

__all__ = ("CHECK",)

# An answer comes within one second, whatever STS does.
_TIMEOUT_SECONDS: Final = 2.0
_MAX_BYTES: Final = 65_536
_OK, _FORBIDDEN, _NOT_FOUND = 200, 403, 404
_UNREACHABLE: Final = Cause(
    "daemon_unreachable",
    "nobody listens on the credentials port of this pod",
    "is the sidecar in this pod, as an init container with restartPolicy: Always, and not restarting?",
    "kubectl get pod POD -o jsonpath='{{.status.initContainerStatuses}}'",
    Exit.UNREACHABLE,
)
_TOKEN_REFUSED: Final = Cause(
    "auth_token_refused",
    "the daemon refuses this auth token for profile {profile}: it is another profile's, an old copy, or the profile's "
    "name is wrong",
    "mount the volume of profile {profile} here, and no copy of it; compare the last part of "
    "AWS_CONTAINER_CREDENTIALS_FULL_URI with the sidecar's profiles",
)
_NO_SET: Final = Cause(
    "daemon_without_credentials",
    "the daemon runs and holds no valid credentials; why is in the links below, and in its log",
    "mend the broken link below; `kubectl logs POD -c aws-oidc-sidecar` has the daemon's own words",
    symptom=True,
)


def _run(case: Case) -> Verdict:
    if case.place is Place.ELSEWHERE:
        return skipped("there is no sidecar here")
    if case.place is Place.SIDECAR and not case.hops[-1].served:
        return skipped(f"profile {case.profile_name} is served to nobody")
    port = case.endpoint.port or case.settings.endpoint_port
    # Without the variable and --profile, that of the application is not known here: the endpoint knows the usual one.
    guessed = case.place is Place.APPLICATION and not case.endpoint.path and not case.given.profile
    path = ENDPOINT_PATH if guessed else case.endpoint.path or f"{ENDPOINT_PATH}/{case.profile_name}"
    try:
        token = case.auth_token_file.read_text("ascii").strip()
    except (OSError, ValueError):
        token = ""
    try:
        status, code = _ask(port, path, token)
    except (OSError, http.client.HTTPException, ValueError) as error:
        where = f"{ENDPOINT_ADDRESS}:{port}"
        return broken(f"{where} does not answer ({type(error).__name__})", Finding(_UNREACHABLE, case.facts))
    evidence = f"{ENDPOINT_ADDRESS}:{port}{path} answers {status}{f' ({code})' if code else ''}"
    if status == _OK:
        return good(f"{evidence} with credentials")
    if guessed and status in {_FORBIDDEN, _NOT_FOUND}:
        return unknown(f"{evidence}; --profile says which profile is this application's")
    return broken(evidence, Finding(_TOKEN_REFUSED if status == _FORBIDDEN else _NO_SET, case.facts))


def _ask(port: int, path: str, token: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(ENDPOINT_ADDRESS, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": token} if token else {})
        response = connection.getresponse()
        content = response.read(_MAX_BYTES)
    finally:
        connection.close()
    # Of a 200 nothing is looked at: it holds the credentials.
    said = {} if response.status == _OK else json.loads(content)
    code = said.get("code", "") if isinstance(said, dict) else ""
    return response.status, code if isinstance(code, str) and code.isprintable() else ""


CHECK: Final = Check(
    "daemon",
    "daemon",
    "one request as an SDK makes it: to 127.0.0.1, with the auth token",
    (_UNREACHABLE, _TOKEN_REFUSED, _NO_SET),
    _run,
)
