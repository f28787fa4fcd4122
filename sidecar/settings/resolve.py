"""Makes one frozen ``Settings`` from environment, flags and profiles file, or rejects them. Does no I/O by itself.

A flag wins over ``AWS_OIDC_SIDECAR_*``, which wins over the AWS variables, such as those of IRSA. ``options`` has the
settings; this file checks which of them contradict each other.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.errors import InvalidValueError, SettingsError
from sidecar.limits import DURATION_WARN_SECONDS
from sidecar.model import Profile
from sidecar.settings.options import OPTIONS, VARIABLE_PREFIX, Option
from sidecar.settings.profiles import parse_profiles
from sidecar.settings.regions import check_region

__all__ = ("Settings", "find", "resolve")

# Kubernetes adds variables for every Service of the namespace; one named like us must not configure us.
_SERVICE_LINK_NAME = re.compile(r"_SERVICE_(HOST|PORT(_.+)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")
_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the daemon; ``resolve`` makes them.

    Attributes:
        profiles: one for each role; a source comes before the profiles that are chained to it.
        profiles_file: the file that the profiles come from; None if variables and flags give the one profile.
        token_file: path of the projected token.
        audience: the expected ``aud`` of the token.
        cluster: the first part of generated session names; may be "".
        refresh_on_rotation: whether each rotated token is exchanged at once.
        runtime_directory: contains ``profiles/<profile>/``.
        auth_token_file: the file with the auth token, ``{profile}`` stands for the profile's name; None: the daemon
            generates the auth token.
        auth_token_mode: file mode of the auth token; None: it depends on the group of the volume.
        endpoint_port: on 127.0.0.1; 0: a free port.
        admin_address: an IP address, or "" for all.
        admin_port: 0: a free port.
        log_level: debug, info, warning or error.
        warnings: settings that are allowed but not recommended, one line each.
        shown: name, value as text, and source of each option, for people.
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


def resolve(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    read: Callable[[Path], str],
    directory: Path | None = None,
) -> Settings:
    """Return the settings.

    Args:
        flags: by option name; None if the flag was not given.
        environment: of the process.
        read: returns the text of the profiles file, or raises SettingsError.
        directory: where relative paths start; None rejects them, see ``Option.value``.

    Raises:
        SettingsError: a value is invalid, missing or unknown, or contradicts another value.
    """
    _reject_unknown(environment)
    values: dict[str, Any] = {}
    texts: dict[str, str] = {}
    sources: dict[str, str] = {}
    for option in OPTIONS:
        texts[option.name], sources[option.name] = text, source = find(option, flags, environment)
        try:
            values[option.name] = option.value(text, directory)
        except InvalidValueError as error:
            raise SettingsError(source, error.what, error.fix) from None
    _reject_contradictions(values, sources)
    base = Profile(
        name="default",
        role_arn=values["role-arn"] or "",
        session_name=values["role-session-name"],
        duration_seconds=values["duration"],
        region=values["region"],
        endpoint_url=values["sts-endpoint"],
        fips=values["fips"],
        dual_stack=values["dual-stack"],
        on_change=values["on-change"],
    )
    profiles: tuple[Profile, ...] = (base,)
    if values["profiles-file"] is not None:
        profiles = parse_profiles(
            read(values["profiles-file"]), str(values["profiles-file"]), base, str(values["token-file"])
        )
    for profile in profiles:
        _reject_endpoint(profile, values, sources)
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
    """Return the text of one setting and its source: a flag, a variable, or ``default``."""
    given = flags.get(option.name)
    if given is not None:
        return given, f"--{option.name}"
    for variable in (option.variable, *option.others):
        text = environment.get(variable, "")
        # A manifest sets a variable to the empty text to say "not set".
        if text and not _is_service_link(variable, text):
            return text, variable
    return option.default, "default"


def _is_service_link(variable: str, text: str) -> bool:
    return bool(_SERVICE_LINK_NAME.search(variable) and _SERVICE_LINK_VALUE.fullmatch(text))


def _reject_unknown(environment: Mapping[str, str]) -> None:
    known = {option.variable for option in OPTIONS}
    for variable in sorted(environment):
        if variable.startswith(VARIABLE_PREFIX) and variable not in known and not _SERVICE_LINK_NAME.search(variable):
            import difflib  # noqa: PLC0415 - a running daemon does not need it

            close = difflib.get_close_matches(variable, known, n=1)
            fix = f"did you mean {close[0]}?" if close else "remove it; `aws-oidc-sidecar run --help` lists settings"
            raise SettingsError(variable, "unknown setting", fix)


def _reject_contradictions(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    if values["profiles-file"] is None and not values["role-arn"]:
        names = f"AWS_ROLE_ARN or {VARIABLE_PREFIX}ROLE_ARN"
        fix = f"set {names} to the IAM role to assume, or {VARIABLE_PREFIX}PROFILES_FILE"
        raise SettingsError("--role-arn", "is not set", fix)
    if values["profiles-file"] is not None and values["role-arn"]:
        where = f"{sources['role-arn']} and {sources['profiles-file']}"
        fix = "write the role into the profiles file as [default], or unset the profiles file"
        raise SettingsError(where, "both are set", fix)
    if values["endpoint-port"] == values["admin-port"] != 0:
        where = f"{sources['endpoint-port']} and {sources['admin-port']}"
        raise SettingsError(where, "are the same port", "use two ports: one for credentials, one for health")
    if values["pod-ip"] and values["pod-ip"] == values["host-ip"] and not values["allow-host-network"]:
        what = "the pod uses hostNetwork: every process of the node can connect to the credentials endpoint"
        fix = "remove hostNetwork, or set --allow-host-network=true to accept that"
        raise SettingsError(sources["pod-ip"], what, fix)


def _reject_endpoint(profile: Profile, values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    file = f"{values['profiles-file']}: [{profile.name}]" if values["profiles-file"] else ""

    def place(option: str, key: str, value: object) -> str:
        inherited = value == values[option] and sources[option] != "default"
        return sources[option] if inherited or not file else f"{file} {key}"

    check_region(
        profile,
        of_role=place("role-arn", "role_arn", profile.role_arn),
        of_region=place("region", "region", profile.region),
        of_fips=place("fips", "use_fips_endpoint", profile.fips),
        of_dual_stack=place("dual-stack", "use_dualstack_endpoint", profile.dual_stack),
    )
    if not profile.endpoint_url:
        return
    where = place("sts-endpoint", "endpoint_url", profile.endpoint_url)
    if profile.endpoint_url.startswith("http://") and not values["allow-http-sts"]:
        fix = "use https, or set --allow-http-sts=true if the endpoint is on your own machine"
        raise SettingsError(where, "has no TLS: the token would cross the network unencrypted", fix)
    for name, wanted in (("fips", profile.fips), ("dual-stack", profile.dual_stack)):
        if wanted:
            other = sources[name] if sources[name] != "default" else f"[{profile.name}]"
            what = f"contradict each other: an endpoint URL overrides {name}"
            raise SettingsError(f"{where} and {other}", what, "set only one of the two")


def _warnings(profiles: Sequence[Profile], sources: Mapping[str, str]) -> list[str]:
    warnings = []
    for profile in profiles:
        if profile.duration_seconds < DURATION_WARN_SECONDS:
            where = sources["duration"] if len(profiles) == 1 else f"[{profile.name}]"
            warnings.append(
                f"{where}: under {DURATION_WARN_SECONDS} s some SDKs (botocore, .NET, Java v1) request credentials"
                " on every call"
            )
    if any(not profile.region and not profile.endpoint_url for profile in profiles):
        warnings.append(
            "AWS_REGION is not set: the global STS endpoint is used; a regional endpoint is closer and more reliable"
        )
    return warnings
