"""The file with the auth token, as the application's SDK sends it."""

import re
from typing import Final

from sidecar.doctor.case import Case, Place
from sidecar.doctor.verdict import Cause, Check, Finding, Verdict, broken, good, skipped

__all__ = ("CHECK",)

_MAX_BYTES: Final = 4_096
_MISSING: Final = Cause(
    "auth_token_missing",
    "the auth-token file is not there: SDKs ask without it and get 403, or do not ask at all",
    "mount the profile's volume, aws-oidc-profile-{profile}, at the directory of {auth_token_file}, read-only",
)
_UNREADABLE: Final = Cause(
    "auth_token_unreadable",
    "the auth-token file cannot be read by this user",
    "set fsGroup in the pod's securityContext, or --auth-token-mode=0644 in the sidecar",
)
_NEWLINE: Final = Cause(
    "auth_token_newline",
    "the auth-token file has white space or a line feed: JavaScript v2 and object_store crash on it, others get 403",
    'write it without: printf %s "$TOKEN"; of a Secret: kubectl create secret generic NAME --from-file=auth-token',
)
_MALFORMED: Final = Cause(
    "auth_token_malformed",
    "the auth-token file holds no auth token: what is in it cannot be sent in a header",
    "let the sidecar make it, or give 32 random bytes as base64url",
)


def _run(case: Case) -> Verdict:
    if case.place is Place.SIDECAR and not case.hops[-1].served:
        return skipped(f"profile {case.profile_name} is served to nobody")
    path = case.auth_token_file
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        if case.place is Place.ELSEWHERE:
            return skipped("there is no sidecar here")
        return broken(f"{path} is not there", Finding(_MISSING, case.facts))
    except OSError as error:
        return broken(f"{path}: {error.strerror}", Finding(_UNREADABLE, case.facts))
    if content.split() != [content]:
        at = "is empty" if not content.strip() else "has white space in it"
        return broken(f"{path} {at}", Finding(_NEWLINE if content.strip() else _MALFORMED, case.facts))
    if not re.fullmatch(rb"[\x21-\x7e]+", content):
        return broken(f"{path} has bytes outside of printable ASCII", Finding(_MALFORMED, case.facts))
    return good(f"{path}, {len(content)} characters")


CHECK: Final = Check(
    "auth_token",
    "auth token file",
    "that it is there, can be read, and has no byte that an SDK would choke on",
    (_MISSING, _UNREADABLE, _NEWLINE, _MALFORMED),
    _run,
)
