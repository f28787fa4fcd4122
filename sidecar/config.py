"""Environment, flags and profiles file to one frozen ``Settings``, and every refusal. Reads nothing by itself.

A flag wins over ``AWS_OIDC_SIDECAR_*``, which wins over the variables that IRSA made known. ``options`` has the
rows; this file knows which of them contradict.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.errors import SettingsError
from sidecar.limits import DURATION_WARN_SECONDS
from sidecar.model import Profile
from sidecar.options import OPTIONS, PREFIX, Option
from sidecar.profiles import parse_profiles

__all__ = ("Settings", "find", "resolve")

# Kubernetes adds variables for every Service of the namespace; one named like us must not configure us.
_SERVICE_LINK_NAME = re.compile(r"_SERVICE_(HOST|PORT(_.+)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon runs by; made by ``resolve`` only.

    Attributes:
        profiles: what to ask STS for, sources before what is chained to them.
        profiles_file: where they came from; None where the variables made the one there is.
        token_file: the projected token.
        audience: the ``aud`` that the token should have.
        cluster: put in front of session names that are made from the token; may be "".
        refresh_on_rotation: exchange each rotated token, due or not.
        runtime_directory: holds ``profiles/<profile>/``.
        auth_token_file: holds the auth token, with ``{profile}`` for the profile's name; None has one made.
        auth_token_mode: of the auth-token file; None leaves it to the volume's group.
        endpoint_port: on 127.0.0.1; 0 for one that is free.
        admin_address: a literal address, or "" for all.
        admin_port: 0 for one that is free.
        log_level: debug, info, warning or error.
        warnings: what is allowed but unwise, one line each.
        shown: name, value as text, and source of every option, for people.
    """

    profiles: tuple[Profile, ...]
    profiles_file: Path | None
    token_file: Path
    audience: str
    cluster: str
    refresh_on_rotation: bool
    runtime_directory: Path
    auth_token_file: Path | None
    auth_token_mode: int | None
    endpoint_port: int
    admin_address: str
    admin_port: int
    log_level: str
    warnings: tuple[str, ...]
    shown: tuple[tuple[str, str, str], ...]


def resolve(flags: Mapping[str, str | None], environment: Mapping[str, str], read: Callable[[Path], str]) -> Settings:
    """Return the settings.

    Args:
        flags: by option name; None where not given.
        environment: the variables of the process.
        read: returns the text of the profiles file, or raises SettingsError.

    Raises:
        SettingsError: a value cannot be used, is missing, is unknown, or contradicts another.
    """
    _refuse_unknown(environment)
    values: dict[str, Any] = {}
    texts: dict[str, str] = {}
    sources: dict[str, str] = {}
    for option in OPTIONS:
        texts[option.name], sources[option.name] = text, source = find(option, flags, environment)
        try:
            values[option.name] = option.parse(text)
        except ValueError as error:
            what, _, fix = str(error).partition("; ")
            raise SettingsError(source, what, fix) from None
    _refuse_contradictions(values, sources)
    base = Profile(
        name="default",
        role_arn=values["role-arn"] or "",
        session_name=values["role-session-name"],
        duration_seconds=values["duration"],
        region=values["region"],
        endpoint_url=values["sts-endpoint"],
        fips=values["fips"],
        dual_stack=values["dual-stack"],
    )
    profiles: tuple[Profile, ...] = (base,)
    if values["profiles-file"] is not None:
        profiles = parse_profiles(read(values["profiles-file"]), str(values["profiles-file"]), base)
    for profile in profiles:
        _refuse_endpoint(profile, values, sources)
    return Settings(
        profiles=profiles,
        profiles_file=values["profiles-file"],
        token_file=values["token-file"],
        audience=values["audience"],
        cluster=values["cluster"],
        refresh_on_rotation=values["refresh-on-rotation"] == "always",
        runtime_directory=values["runtime-dir"],
        auth_token_file=values["auth-token-file"],
        auth_token_mode=values["auth-token-mode"],
        endpoint_port=values["endpoint-port"],
        admin_address=values["admin-address"],
        admin_port=values["admin-port"],
        log_level=values["log-level"],
        warnings=tuple(_warnings(profiles, sources)),
        shown=tuple((option.name, texts[option.name], sources[option.name]) for option in OPTIONS),
    )


