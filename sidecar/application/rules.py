"""Rules for an application's environment: variables and files that override the endpoint, leak, or are missing. Pure.

Each rule follows from the behaviour of real SDKs: which variable they read first, and which of two sources they use.
``docs/application.md`` has the same rules for people.
"""

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.application.no_proxy import NO_PROXY, exempt_for_all, exempt_for_some
from sidecar.application.variables import AUTH_TOKEN_FILE_VARIABLE, FULL_URI

__all__ = (
    "AUTH_TOKEN",
    "HOME_FILES",
    "NEEDS",
    "RULES",
    "EnvironmentWarning",
    "Rule",
    "Surroundings",
    "environment_warnings",
)

AUTH_TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - a name
HOME_FILES: Final = {
    "~/.aws/credentials": "AWS_SHARED_CREDENTIALS_FILE",
    "~/.aws/config": "AWS_CONFIG_FILE",
}
"""Files that SDKs read before they use the endpoint, and the variable that sets another path for each."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment and the files of an application.

    Attributes:
        environment: its variables.
        wanted: the variables that it needs, from ``variables``.
        auth_token: content of the auth-token file; None if it cannot be read.
        home_files: those of ``HOME_FILES`` that exist.
        by_process: the home files, and the variables of files, with a credential_process that gets the application's
            credentials from the sidecar.
        harmless: the home files, and the variables of files, whose `[default]` gives no credentials.
    """

    environment: Mapping[str, str]
    wanted: Mapping[str, str]
    auth_token: bytes | None
    home_files: frozenset[str]
    by_process: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EnvironmentWarning:
    """The names of the variables or files, the reason, the fix, and the rule. No values: they can be secret."""

    names: tuple[str, ...]
    why: str
    fix: str
    rule: str

    def __str__(self) -> str:
        return f"{', '.join(self.names)}: {self.why}; {self.fix}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its name, the variables or files that it checks, the check, and reason and fix of its warning."""

    name: str
    names: tuple[str, ...]
    seen: Callable[[Surroundings, tuple[str, ...]], tuple[str, ...]]
    why: str
    fix: str


def environment_warnings(around: Surroundings, rules: Sequence[Rule]) -> Iterator[EnvironmentWarning]:
    """Yield the warnings of rules, such as ``RULES``, in their order."""
    for rule in rules:
        if names := rule.seen(around, rule.names):
            yield EnvironmentWarning(names, rule.why, rule.fix, rule.name)


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
    return () if _lists_do(around, exempt_for_some) else _set(around, names)


