"""What an application's environment needs, and how it is written down. Pure."""

import shlex
from collections.abc import Callable, Mapping
from typing import Final

from sidecar.errors import SettingsError
from sidecar.limits import ENDPOINT_ADDRESS, ENDPOINT_PATH

__all__ = ("FORMATS", "FULL_URI", "NO_PROXY", "TOKEN_FILE", "entries", "render", "variables")

FULL_URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN_FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 - a name
NO_PROXY: Final = ("NO_PROXY", "no_proxy")

_LOOPBACK: Final = (ENDPOINT_ADDRESS, "localhost", "::1")


def variables(
    *, profile: str, port: int, auth_token_file: str, region: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return what an application needs, by name.

    Args:
        profile: the one whose role it gets.
        port: of the credentials endpoint.
        auth_token_file: where the application sees it.
        region: "" leaves the two variables out.
        environment: what it has so far; its exemptions from a proxy are kept.
    """
    exempt = _exempt(environment)
    return {
        # The literal address: it is the one form that every SDK takes.
        FULL_URI: f"http://{ENDPOINT_ADDRESS}:{port}{ENDPOINT_PATH}/{profile}",
        # Always beside it: without, object_store ignores the URI.
        TOKEN_FILE: auth_token_file,
        # botocore reads the one, most others the other (docs/design/0002).
        **({"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}),
        # Some read one spelling alone, and which one differs.
        **dict.fromkeys(NO_PROXY, exempt),
    }


def _exempt(environment: Mapping[str, str]) -> str:
    texts = [environment.get(name, "") for name in NO_PROXY]
    # Everything is exempt. Beside others the asterisk would be a name like any (curl, Python).
    if any(text.strip() == "*" for text in texts):
        return "*"
    had = [entry for text in texts for entry in entries(text)]
    return ",".join(dict.fromkeys((*had, *_LOOPBACK)))


def entries(text: str) -> list[str]:
    """Return what a list of exemptions names."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _shell(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}\n"


def _dotenv(name: str, value: str) -> str:
    if "\n" in value or "\r" in value:
        raise SettingsError(name, "has a line break, which dotenv cannot hold", "use --format shell or kubernetes")
    # To some versions of docker such quotes are not part of the value.
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        raise SettingsError(name, "is in quotes, which readers of dotenv take off", "use --format shell or kubernetes")
    return f"{name}={value}\n"


def _kubernetes(name: str, value: str) -> str:
    # The kubelet replaces $(NAME), and takes $$ for a dollar (API reference, EnvVar).
    value = value.replace("$", "$$")
    # Line breaks, quotes and what YAML calls unprintable have one escape that all parsers read alike.
    text = "".join(
        letter if " " <= letter <= "~" and letter not in '"\\' else f"\\U{ord(letter):08X}" for letter in value
    )
    return f'- name: {name}\n  value: "{text}"\n'


FORMATS: Final[Mapping[str, Callable[[str, str], str]]] = {
    "shell": _shell,
    "dotenv": _dotenv,
    "kubernetes": _kubernetes,
}
"""From name and value to lines; each raises SettingsError for a value that it cannot hold."""


def render(wanted: Mapping[str, str], form: str) -> str:
    """Return variables as text in one of ``FORMATS``.

    Raises:
        SettingsError: a value is no text, or the format cannot hold it.
    """
    for name, value in wanted.items():
        try:
            value.encode()
        except UnicodeEncodeError:  # bytes of a path or a variable, which no format has a way to write
            raise SettingsError(name, "holds bytes that are not UTF-8", "use another name") from None
    return "".join(FORMATS[form](name, value) for name, value in wanted.items())
