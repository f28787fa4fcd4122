"""The options of a case; the doctor detects the rest."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from sidecar.errors import InvalidValueError

__all__ = ("Call", "CaseOptions", "Place", "parse_call")


class Place(StrEnum):
    """Where the doctor runs, which decides what it can check."""

    SIDECAR = "sidecar"
    """In the sidecar's container: token, daemon, network; not the application's environment."""
    APPLICATION = "application"
    """In an application's container: environment, auth token, daemon; not the projected token."""
    ELSEWHERE = "elsewhere"
    """A Job, a laptop, a CI runner: token and network; no daemon."""


# The simulator takes no wildcard in an action.
_CALL: Final = re.compile(r"([a-z0-9-]+:[A-Za-z0-9]+)(?::(\*|arn:[!-~]+))?")


class Call(NamedTuple):
    """A call of an AWS API: an action such as "ssm:GetParameter", and the ARN of its resource, or "*"."""

    action: str
    resource: str

    def __str__(self) -> str:
        """Return both, for people."""
        return f"{self.action} on {self.resource}"


def parse_call(text: str) -> Call:
    """Return the call of SERVICE:ACTION[:RESOURCE]; without a resource it is "*".

    Raises:
        InvalidValueError: it has another form.
    """
    found = _CALL.fullmatch(text)
    if found is None:
        fix = "write for example ssm:GetParameter:arn:aws:ssm:eu-central-1:123456789012:parameter/x"
        raise InvalidValueError("not SERVICE:ACTION[:RESOURCE] with one action and one ARN", fix)
    return Call(found[1], found[2] or "*")


@dataclass(frozen=True, slots=True)
class CaseOptions:
    """The options of a case.

    Attributes:
        place: where the doctor runs; None to detect it.
        profile: the name of the profile; "" for `default`, or for the only one that is served.
        issuer: the issuer's URL; "" for the token's `iss`.
        issuer_ca: a PEM file with the CA certificate that verifies the issuer's certificate; None for the root CAs of
            this machine.
        no_exchange: whether to skip the exchange at STS.
        no_iam: whether to skip reading IAM, even with IAM read access.
        calls: the calls whose permissions are examined.
    """

    place: Place | None = None
    profile: str = ""
    issuer: str = ""
    issuer_ca: Path | None = None
    no_exchange: bool = False
    no_iam: bool = False
    calls: tuple[Call, ...] = ()
