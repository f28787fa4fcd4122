"""The environment variables that an application needs, and their output formats. Pure."""

import shlex
from collections.abc import Callable, Mapping
from typing import Final

from sidecar.application.no_proxy import NO_PROXY, with_loopback
from sidecar.errors import SettingsError
from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH

__all__ = ("AUTH_TOKEN_FILE_VARIABLE", "FORMATS", "FULL_URI", "format_variables", "variables")

FULL_URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
AUTH_TOKEN_FILE_VARIABLE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 - a name


def variables(
    *, profile: str, port: int, auth_token_file: str, region: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that an application needs.

    Args:
        profile: of its credentials.
        port: of the credentials endpoint.
        auth_token_file: path in the application's container.
        region: of AWS; "" omits the two variables.
        environment: its current variables; the result includes its NO_PROXY entries.
    """
    return {
        # The address 127.0.0.1: all SDKs accept this form.
        FULL_URI: f"http://{ENDPOINT_ADDRESS}:{port}{ENDPOINT_PATH}/{profile}",
        # Always set with the URI: without it object_store ignores the URI.
        AUTH_TOKEN_FILE_VARIABLE: auth_token_file,
        # botocore reads the second, most other SDKs the first (docs/design/0002).
        **({"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}),
        # Some clients read one spelling; which one differs.
        **dict.fromkeys(NO_PROXY, with_loopback(environment)),
    }


def _shell(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}\n"


def _dotenv(name: str, value: str) -> str:
    if "\n" in value or "\r" in value:
        raise SettingsError(name, "has a line break, which dotenv does not allow", "use --format shell or kubernetes")
    # Some versions of docker remove such quotes from the value.
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        raise SettingsError(name, "is in quotes, which dotenv parsers remove", "use --format shell or kubernetes")
    return f"{name}={value}\n"


def _kubernetes(name: str, value: str) -> str:
    # The kubelet replaces $(NAME), and reads $$ as a dollar (API reference, EnvVar).
    value = value.replace("$", "$$")
    # All YAML parsers read this escape; it is used for line breaks, quotes and unprintable characters.
    text = "".join(
        letter if " " <= letter <= "~" and letter not in '"\\' else f"\\U{ord(letter):08X}" for letter in value
    )
    return f'- name: {name}\n  value: "{text}"\n'


FORMATS: Final[Mapping[str, Callable[[str, str], str]]] = {
    "shell": _shell,
    "dotenv": _dotenv,
    "kubernetes": _kubernetes,
}
"""Functions from name and value to lines; SettingsError for a value that the format cannot represent."""


def format_variables(wanted: Mapping[str, str], form: str) -> str:
    """Return variables as text in one of ``FORMATS``.

    Raises:
        SettingsError: a value is not UTF-8, or the format cannot represent it.
    """
    for name, value in wanted.items():
        try:
            value.encode()
        except UnicodeEncodeError:  # bytes of a path or a variable, which no format can represent
            raise SettingsError(name, "has bytes that are not UTF-8", "use a UTF-8 name") from None
    return "".join(FORMATS[form](name, value) for name, value in wanted.items())
