"""Every setting, one row each: its flag, its variables, its default, and how its text becomes a value. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.limits import (
    ADMIN_PORT,
    DURATION_DEFAULT_SECONDS,
    DURATION_MAX_SECONDS,
    DURATION_MIN_SECONDS,
    DURATION_WARN_SECONDS,
    ENDPOINT_PORT,
    ROLE_ARN_MAX_CHARS,
)

__all__ = ("OPTIONS", "PREFIX", "Option", "duration", "region", "role_arn", "session_name", "switch", "url")

PREFIX: Final = "AWS_OIDC_SIDECAR_"
RUNTIME_DIRECTORY: Final = "/var/run/aws-oidc-sidecar"
TOKEN_FILE: Final = "/var/run/secrets/aws-oidc-sidecar/token"  # noqa: S105 - a path

_ROLE_ARN = re.compile(r"arn:aws[a-z0-9-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}")
_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")
_CLUSTER = re.compile(r"[A-Za-z0-9_+=,.@-]{0,32}")


def role_arn(text: str) -> str:
    """Return an IAM role's ARN, which may be empty, or raise ValueError("what; fix")."""
    if text and (len(text) > ROLE_ARN_MAX_CHARS or not _ROLE_ARN.fullmatch(text)):
        raise ValueError("not an IAM role ARN; write arn:aws:iam::<12 digits>:role/<name>")
    return text


def session_name(text: str) -> str:
    """Return a role session name, which may be empty, or raise ValueError("what; fix")."""
    if text and not _SESSION_NAME.fullmatch(text):
        raise ValueError("not a role session name; use 2 to 64 of A-Z a-z 0-9 _ + = , . @ - (AWS STS)")
    return text


def region(text: str) -> str:
    """Return a region, which may be empty, or raise ValueError("what; fix")."""
    if text and not _REGION.fullmatch(text):
        raise ValueError("not a region; write it as in eu-central-1")
    return text


def _cluster(text: str) -> str:
    if not _CLUSTER.fullmatch(text):
        raise ValueError("not usable in a session name; use at most 32 of A-Z a-z 0-9 _ + = , . @ -")
    return text


def duration(text: str) -> int:
    """Return a session duration in seconds, or raise ValueError("what; fix")."""
    seconds = _integer(text)
    if not DURATION_MIN_SECONDS <= seconds <= DURATION_MAX_SECONDS:
        raise ValueError(f"not a session duration; STS takes {DURATION_MIN_SECONDS} to {DURATION_MAX_SECONDS} seconds")
    return seconds


def _port(text: str) -> int:
    number = _integer(text)
    if not 0 <= number <= 65_535:  # noqa: PLR2004 - the range of a port
        raise ValueError("not a port; use 1 to 65535, or 0 for one that is free")
    return number


