"""The profiles file: AWS config-file syntax to profiles. Pure.

People know the syntax (AWS CLI User Guide, "Configuration and credential file settings"), and ``source_profile``
is role chaining. What has no meaning here is refused, not ignored: a setting that does nothing looks as if it did.
"""

import configparser
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sidecar import options
from sidecar.errors import SettingsError
from sidecar.limits import CHAINED_DURATION_MAX_SECONDS, POLICY_ARNS_MAX, POLICY_MAX_CHARS
from sidecar.model import Profile

__all__ = ("KEYS", "PROFILES_MAX_BYTES", "Key", "parse_profiles")

PROFILES_MAX_BYTES: Final = 1_048_576
"""A ConfigMap holds at most 1 MiB (Kubernetes, "ConfigMaps")."""

PROFILES_MAX: Final = 256

# The name is part of a path, of a directory, and of the volume aws-oidc-profile-<name>, a label of at most 63.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?")
# What the parser's own patterns take is the square of a run of blanks, on the event loop that answers applications.
_BLANKS = re.compile(r"\S\s{17}")
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/\\-]{2,1224}")
_POLICY_ARN = re.compile(r"arn:aws[a-z0-9-]*:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]{1,512}")


def _external_id(text: str) -> str:
    if not _EXTERNAL_ID.fullmatch(text):
        raise ValueError("not an external id; use 2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / \\ - (AWS STS)")
    return text


