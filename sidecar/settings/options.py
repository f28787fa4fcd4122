"""One row for each setting: its flag, its environment variables, its default and its parser. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.errors import InvalidValueError
from sidecar.iam.names import NAME_CHARACTERS, ROLE_ARN, SESSION_NAME
from sidecar.limits import (
    ADMIN_PORT,
    DURATION_DEFAULT_SECONDS,
    DURATION_MAX_SECONDS,
    DURATION_MIN_SECONDS,
    DURATION_WARN_SECONDS,
    ENDPOINT_PORT,
    ROLE_ARN_MAX_CHARS,
)
from sidecar.model import OnChange
from sidecar.settings.regions import region

__all__ = (
    "ON_CHANGE_HELP", "OPTIONS", "VARIABLE_PREFIX", "Option", "duration", "on_change", "role_arn",
    "session_name", "switch", "url",
)  # fmt: skip

VARIABLE_PREFIX: Final = "AWS_OIDC_SIDECAR_"
RUNTIME_DIRECTORY: Final = "/var/run/aws-oidc-sidecar"
DEFAULT_TOKEN_FILE: Final = "/var/run/secrets/aws-oidc-sidecar/token"  # noqa: S105 - a path

_CLUSTER = re.compile(f"[{NAME_CHARACTERS}]{{0,32}}")


def role_arn(text: str) -> str:
    """Return the ARN of an IAM role, or an empty text; InvalidValueError for any other text."""
    if text and (len(text) > ROLE_ARN_MAX_CHARS or not ROLE_ARN.fullmatch(text)):
        raise InvalidValueError("not an IAM role ARN", "write arn:aws:iam::<12 digits>:role/<name>")
    return text


def session_name(text: str) -> str:
    """Return a role session name, or an empty text; InvalidValueError for a name that STS does not accept."""
    if text and not SESSION_NAME.fullmatch(text):
        raise InvalidValueError("not a role session name", "use 2 to 64 of A-Z a-z 0-9 _ + = , . @ - (AWS STS)")
    return text


def _cluster(text: str) -> str:
    if not _CLUSTER.fullmatch(text):
        raise InvalidValueError("not valid in a session name", "use at most 32 of A-Z a-z 0-9 _ + = , . @ -")
    return text


def duration(text: str) -> int:
    """Return a session duration in seconds; InvalidValueError for a duration that STS does not accept."""
    seconds = _integer(text)
    if not DURATION_MIN_SECONDS <= seconds <= DURATION_MAX_SECONDS:
        raise InvalidValueError(
            "not a session duration", f"STS accepts {DURATION_MIN_SECONDS} to {DURATION_MAX_SECONDS} seconds"
        )
    return seconds


def _port(text: str) -> int:
    number = _integer(text)
    if not 0 <= number <= 65_535:  # noqa: PLR2004 - the range of a port
        raise InvalidValueError("not a port", "use 1 to 65535, or 0 for a free port")
    return number


def _integer(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidValueError("not a whole number", "write digits only")
    return int(text)


def switch(text: str) -> bool:
    """Return true or false; InvalidValueError for any other text. Upper case and lower case are the same."""
    if text.lower() not in {"true", "false"}:
        raise InvalidValueError("not a boolean", "write true or false")
    return text.lower() == "true"


def _absolute(text: str) -> Path:
    if not text.startswith("/"):
        raise InvalidValueError("not an absolute path", "start it with /")
    return Path(text)


def _absolute_or_none(text: str) -> Path | None:
    return _absolute(text) if text else None


def url(text: str) -> str:
    """Return the URL of an endpoint; it may be empty.

    Raises:
        InvalidValueError: it is not an http or https URL, or has a query, a fragment, a user name or a password.
    """
    if not text:
        return ""
    fix = "write https://<host>[:<port>]"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise InvalidValueError("not an endpoint URL", fix) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise InvalidValueError("not an endpoint URL", fix)
    if parts.username or parts.password:
        raise InvalidValueError("has a user name or password", "remove it; STS does not use it")
    return text


def _address(text: str) -> str:
    if text:
        try:
            ip_address(text)
        except ValueError:
            raise InvalidValueError("not an IP address", "write an IPv4 or IPv6 address such as 0.0.0.0") from None
    return text


def _mode(text: str) -> int | None:
    if text not in {"auto", "0640", "0644"}:
        raise InvalidValueError("not a file mode for the auth token", "use auto, 0640 or 0644")
    return None if text == "auto" else int(text, 8)


def _choice(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise InvalidValueError("unknown value", f"use {' or '.join(names)}")
        return text

    return parse


ON_CHANGE_HELP: Final = (
    "what happens to current credentials when the settings change: keep serves them until new credentials arrive, "
    "withdraw-on-role-change withdraws credentials of another role at once"
)


def on_change(text: str) -> OnChange:
    """Return what happens to current credentials when the settings change; InvalidValueError for an unknown value."""
    return OnChange(_choice(*OnChange)(text))


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    Attributes:
        name: the flag without ``--``.
        parse: converts the text to the value; raises InvalidValueError.
        default: as text.
        help: one line, with the unit.
        others: environment variables of AWS that also set it; the first one that is set wins.
    """

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str
    others: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable of this program."""
        return VARIABLE_PREFIX + self.name.upper().replace("-", "_")

    def value(self, text: str, directory: Path | None = None) -> Any:  # noqa: ANN401 - as each row says
        """Return the value of a text.

        Args:
            text: of the flag or the variable.
            directory: where a relative path starts. None rejects relative paths: the current directory of the daemon
                comes from the image, and the author of a manifest does not see it.

        Raises:
            InvalidValueError: the text is not a valid value.
        """
        if directory is not None and text and self.parse in {_absolute, _absolute_or_none}:
            text = str(directory / text)
        return self.parse(text)


OPTIONS: Final = (
    Option(
        "role-arn",
        role_arn,
        "",
        "ARN of the IAM role to assume; required unless profiles-file is set",
        ("AWS_ROLE_ARN",),
    ),
    Option(
        "profiles-file",
        _absolute_or_none,
        "",
        "file with several profiles, in AWS config syntax; reloaded when it changes",
    ),
    Option(
        "token-file",
        _absolute,
        DEFAULT_TOKEN_FILE,
        "path of the projected ServiceAccount token",
        ("AWS_WEB_IDENTITY_TOKEN_FILE",),
    ),
    Option("audience", str, "sts.amazonaws.com", "expected token audience; a mismatch logs a warning"),
    Option(
        "role-session-name",
        session_name,
        "",
        "session name, shown in CloudTrail (default: <cluster>-<namespace>-<pod>)",
        ("AWS_ROLE_SESSION_NAME",),
    ),
    Option("cluster", _cluster, "", "cluster name, the first part of the default session name"),
    Option(
        "duration",
        duration,
        str(DURATION_DEFAULT_SECONDS),
        f"lifetime of the credentials in seconds, {DURATION_MIN_SECONDS} to {DURATION_MAX_SECONDS}; "
        f"under {DURATION_WARN_SECONDS} some SDKs request credentials on every call",
    ),
    Option(
        "region",
        region,
        "",
        "AWS region of the STS endpoint (default: the global endpoint)",
        ("AWS_REGION", "AWS_DEFAULT_REGION"),
    ),
    Option("sts-endpoint", url, "", "URL of another STS endpoint, such as a VPC endpoint", ("AWS_ENDPOINT_URL_STS",)),
    Option(
        "allow-http-sts",
        switch,
        "false",
        "allow an STS endpoint without TLS; the token then crosses the network unencrypted",
    ),
    Option("fips", switch, "false", "use the FIPS endpoint of STS", ("AWS_USE_FIPS_ENDPOINT",)),
    Option("dual-stack", switch, "false", "use the dual-stack endpoint of STS", ("AWS_USE_DUALSTACK_ENDPOINT",)),
    Option(
        "refresh-on-rotation",
        _choice("always", "when-due"),
        "always",
        "when a rotated token is exchanged: always at once, or when-due, with the next scheduled refresh",
    ),
    Option("on-change", on_change, OnChange.KEEP, ON_CHANGE_HELP),
    Option(
        "runtime-dir",
        _absolute,
        RUNTIME_DIRECTORY,
        "directory with a memory volume profiles/<profile>/ for auth-token and credentials.json of each profile",
    ),
    Option(
        "auth-token-file",
        _absolute_or_none,
        "",
        "file with the auth token, such as a mounted Secret; {profile} stands for the profile name "
        "(default: the daemon generates the auth token)",
    ),
    Option(
        "auth-token-mode",
        _mode,
        "auto",
        "file mode of the auth token: 0640, 0644, or auto: 0640 if the volume has an fsGroup, else 0644",
    ),
    Option("endpoint-port", _port, str(ENDPOINT_PORT), "port of the credentials endpoint on 127.0.0.1; 0: a free port"),
    Option("admin-address", _address, "", "IP address that serves health and metrics (default: all, IPv6 and IPv4)"),
    Option("admin-port", _port, str(ADMIN_PORT), "port that serves health and metrics; 0: a free port"),
    Option("pod-ip", _address, "", "status.podIP from the downward API, to detect hostNetwork"),
    Option("host-ip", _address, "", "status.hostIP from the downward API, to detect hostNetwork"),
    Option(
        "allow-host-network",
        switch,
        "false",
        "allow hostNetwork, where every process of the node can connect to the endpoint",
    ),
    Option("log-level", _choice("debug", "info", "warning", "error"), "info", "minimum log level"),
)