def _proxied_for_some(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    for_some_alone = _lists_do(around, exempt_for_some) and not _lists_do(around, exempt_for_all)
    return _set(around, names) if for_some_alone else ()


def _lists_do(around: Surroundings, exempt: Callable[[str], bool]) -> bool:
    lists = [around.environment[name] for name in _present(around, NO_PROXY)]
    # If both spellings are set, clients read different ones: both must exempt it.
    return bool(lists) and all(map(exempt, lists))


def _files(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    # /dev/null is the usual value for "no such file".
    return tuple(
        name
        for name in _set(around, names)
        if around.environment[name] != "/dev/null" and name not in around.by_process | around.harmless
    )


def _at_home(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    there = around.home_files - around.by_process - around.harmless
    return tuple(name for name in names if name in there and not around.environment.get(HOME_FILES[name]))


def _absent(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    # A variable with an empty value is reported by another rule.
    there = _present(around, names[:1]) or _set(around, names[1:]) or around.by_process
    return () if there else names[:1]


_PROXIES: Final = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_WEB_IDENTITY: Final = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
_NO_WEB_IDENTITY: Final = (
    "remove both; if a webhook adds them, remove eks.amazonaws.com/role-arn from the ServiceAccount "
    "or add this container to the pod's eks.amazonaws.com/skip-containers"
)

RULES: Final = (
    Rule(
        "web_identity_variables",
        _WEB_IDENTITY,
        _all_set,
        "boto3, the AWS CLI, Go, Rust, JavaScript v3, object_store and MinIO exchange the token themselves and do not "
        "use the sidecar, others use the sidecar: two sessions in one pod",
        _NO_WEB_IDENTITY,
    ),
    Rule(
        "web_identity_without_role",
        _WEB_IDENTITY,
        _first_alone,
        "without AWS_ROLE_ARN boto3, the AWS CLI, Go, Rust and MinIO fail and do not use the sidecar",
        _NO_WEB_IDENTITY,
    ),
    Rule(
        "role_without_web_identity",
        _WEB_IDENTITY[::-1],
        _first_alone,
        "if AWS_WEB_IDENTITY_TOKEN_FILE is set too, most SDKs do not use the sidecar",
        _NO_WEB_IDENTITY,
    ),
    Rule(
        "static_keys",
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"),
        _set,
        "all SDKs use access keys of the environment first (the last two names: Go and Java v1), and these keys are "
        "not refreshed",
        "remove them, also from envFrom and the image",
    ),
    Rule(
        "profile_variable",
        ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        _present,
        "SDKs use a profile before the endpoint, and a profile that is in no file is an error in boto3, the AWS CLI "
        "and Go, in the first two also the empty name",
        "unset it; an empty value does not help",
    ),
    Rule(
        "relative_uri",
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        _present,
        "SDKs other than Go use it instead of the full URI, boto3, Rust and object_store also if it is empty: "
        "they connect to 169.254.170.2",
        "unset it; an empty value does not help",
    ),
    Rule(
        "other_endpoint",
        (FULL_URI,),
        _other,
        "its endpoint or profile differs from the printed one, and SDKs use this value",
        "use the printed line, or set --profile and --endpoint-port",
    ),
    Rule(
        "other_auth_token_file",
        (AUTH_TOKEN_FILE_VARIABLE,),
        _other,
        "its file differs from the printed one, and the endpoint answers 403 to another auth token",
        "use the printed line, or set --auth-token-file",
    ),
    Rule(
        "auth_token_differs",
        (AUTH_TOKEN,),
        _unlike_file,
        "it differs from the auth-token file: Java, JavaScript v2 and OpenDAL send the variable, others the file, "
        "and the endpoint answers 403 to one of them",
        "remove it, or set both from one Secret",
    ),
    Rule(
        "auth_token_variable",
        (AUTH_TOKEN,),
        _without_file,
        "the auth-token file cannot be read here, so the two were not compared; SDKs differ in which one they send",
        "remove it, or mount the profile's volume in this container",
    ),
    Rule(
        "proxy_for_loopback",
        _PROXIES,
        _proxied,
        "object_store, OpenDAL and the Rust SDK use the proxy for 127.0.0.1 too: the proxy receives the auth token, "
        "and the endpoint rejects the request",
        "set NO_PROXY and no_proxy as `aws-oidc-sidecar env` prints them",
    ),
    Rule(
        "no_proxy_form",
        _PROXIES,
        _proxied_for_some,
        "NO_PROXY or no_proxy exempts 127.0.0.1 in a form that only some clients read: *, a network (CIDR), a port, a "
        "suffix, or white space within an entry; other clients send the auth token to the proxy",
        "set NO_PROXY and no_proxy as `aws-oidc-sidecar env` prints them, with 127.0.0.1 between commas; to exempt all "
        "hosts, unset the proxy variables instead of using *: curl and Python read * in a list as a name",
    ),
    Rule(
        "endpoint_url",
        ("AWS_ENDPOINT_URL",),
        _set,
        "current SDKs send the requests of all services there, also of STS, with the session token",
        "remove it, or set AWS_ENDPOINT_URL_<SERVICE> for one service",
    ),
    Rule(
        "shared_files",
        (*HOME_FILES.values(), "AWS_CREDENTIAL_FILE", "BOTO_CONFIG"),
        _files,
        "SDKs use access keys and credential_process of such a file before the endpoint (the last two names: boto3 and "
        "the AWS CLI)",
        "remove it, unless the file has neither or this container gets its credentials from it",
    ),
    Rule(
        "home_files",
        tuple(HOME_FILES),
        _at_home,
        "most SDKs use access keys and credential_process of this file before the endpoint",
        "remove the file, or set its variable to /dev/null: "
        + " and ".join(f"{variable} for {file}" for file, variable in HOME_FILES.items()),
    ),
)
"""Rules for variables and files that must not be set; ``docs/application.md`` lists all of them."""

NEEDS: Final = (
    Rule(
        "uri_missing",
        (FULL_URI,),
        _absent,
        "it is not set, and without it no SDK uses the sidecar",
        "set it in this container as `aws-oidc-sidecar env` prints it, or use credential_process",
    ),
    Rule(
        "auth_token_file_missing",
        (AUTH_TOKEN_FILE_VARIABLE, AUTH_TOKEN),
        _absent,
        "it is not set: SDKs send no auth token and get 403, and object_store sends no request",
        "set it in this container as `aws-oidc-sidecar env` prints it",
    ),
)
"""Rules for variables that must be set, as ``aws-oidc-sidecar env`` prints them."""
