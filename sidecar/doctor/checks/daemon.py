"""Checks that the daemon of this pod serves credentials for this auth token, and that STS accepts them."""

import json
from datetime import datetime
from typing import Any, Final

from sidecar.doctor.aws import CallerUnknown
from sidecar.doctor.case import Case
from sidecar.doctor.options import Place
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, broken, good, skipped, suspected, unknown
from sidecar.endpoint.guard import RejectionReason
from sidecar.errors import Outcome
from sidecar.exits import Exit
from sidecar.https.client import ClientConnection
from sidecar.https.failures import FailureKind, FetchError
from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH
from sidecar.model import Credentials

__all__ = ("CHECK",)

# The endpoint responds within one second, also while STS does not.
_TIMEOUT_SECONDS: Final = 2.0
_MAX_BYTES: Final = 65_536
_OK, _FORBIDDEN, _NOT_FOUND = 200, 403, 404
# The members of a response with credentials:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
_MEMBERS: Final = ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
# STS reports that credentials are not valid:
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
_NOT_VALID: Final = frozenset(
    {"InvalidClientTokenId", "ExpiredToken", "ExpiredTokenException", "SignatureDoesNotMatch"}
)
_UNREACHABLE: Final = Cause(
    "daemon_unreachable",
    "no process listens on the credentials port of this pod",
    "check that the sidecar is in this pod, as an init container with restartPolicy: Always, and that it does not "
    "restart",
    "kubectl get pod POD -o jsonpath='{{.status.initContainerStatuses}}'",
    Exit.UNREACHABLE,
)
_FOREIGN: Final = Cause(
    "daemon_foreign",
    "another program answers on port {port} of 127.0.0.1, and not the daemon of the sidecar",
    "find the program in the containers of this pod (`ss -ltnp`) and stop it, or give the sidecar another "
    "--endpoint-port",
    "curl -s http://127.0.0.1:{port}/",
)
_OTHER_SIDECAR: Final = Cause(
    "daemon_of_another_sidecar",
    "the daemon on port {port} is of another sidecar: this pod has two, or the host network shares loopback",
    "keep one sidecar in this pod, or give the other one another --endpoint-port and --admin-port",
    "kubectl get pod POD -o jsonpath='{{.spec.initContainers[*].image}} {{.spec.containers[*].image}}'",
)
_NOT_VALID_AT_STS: Final = Cause(
    "served_credentials_invalid",
    "STS does not accept the credentials that the daemon serves ({code}), for example because the role was deleted and "
    "created again",
    'refresh them now: `kubectl exec POD -c aws-oidc-sidecar -- /usr/bin/python3 -c "import os; os.kill(1, 1)"`',
    exit_code=Exit.REFUSED,
)
_TOKEN_REJECTED: Final = Cause(
    "auth_token_refused",
    "the daemon rejects this auth token for profile {profile}: it is of another profile, it is an old copy, or the "
    "name of the profile is wrong",
    "mount the volume of profile {profile} here, not a copy of it; compare the last part of "
    "AWS_CONTAINER_CREDENTIALS_FULL_URI with the profiles of the sidecar",
)
_NO_CREDENTIALS: Final = Cause(
    "daemon_without_credentials",
    "the daemon runs and has no valid credentials; in the sidecar the checks below show the reason, and its log does",
    "fix the broken check below; from an application's container run the doctor in the sidecar: `kubectl exec POD -c "
    "aws-oidc-sidecar -- aws-oidc-sidecar doctor`",
    symptom=True,
)


