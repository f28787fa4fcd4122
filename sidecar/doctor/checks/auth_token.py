"""Checks the file with the auth token, which the application's SDK sends."""

import re
from typing import Final

from sidecar.doctor.case import Case
from sidecar.doctor.options import Place
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, broken, good, skipped

__all__ = ("CHECK",)

_MAX_BYTES: Final = 4_096
_MISSING: Final = Cause(
    "auth_token_missing",
    "the auth token file does not exist: SDKs send no auth token and get 403, or send no request",
    "mount the profile's volume, aws-oidc-profile-{profile}, at the directory of {auth_token_file}, read-only",
)
_UNREADABLE: Final = Cause(
    "auth_token_unreadable",
    "this user cannot read the auth token file",
    "set fsGroup in the pod's securityContext, or --auth-token-mode=0644 in the sidecar",
)
_NEWLINE: Final = Cause(
    "auth_token_newline",
    "the auth token file contains white space or a line feed: JavaScript v2 and object_store crash, other SDKs get 403",
    'write the file without it: printf %s "$TOKEN"; for a Secret: kubectl create secret generic NAME '
    "--from-file=auth-token",
)
_MALFORMED: Final = Cause(
    "auth_token_malformed",
    "the content of the auth token file is not an auth token: it cannot be sent in an HTTP header",
    "let the sidecar create the file, or write 32 random bytes as base64url",
)


def _run(case: Case) -> CheckResult:
    if case.place is Place.SIDECAR and not case.role_chain[-1].served:
        return skipped(f"profile {case.profile_name} is not served (serve = false)")
    path = case.auth_token_file
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        if case.place is Place.ELSEWHERE:
            return skipped("no sidecar here")
        return broken(f"{path} does not exist", Finding(_MISSING, case.facts))
    except OSError as error:
        return broken(f"{path}: {error.strerror}", Finding(_UNREADABLE, case.facts))
    if content.split() != [content]:
        problem = "is empty" if not content.strip() else "contains white space"
        return broken(f"{path} {problem}", Finding(_NEWLINE if content.strip() else _MALFORMED, case.facts))
    if not re.fullmatch(rb"[\x21-\x7e]+", content):
        return broken(f"{path} contains bytes that are not printable ASCII", Finding(_MALFORMED, case.facts))
    return good(f"{path}, {len(content)} characters")


CHECK: Final = Check(
    "auth_token",
    "auth token file",
    "the file exists, can be read, and contains only bytes that every SDK can send",
    (_MISSING, _UNREADABLE, _NEWLINE, _MALFORMED),
    _run,
)