def _integer(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError("not a whole number; write digits only")
    return int(text)


def switch(text: str) -> bool:
    """Return true or false, or raise ValueError("what; fix")."""
    if text.lower() not in {"true", "false"}:
        raise ValueError("not a switch; write true or false")
    return text.lower() == "true"


def _absolute(text: str) -> Path:
    if not text.startswith("/"):
        raise ValueError("not an absolute path; start it with /")
    return Path(text)


def _absolute_or_none(text: str) -> Path | None:
    return _absolute(text) if text else None


def url(text: str) -> str:
    """Return an endpoint, which may be empty, or raise ValueError("what; fix")."""
    if not text:
        return ""
    fix = "write https://<host>[:<port>]"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError(f"not an endpoint; {fix}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"not an endpoint; {fix}")
    if parts.username or parts.password:
        raise ValueError("holds a user name or password; STS takes none: remove it")
    return text


def _address(text: str) -> str:
    if text:
        try:
            ip_address(text)
        except ValueError:
            raise ValueError("not an IP address; write a literal one, such as 0.0.0.0") from None
    return text


def _mode(text: str) -> int | None:
    if text not in {"auto", "0640", "0644"}:
        raise ValueError("not a mode for the auth token; use auto, 0640 or 0644")
    return None if text == "auto" else int(text, 8)


def _choice(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"not known; use {' or '.join(names)}")
        return text

    return parse


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    Attributes:
        name: the flag without ``--``.
        parse: text to value; raises ValueError with "what; fix".
        default: as text.
        help: one line, with the unit.
        others: the field's own variables that also set it, most telling first.
    """

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str
    others: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Our own variable."""
        return PREFIX + self.name.upper().replace("-", "_")


OPTIONS: Final = (
    Option("role-arn", role_arn, "", "the IAM role to assume; required without profiles-file", ("AWS_ROLE_ARN",)),
    Option("profiles-file", _absolute_or_none, "", "several roles, in AWS config syntax; reloaded when it changes"),
    Option("token-file", _absolute, TOKEN_FILE, "the projected ServiceAccount token", ("AWS_WEB_IDENTITY_TOKEN_FILE",)),
    Option("audience", str, "sts.amazonaws.com", "the aud that the token should have; another one is warned of"),
    Option(
        "role-session-name",
        session_name,
        "",
        "how CloudTrail names the session; empty: <cluster>-<namespace>-<pod>, from the token",
        ("AWS_ROLE_SESSION_NAME",),
    ),
    Option("cluster", _cluster, "", "put in front of session names that are made from the token"),
    Option(
        "duration",
        duration,
        str(DURATION_DEFAULT_SECONDS),
        f"the life to ask STS for, in seconds, {DURATION_MIN_SECONDS} to {DURATION_MAX_SECONDS}; "
        f"under {DURATION_WARN_SECONDS} some SDKs ask on every call",
    ),
    Option("region", region, "", "the region of STS; empty: its global endpoint", ("AWS_REGION", "AWS_DEFAULT_REGION")),
    Option("sts-endpoint", url, "", "another STS endpoint, such as a VPC endpoint", ("AWS_ENDPOINT_URL_STS",)),
    Option("allow-http-sts", switch, "false", "accept an STS endpoint without TLS: tokens cross the network readable"),
    Option("fips", switch, "false", "use the FIPS endpoint of STS", ("AWS_USE_FIPS_ENDPOINT",)),
    Option("dual-stack", switch, "false", "use the dual-stack endpoint of STS", ("AWS_USE_DUALSTACK_ENDPOINT",)),
    Option(
        "refresh-on-rotation",
        _choice("always", "when-due"),
        "always",
        "exchange each rotated token (always), or only when credentials are due (when-due)",
    ),
    Option(
        "runtime-dir",
        _absolute,
        RUNTIME_DIRECTORY,
        "holds profiles/<profile>/, for auth-token and credentials.json; memory volumes",
    ),
    Option(
        "auth-token-file",
        _absolute_or_none,
        "",
        "take the auth token from this file, a mounted Secret, instead of making one; {profile} is replaced",
    ),
    Option("auth-token-mode", _mode, "auto", "0640, 0644 or auto: 0640 where the volume has an fsGroup, else 0644"),
    Option("endpoint-port", _port, str(ENDPOINT_PORT), "port of the credentials endpoint on 127.0.0.1"),
    Option("admin-address", _address, "", "address of health and metrics; empty: all, IPv6 and IPv4"),
    Option("admin-port", _port, str(ADMIN_PORT), "port of health and metrics"),
    Option("pod-ip", _address, "", "status.podIP by the downward API, to notice hostNetwork"),
    Option("host-ip", _address, "", "status.hostIP by the downward API, to notice hostNetwork"),
    Option(
        "allow-host-network", switch, "false", "run in a pod with hostNetwork, where the whole node shares loopback"
    ),
    Option("log-level", _choice("debug", "info", "warning", "error"), "info", "the least level that is logged"),
)
