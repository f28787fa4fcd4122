"""What in an application's environment wins over the endpoint, gives something away, or lacks. Pure.

Each rule has its reason in what real SDKs do: which variable they read first, and what they do with two answers at
once. ``docs/application.md`` says the same for people.
"""

import hmac
import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sidecar.appenv import FULL_URI, NO_PROXY, TOKEN_FILE, entries
from sidecar.limits import ENDPOINT_ADDRESS

__all__ = ("AUTH_TOKEN", "HOME_FILES", "NEEDS", "RULES", "Finding", "Rule", "Surroundings", "findings")

AUTH_TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - a name
HOME_FILES: Final = {
    "~/.aws/credentials": "AWS_SHARED_CREDENTIALS_FILE",
    "~/.aws/config": "AWS_CONFIG_FILE",
}
"""Files that SDKs read before they ask the endpoint, and the variable that makes them read another one instead."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where an application runs.

    Attributes:
        environment: its variables.
        wanted: what ``appenv.variables`` says that it needs.
        auth_token: what the auth-token file holds; None where it cannot be read.
        home_files: those of ``HOME_FILES`` that are there.
        by_process: the home files, and the variables that name a file, by whose credential_process the application
            gets its credentials from the sidecar.
    """

    environment: Mapping[str, str]
    wanted: Mapping[str, str]
    auth_token: bytes | None
    home_files: frozenset[str]
    by_process: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands in the way, why that matters, what to do, and by which rule. Names only: values can be secret."""

    names: tuple[str, ...]
    why: str
    fix: str
    rule: str

    def __str__(self) -> str:
        return f"{', '.join(self.names)}: {self.why}; {self.fix}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding: how programs know it, what it looks at, which of that it sees, and what it says."""

    name: str
    names: tuple[str, ...]
    seen: Callable[[Surroundings, tuple[str, ...]], tuple[str, ...]]
    why: str
    fix: str


