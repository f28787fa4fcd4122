"""The options of a case; the doctor detects the rest."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ("CaseOptions", "Place")


class Place(StrEnum):
    """Where the doctor runs, which decides what it can check."""

    SIDECAR = "sidecar"
    """In the sidecar's container: token, daemon, network; not the application's environment."""
    APPLICATION = "application"
    """In an application's container: environment, auth token, daemon; not the projected token."""
    ELSEWHERE = "elsewhere"
    """A Job, a laptop, a CI runner: token and network; no daemon."""


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
    """

    place: Place | None = None
    profile: str = ""
    issuer: str = ""
    issuer_ca: Path | None = None
    no_exchange: bool = False
    no_iam: bool = False