def _policy(text: str) -> str:
    if len(text) > POLICY_MAX_CHARS:
        raise ValueError(f"too long for a session policy; STS takes {POLICY_MAX_CHARS} characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        # As short as it can be: STS counts characters.
        return json.dumps(value, separators=(",", ":"))
    raise ValueError("not a JSON object; write the session policy on one line or indent its lines")


def _policy_arns(text: str) -> tuple[str, ...]:
    arns = tuple(text.replace(",", " ").split())
    if len(arns) > POLICY_ARNS_MAX:
        raise ValueError(f"too many policies; STS takes {POLICY_ARNS_MAX}")
    for arn in arns:
        if not _POLICY_ARN.fullmatch(arn):
            raise ValueError("not a list of IAM policy ARNs; separate them by commas or white space")
    return arns


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("not usable as a profile's name; use 1 to 46 of a-z 0-9 -, not at the ends -")
    return text


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a profile: the field it sets, how its text becomes a value, and what it is for."""

    field: str
    parse: Callable[[str], Any]
    help: str


KEYS: Final[Mapping[str, Key]] = {
    "role_arn": Key("role_arn", options.role_arn, "the IAM role to assume; required"),
    "source_profile": Key("source", _name, "assume the role with that profile's set, by a signed AssumeRole"),
    "role_session_name": Key("session_name", options.session_name, "how CloudTrail names the session"),
    "duration_seconds": Key("duration_seconds", options.duration, "the life to ask for; at most 3600 when chained"),
    "region": Key("region", options.region, "the region of STS"),
    "endpoint_url": Key("endpoint_url", options.url, "another STS endpoint"),
    "use_fips_endpoint": Key("fips", options.switch, "use the FIPS endpoint of STS"),
    "use_dualstack_endpoint": Key("dual_stack", options.switch, "use the dual-stack endpoint of STS"),
    "external_id": Key("external_id", _external_id, "sts:ExternalId; chained profiles only"),
    "policy": Key("policy", _policy, "a session policy, JSON, that narrows the role"),
    "policy_arns": Key("policy_arns", _policy_arns, "managed policies that narrow the role, at most 10"),
    "session_tags": Key("session_tags", options.switch, "tag the session by namespace and pod; chained profiles only"),
    "serve": Key("served", options.switch, "false for a profile that is only the source of others"),
}
"""Every key that a profile may have."""


def parse_profiles(text: str, where: str, base: Profile) -> tuple[Profile, ...]:
    """Return the profiles of a file, sources before what is chained to them.

    Args:
        text: the whole file.
        where: its path, for messages.
        base: gives what a profile does not say.

    Raises:
        SettingsError: the syntax, a key, a value or a chain is wrong; the place is the line or ``[profile]``.
    """
    found: dict[str, Profile] = {}
    for section, values in _sections(text, where).items():
        name = _profile_name(section, where)
        if name in found:
            raise SettingsError(f"{where}: [{section}]", "is there twice", "keep one")
        found[name] = _profile(name, values, f"{where}: [{section}]", base)
    if len(found) > PROFILES_MAX:
        raise SettingsError(where, f"has over {PROFILES_MAX} profiles", "a pod has no use for so many")
    if not found:
        raise SettingsError(where, "has no profile", "write [profile <name>] and a role_arn")
    if not any(profile.served for profile in found.values()):
        raise SettingsError(where, "serves no profile", "remove serve = false from the one that the application uses")
    return _in_order(found, where)


def _sections(text: str, where: str) -> dict[str, dict[str, str]]:
    for number, row in enumerate(text.split("\n"), start=1):
        if _BLANKS.search(row):
            raise SettingsError(f"{where}:{number}", "has over 16 blanks in a row", "write fewer")
    parser = configparser.RawConfigParser(
        delimiters=("=",), comment_prefixes=("#", ";"), inline_comment_prefixes=None, default_section="",
        empty_lines_in_values=False,
    )  # fmt: skip
    try:
        parser.read_string(text)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next((number for number, _ in getattr(error, "errors", ())), 0)
        # The library's own text quotes the line; a line may be a secret that landed in the wrong file.
        raise SettingsError(
            f"{where}:{line}", "is not AWS config syntax", "write [profile <name>] and key = value"
        ) from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _profile_name(section: str, where: str) -> str:
    words = section.split()
    if words != ["default"] and (len(words) != 2 or words[0] != "profile"):  # noqa: PLR2004 - the word and the name
        fix = f"write [profile {section}]" if _NAME.fullmatch(section) else "write [profile <name>]"
        raise SettingsError(f"{where}: section", "is not a profile", fix)
    try:
        return _name(words[-1])
    except ValueError as error:
        what, _, fix = str(error).partition("; ")
        raise SettingsError(f"{where}: section", what, fix) from None


def _profile(name: str, values: Mapping[str, str], where: str, base: Profile) -> Profile:
    fields: dict[str, Any] = {}
    for key, text in values.items():
        if key not in KEYS:
            import difflib  # noqa: PLC0415 - a daemon that runs has no use for it

            close = difflib.get_close_matches(key, KEYS, n=1)
            fix = f"did you mean {close[0]}?" if close else "remove it; docs/configuration.md lists the keys"
            raise SettingsError(where, "has a key that means nothing here", fix)
        try:
            fields[KEYS[key].field] = KEYS[key].parse(text)
        except ValueError as error:
            what, _, fix = str(error).partition("; ")
            raise SettingsError(f"{where} {key}", what, fix) from None
    if not fields.get("role_arn"):
        raise SettingsError(where, "has no role_arn", "set it, or remove the profile")
    profile = replace(base, name=name, **fields)
    if profile.source:
        if "duration_seconds" not in fields:
            profile = replace(profile, duration_seconds=min(base.duration_seconds, CHAINED_DURATION_MAX_SECONDS))
        if profile.duration_seconds > CHAINED_DURATION_MAX_SECONDS:
            what = f"is over {CHAINED_DURATION_MAX_SECONDS}: AWS gives a chained role one hour at most"
            raise SettingsError(f"{where} duration_seconds", what, "lower it, or remove source_profile")
        return profile
    for key, given in (("external_id", profile.external_id), ("session_tags", profile.session_tags)):
        if given:
            what = "needs source_profile: AssumeRoleWithWebIdentity has no such parameter"
            raise SettingsError(f"{where} {key}", what, "remove it, or chain the role")
    return profile


def _in_order(found: Mapping[str, Profile], where: str) -> tuple[Profile, ...]:
    ordered: dict[str, Profile] = {}

    def place(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise SettingsError(f"{where}: [{name}]", f"is a loop: {' -> '.join((*path, name))}", "break it")
        if name in ordered:
            return
        profile = found[name]
        if profile.source:
            if profile.source not in found:
                what = "is a source_profile that is not in this file"
                raise SettingsError(f"{where}: [{name}]", f"{profile.source} {what}", "add it, or name another")
            place(profile.source, (*path, name))
        ordered[name] = profile

    for name in found:
        place(name, ())
    return tuple(ordered.values())