def _run(case: Case) -> CheckResult:
    if case.place is Place.ELSEWHERE:
        return skipped("no sidecar here")
    if case.place is Place.SIDECAR and not case.role_chain[-1].served:
        return skipped(f"profile {case.profile_name} is not served (serve = false)")
    port = case.endpoint.port or case.settings.endpoint_port
    # Without the variable and --profile the application's profile is not known; the endpoint then uses its default.
    guessed = case.place is Place.APPLICATION and not case.endpoint.path and not case.options.profile
    path = ENDPOINT_PATH if guessed else case.endpoint.path or f"{ENDPOINT_PATH}/{case.profile_name}"
    try:
        token = case.auth_token_file.read_text("ascii").strip()
    except (OSError, ValueError):
        token = ""
    facts = case.facts | {"port": str(port)}
    where = f"{ENDPOINT_ADDRESS}:{port}"
    try:
        status, document = _ask(port, path, token)
    except FetchError as error:
        if error.kind is FailureKind.HTTP:
            return broken(f"{where} does not speak HTTP", Finding(_FOREIGN, facts))
        return broken(f"{where} sent no response: {error.why}", Finding(_UNREACHABLE, facts))
    code = document.get("code", "")
    evidence = f"{where}{path}: HTTP {status}"
    if status == _OK and all(isinstance(document.get(name), str) for name in _MEMBERS):
        return _of_credentials(case, document, f"{evidence}, with credentials", facts)
    if not (code and isinstance(code, str) and code.isprintable() and document.get("Code") == code):
        return broken(f"{evidence}, in another form than the daemon's", Finding(_FOREIGN, facts))
    evidence = f"{evidence} ({code}{_last_exchange(document)})"
    if guessed and status in {_FORBIDDEN, _NOT_FOUND}:
        return unknown(f"{evidence}; name the profile of this application with --profile")
    if status != _FORBIDDEN:
        return broken(evidence, Finding(_NO_CREDENTIALS, facts))
    return _of_rejection(case, code, evidence, facts)


def _last_exchange(document: dict[str, Any]) -> str:
    """Return the outcome of the last exchange, which the message of a 503 has; other text is not printed."""
    outcome = str(document.get("message", "")).partition("last exchange: ")[2].partition(";")[0]
    return f"; last exchange: {outcome}" if outcome in set(Outcome) else ""


def _of_rejection(case: Case, code: str, evidence: str, facts: dict[str, str]) -> CheckResult:
    if code != RejectionReason.AUTHORIZATION_WRONG:
        return broken(evidence, Finding(_TOKEN_REJECTED, facts))
    found = (Finding(_TOKEN_REJECTED, facts), Finding(_OTHER_SIDECAR, facts))
    # The daemon of this container accepts the auth token that it created, so another one is more likely.
    return suspected(evidence, *(reversed(found) if case.place is Place.SIDECAR else found))


def _of_credentials(case: Case, document: dict[str, Any], evidence: str, facts: dict[str, str]) -> CheckResult:
    """Use the credentials for GetCallerIdentity, which needs no right: a policy that denies all does not deny it."""
    try:
        expires_at = int(datetime.fromisoformat(document["Expiration"]).timestamp())
    except ValueError:
        return broken(f"{evidence}, whose Expiration is not a time", Finding(_FOREIGN, facts))
    if expires_at <= case.now.wall:
        return broken(f"{evidence} that have expired", Finding(_FOREIGN, facts))
    keys = (document["AccessKeyId"], document["SecretAccessKey"], document["Token"])
    caller = case.aws.caller(Credentials(*keys, expires_at, role_arn="", account_id=""), case.role_chain[-1])
    if not isinstance(caller, CallerUnknown):
        return good(f"{evidence} of {caller}")
    if caller.code in _NOT_VALID:
        return broken(f"{evidence}; STS: {caller.code}", Finding(_NOT_VALID_AT_STS, facts | {"code": caller.code}))
    return good(f"{evidence}, which were not tried at STS ({caller.code or 'no answer'})")


def _ask(port: int, path: str, token: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON object of the body; an empty one for another body."""
    url = f"http://{ENDPOINT_ADDRESS}:{port}{path}"
    with ClientConnection(url, None, timeout_seconds=_TIMEOUT_SECONDS) as connection:
        response = connection.ask(headers={"Authorization": token} if token else {}, body_max=_MAX_BYTES)
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        document = None
    return response.status, document if isinstance(document, dict) else {}


CHECK: Final = Check(
    "daemon",
    "daemon",
    "one request as an SDK sends it: to 127.0.0.1, with the auth token; then GetCallerIdentity with the credentials",
    (_UNREACHABLE, _FOREIGN, _TOKEN_REJECTED, _OTHER_SIDECAR, _NO_CREDENTIALS, _NOT_VALID_AT_STS),
    _run,
)
