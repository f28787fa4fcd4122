"""What a rule for an application's environment is, and the surroundings that it is about. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ("AUTH_TOKEN", "BOTO_CONFIG", "HOME_FILES", "JAVA_CREDENTIALS_FILE", "EnvironmentWarning", "Rule",
           "Surroundings", "environment_warnings")  # fmt: skip

AUTH_TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - a name
HOME_FILES: Final = {
    "~/.aws/credentials": "AWS_SHARED_CREDENTIALS_FILE",
    "~/.aws/config": "AWS_CONFIG_FILE",
}
"""Files that SDKs read before they use the endpoint, and the variable that sets another path for each."""
BOTO_CONFIG: Final = "BOTO_CONFIG"
"""The variable from which boto3 and the AWS CLI get the path of a config file of boto 2."""
JAVA_CREDENTIALS_FILE: Final = "AWS_CREDENTIAL_PROFILES_FILE"
"""The variable from which the Java SDK v1, and no other SDK, gets the path of its credentials file (AWS SDK for Java
2.x Developer Guide, "Credentials provider changes")."""


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
        harmless: the home files, and the variables of files, whose file does not exist or gives no credentials in
            `[default]`.
        regions_of_files: {home file or variable: region} of the file that gives SDKs their region without a variable;
            empty if none does.
    """

    environment: Mapping[str, str]
    wanted: Mapping[str, str]
    auth_token: bytes | None
    home_files: frozenset[str]
    by_process: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()
    regions_of_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnvironmentWarning:
    """The names of the variables or files, and the rule. No values: they can be secret."""

    names: tuple[str, ...]
    rule: "Rule"

    def __str__(self) -> str:
        return f"{', '.join(self.names)}: {self.rule.why}; {self.rule.fix}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: the name for programs.
        names: the variables or files that it checks.
        seen: returns the names that are at fault, or none.
        why: what happens.
        fix: what to do.
        for_some: whether it affects only the SDKs that `why` names; the others get their credentials from the sidecar.
    """

    name: str
    names: tuple[str, ...]
    seen: Callable[[Surroundings, tuple[str, ...]], tuple[str, ...]]
    why: str
    fix: str
    for_some: bool = False


def environment_warnings(around: Surroundings, rules: Sequence[Rule]) -> Iterator[EnvironmentWarning]:
    """Yield the warnings of rules, such as ``rules.RULES``, in their order."""
    for rule in rules:
        if names := rule.seen(around, rule.names):
            yield EnvironmentWarning(names, rule)