def find(option: Option, flags: Mapping[str, str | None], environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the text of one setting and where it is from: a flag, a variable, or ``default``."""
    given = flags.get(option.name)
    if given is not None:
        return given, f"--{option.name}"
    for variable in (option.variable, *option.others):
        text = environment.get(variable, "")
        # A variable that is set but empty is how a manifest says "not set".
        if text and not _is_service_link(variable, text):
            return text, variable
    return option.default, "default"


def _is_service_link(variable: str, text: str) -> bool:
    return bool(_SERVICE_LINK_NAME.search(variable) and _SERVICE_LINK_VALUE.fullmatch(text))


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {option.variable for option in OPTIONS}
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in known and not _SERVICE_LINK_NAME.search(variable):
            import difflib  # noqa: PLC0415 - a daemon that runs has no use for it

            close = difflib.get_close_matches(variable, known, n=1)
            fix = f"did you mean {close[0]}?" if close else "remove it; `aws-oidc-sidecar run --help` lists all"
            raise SettingsError(variable, "is not a setting", fix)


def _refuse_contradictions(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    if values["profiles-file"] is None and not values["role-arn"]:
        fix = f"set AWS_ROLE_ARN or {PREFIX}ROLE_ARN to the IAM role to assume, or {PREFIX}PROFILES_FILE"
        raise SettingsError("--role-arn", "is not set", fix)
    if values["profiles-file"] is not None and values["role-arn"]:
        where = f"{sources['role-arn']} and {sources['profiles-file']}"
        raise SettingsError(where, "contradict", "write the role into the file as [default], or remove the file")
    if values["endpoint-port"] == values["admin-port"] != 0:
        where = f"{sources['endpoint-port']} and {sources['admin-port']}"
        raise SettingsError(where, "are the same port", "credentials and health need one each")
    if values["pod-ip"] and values["pod-ip"] == values["host-ip"] and not values["allow-host-network"]:
        what = "the pod uses hostNetwork: every process of the node could ask for the credentials"
        fix = "remove hostNetwork, or set --allow-host-network=true and accept that"
        raise SettingsError(sources["pod-ip"], what, fix)


def _refuse_endpoint(profile: Profile, values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    if not profile.endpoint_url:
        return
    of_profile = f"{values['profiles-file']}: [{profile.name}] endpoint_url"
    where = sources["sts-endpoint"] if profile.endpoint_url == values["sts-endpoint"] else of_profile
    if profile.endpoint_url.startswith("http://") and not values["allow-http-sts"]:
        fix = "use https, or set --allow-http-sts=true where the network is your own machine"
        raise SettingsError(where, "has no TLS, so the token would cross the network readable", fix)
    for name, wanted in (("fips", profile.fips), ("dual-stack", profile.dual_stack)):
        if wanted:
            other = sources[name] if sources[name] != "default" else f"[{profile.name}]"
            what = f"contradict: a given endpoint overrides {name}"
            raise SettingsError(f"{where} and {other}", what, "set one of the two")


def _warnings(profiles: Sequence[Profile], sources: Mapping[str, str]) -> list[str]:
    warnings = []
    for profile in profiles:
        if profile.duration_seconds < DURATION_WARN_SECONDS:
            where = sources["duration"] if len(profiles) == 1 else f"[{profile.name}]"
            warnings.append(
                f"{where}: under {DURATION_WARN_SECONDS} s some SDKs (botocore, .NET, Java v1) ask on every call"
            )
    if any(not profile.region and not profile.endpoint_url for profile in profiles):
        warnings.append("AWS_REGION is not set: the global STS endpoint is used; regional ones are nearer and sturdier")
    return warnings