def findings(around: Surroundings, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield what rules see, such as ``RULES``, in their order."""
    for rule in rules:
        if names := rule.seen(around, rule.names):
            yield Finding(names, rule.why, rule.fix, rule.name)


def _set(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if around.environment.get(name))


def _all_set(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    return names if _set(around, names) == names else ()


def _first_alone(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    return names[:1] if _set(around, names) == names[:1] else ()


def _present(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in around.environment)


def _other(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    present = _present(around, names)
    return tuple(name for name in present if around.environment[name] != around.wanted[name])


def _unlike_file(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        name
        for name in _set(around, names)
        if around.auth_token is not None
        and not hmac.compare_digest(around.environment[name].encode("utf-8", "surrogateescape"), around.auth_token)
    )


def _without_file(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    return _set(around, names) if around.auth_token is None else ()


def _proxied(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    exemptions = [around.environment[name] for name in _present(around, NO_PROXY)]
    # Where both spellings are set, which one a client reads differs: each has to do.
    return () if exemptions and all(map(_covers, exemptions)) else _set(around, names)


def _covers(text: str) -> bool:
    address = ipaddress.ip_address(ENDPOINT_ADDRESS)
    for entry in entries(text):
        with suppress(ValueError):
            if entry == "*" or address in ipaddress.ip_network(entry, strict=False):
                return True
    return False


def _files(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    # The usual way of saying that there is to be no such file.
    return tuple(
        name
        for name in _set(around, names)
        if around.environment[name] != "/dev/null" and name not in around.by_process
    )


def _at_home(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    there = around.home_files - around.by_process
    return tuple(name for name in names if name in there and not around.environment.get(HOME_FILES[name]))


def _absent(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    # One that is set to nothing leads elsewhere: that is another finding.
    there = _present(around, names[:1]) or _set(around, names[1:]) or around.by_process
    return () if there else names[:1]


_WEB_IDENTITY: Final = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
_NO_WEB_IDENTITY: Final = (
    "remove both, and where a webhook adds them take eks.amazonaws.com/role-arn off the ServiceAccount "
    "or name this container in the pod's eks.amazonaws.com/skip-containers"
)

RULES: Final = (
    Rule(
        "web_identity_variables",
        _WEB_IDENTITY,
        _all_set,
        "boto3, the AWS CLI, Go, Rust, JavaScript v3, object_store and MinIO go to STS by themselves and never ask "
        "the sidecar, others do ask it: two sessions in one pod",
        _NO_WEB_IDENTITY,
    ),
    Rule(
        "web_identity_without_role",
        _WEB_IDENTITY,
        _first_alone,
        "without AWS_ROLE_ARN boto3, the AWS CLI, Go, Rust and MinIO end with an error and never ask the sidecar",
        _NO_WEB_IDENTITY,
    ),
    Rule(
        "role_without_web_identity",
        _WEB_IDENTITY[::-1],
        _first_alone,
        "half of a web identity: with AWS_WEB_IDENTITY_TOKEN_FILE beside it most SDKs never ask the sidecar",
        _NO_WEB_IDENTITY,
    ),
    Rule(
        "static_keys",
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"),
        _set,
        "keys in the environment win in every SDK, the last two names in Go and Java v1, and nobody renews them",
        "remove them, from envFrom and the image too",
    ),
    Rule(
        "profile_variable",
        ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        _present,
        "a profile is asked before the endpoint, and one that is in no file is an error in boto3, the AWS CLI and Go, "
        "in the first two even the empty name",
        "unset it; to set it to nothing does not help",
    ),
    Rule(
        "relative_uri",
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        _present,
        "it wins over the full URI in SDKs other than Go, in boto3, Rust and object_store even while it is empty: "
        "they ask 169.254.170.2",
        "unset it; to set it to nothing does not help",
    ),
    Rule(
        "other_endpoint",
        (FULL_URI,),
        _other,
        "it names another endpoint or profile than the one printed, and SDKs ask that one",
        "use the printed line, or say which is meant by --profile and --endpoint-port",
    ),
    Rule(
        "other_auth_token_file",
        (TOKEN_FILE,),
        _other,
        "it names another file than the one printed, and the endpoint answers 403 to any other token",
        "use the printed line, or say which is meant by --auth-token-file",
    ),
    Rule(
        "auth_token_differs",
        (AUTH_TOKEN,),
        _unlike_file,
        "it is not what the auth-token file holds: Java, JavaScript v2 and OpenDAL send the variable, others the file, "
        "and the endpoint answers 403 to one of them",
        "remove it, or set both from one Secret",
    ),
    Rule(
        "auth_token_variable",
        (AUTH_TOKEN,),
        _without_file,
        "the auth-token file cannot be read here, so nobody knows whether both hold the same, and SDKs differ in "
        "which one they send",
        "remove it, or mount the profile's volume in this container",
    ),
    Rule(
        "proxy_for_loopback",
        ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
        _proxied,
        "object_store, OpenDAL and the Rust SDK ask 127.0.0.1 through the proxy too: it sees the auth token, and the "
        "endpoint refuses the request",
        "set NO_PROXY and no_proxy as printed",
    ),
    Rule(
        "endpoint_url",
        ("AWS_ENDPOINT_URL",),
        _set,
        "every service is called there, STS too, by current SDKs, and whoever answers sees the session token",
        "remove it, or set AWS_ENDPOINT_URL_<SERVICE> for the one that is meant",
    ),
    Rule(
        "shared_files",
        (*HOME_FILES.values(), "AWS_CREDENTIAL_FILE", "BOTO_CONFIG"),
        _files,
        "keys and credential_process in such a file win over the endpoint, the last two names in boto3 and the AWS CLI",
        "remove it, unless the file holds neither or is how this container gets its credentials",
    ),
    Rule(
        "home_files",
        tuple(HOME_FILES),
        _at_home,
        "keys and credential_process in it win over the endpoint in most SDKs",
        "remove the file, or set its variable to /dev/null: "
        + " and ".join(f"{variable} for {file}" for file, variable in HOME_FILES.items()),
    ),
)
"""What should not be there; ``docs/application.md`` names all they look at."""

NEEDS: Final = (
    Rule(
        "uri_missing",
        (FULL_URI,),
        _absent,
        "it is not set, and without it no SDK asks the sidecar",
        "set it in this container as `aws-oidc-sidecar env` prints it, or use credential_process",
    ),
    Rule(
        "auth_token_file_missing",
        (TOKEN_FILE, AUTH_TOKEN),
        _absent,
        "it is not set: SDKs ask without the auth token and get 403, and object_store does not ask at all",
        "set it in this container as `aws-oidc-sidecar env` prints it",
    ),
)
"""What should be there, once what ``aws-oidc-sidecar env`` prints was taken over."""
