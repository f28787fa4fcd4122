"""The case: where the doctor is, and everything that more than one check asks for, each looked up once."""

import argparse
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

from sidecar.appenv import FULL_URI, TOKEN_FILE
from sidecar.clock import Clock, Instant
from sidecar.config import Settings
from sidecar.connect_to import ConnectTo
from sidecar.direct import hops
from sidecar.doctor.aws import AwsView, IamFacts, IamUnknown
from sidecar.doctor.sts import StsLook, look
from sidecar.doctor.uri import Endpoint, endpoint_of
from sidecar.endpoint.files import AUTH_TOKEN_FILE
from sidecar.errors import Failure, SettingsError, TokenError
from sidecar.exchange.answers import judge, order_line
from sidecar.exchange.worker import exchange, new_session
from sidecar.issuer.documents import DISCOVERY_PATH, Discovery, DocumentError, Keys, parse_discovery, parse_keys
from sidecar.issuer.reader import Answer, IssuerReader, Unreadable, proxy_beside
from sidecar.model import Credentials, Grant, Order, Profile, Token, account_of
from sidecar.options import RUNTIME_DIRECTORY
from sidecar.tokens import jwt
from sidecar.tokens.watch import read_token

__all__ = ("Case", "Exchanged", "Place", "facts_of")

_OK: Final = 200


class Place(StrEnum):
    """Where the doctor runs, which decides what can be seen."""

    SIDECAR = "sidecar"
    """In the sidecar's container: token, daemon, network; not the application's environment."""
    APPLICATION = "application"
    """In an application's container: environment, auth token, daemon; never the projected token."""
    ELSEWHERE = "elsewhere"
    """A Job, a laptop, a CI runner: token and network; no daemon."""


class Exchanged:
    """What came of the one exchange: `failure` and the profile that it met, or `held`, the set of the last hop."""

    def __init__(self, profile: Profile, failure: Failure | None, held: Credentials | None) -> None:
        self.profile, self.failure, self.held = profile, failure, held


class Case:
    """Everything that the checks know.

    Args:
        given: the options of the command.
        environment: of the process.
        settings: what the daemon would run by; its role may be missing.
        role_known: whether a role was set; else that of `settings` is a placeholder.
        clock: tells the time.
        connect_to: where hosts really are; no proxy is asked for these.
    """

    def __init__(
        self,
        given: argparse.Namespace,
        environment: Mapping[str, str],
        settings: Settings,
        clock: Clock,
        *,
        role_known: bool,
        connect_to: ConnectTo,
    ) -> None:
        self.given, self.environment, self.settings, self.clock = given, environment, settings, clock
        self.role_known = role_known
        self._proxy = proxy_beside(connect_to)
        self.reader = IssuerReader(given.issuer_ca, proxy=self._proxy)
        self.aws = AwsView()

    @cached_property
    def place(self) -> Place:
        """Where this is, by what is there, unless an option says it."""
        if self.given.place:
            return Place(self.given.place)
        if self.environment.get(FULL_URI) or (self.auth_token_file.exists() and not self.settings.token_file.exists()):
            return Place.APPLICATION
        directories = (self._directory(profile.name) for profile in self.settings.profiles if profile.served)
        return Place.SIDECAR if any(map(Path.is_dir, directories)) else Place.ELSEWHERE

    def _directory(self, profile: str) -> Path:
        return self.settings.runtime_directory / "profiles" / profile

    @cached_property
    def auth_token_file(self) -> Path:
        """The auth token as this place sees it."""
        of_application = Path(self.environment.get(TOKEN_FILE) or f"{RUNTIME_DIRECTORY}/{AUTH_TOKEN_FILE}")
        if self.given.place == Place.APPLICATION or self.environment.get(FULL_URI):
            return of_application
        own = self._directory(self.profile_name) / AUTH_TOKEN_FILE
        return own if own.exists() else of_application

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where the application's environment leads to."""
        return endpoint_of(self.environment.get(FULL_URI, ""))

    @property
    def profile_name(self) -> str:
        """The profile's name, as in the endpoint's path."""
        # Web identity variables in the application's container say nothing of the sidecar's profiles.
        of_uri = self.endpoint.profile if self.given.place in {None, Place.APPLICATION} else ""
        return self.given.profile or of_uri or self.hops[-1].name

    @cached_property
    def hops(self) -> list[Profile]:
        """The profile that is looked at, behind those that it is chained to.

        Raises:
            SettingsError: there is no such profile, or none is named and several are served.
        """
        if not self.role_known:
            return list(self.settings.profiles)
        return hops(self.settings.profiles, self.given.profile or self._usual_profile())

    def _usual_profile(self) -> str:
        served = [profile.name for profile in self.settings.profiles if profile.served]
        if "default" in served:
            return "default"
        if len(served) == 1:
            return served[0]
        raise SettingsError("--profile", f"is not given, and there are {', '.join(sorted(served))}", "choose one")

    @cached_property
    def token(self) -> Token | TokenError:
        """The projected token, or why there is none that can be read."""
        try:
            return jwt.parse(read_token(self.settings.token_file))
        except TokenError as error:
            return error

    @property
    def now(self) -> Instant:
        """The time."""
        return self.clock.now()

    @cached_property
    def issuer(self) -> str:
        """The issuer's URL: the token's `iss`, or as an option gives it; "" where neither is there."""
        return self.given.issuer or (self.token.issuer if isinstance(self.token, Token) else "")

    @cached_property
    def discovery_answer(self) -> Answer | Unreadable:
        """What the issuer's discovery path answers."""
        return self._read(self.issuer.removesuffix("/") + DISCOVERY_PATH)

    @cached_property
    def discovery(self) -> Discovery | DocumentError | None:
        """The discovery document, what it lacks, or None where there is none."""
        answer = self.discovery_answer
        if not isinstance(answer, Answer) or answer.status != _OK:
            return None
        try:
            return parse_discovery(answer.content)
        except DocumentError as error:
            return error

    @cached_property
    def keys_answer(self) -> Answer | Unreadable | None:
        """What the key set's URL answers; None where no document names it."""
        return self._read(self.discovery.jwks_uri) if isinstance(self.discovery, Discovery) else None

    @cached_property
    def keys(self) -> Keys | DocumentError | None:
        """The key set, what it lacks, or None where there is none."""
        answer = self.keys_answer
        if not isinstance(answer, Answer) or answer.status != _OK:
            return None
        try:
            return parse_keys(answer.content)
        except DocumentError as error:
            return error

    @cached_property
    def sts(self) -> StsLook | None:
        """What one request to STS shows of the way there; None where its endpoint is not known."""
        url = self.aws.sts_endpoint(self.hops[0])
        return look(url, self.clock, self._proxy) if url else None

    @cached_property
    def wall_at_aws(self) -> float:
        """The time by STS's clock, where it told its time and accepted the token; else by this machine's."""
        ahead = self.sts.asked_at - self.sts.date if self.accepted and self.sts and self.sts.date is not None else 0.0
        return self.now.wall - ahead

    @cached_property
    def exchanged(self) -> Exchanged | None:
        """What came of one exchange, done here and now as the daemon does it; None where none was tried."""
        if (
            self.given.no_exchange
            or not self.role_known
            or not self.partition_fits
            or not isinstance(self.token, Token)
        ):
            return None
        session, held = new_session(), None
        for profile in self.hops:
            order, asked = Order(profile, self.token, held), self.now
            try:
                result = judge(order, exchange(session, order_line(order, self.settings.cluster)), asked)
            except (KeyError, TypeError, ValueError, OverflowError):
                return None
            if not isinstance(result, Grant):
                return Exchanged(profile, result, None)
            held = result.credentials
        return Exchanged(self.hops[-1], None, held)

    @cached_property
    def iam(self) -> IamFacts | IamUnknown:
        """What IAM says of the provider and the role of the first hop, as far as one may read it here."""
        if self.given.no_iam:
            return IamUnknown("--no-iam was given")
        if not self.role_known:
            return IamUnknown("no role is known here")
        return self.aws.read_iam(self.hops[0])

    @cached_property
    def partition_fits(self) -> bool:
        """Whether every role is of the partition that its region is in, as far as the regions are known."""
        pairs = ((profile.role_arn.split(":")[1], self.partition(profile)) for profile in self.hops)
        return all(right in {"", partition} for partition, right in pairs)

    def partition(self, hop: Profile) -> str:
        """Return the partition that a hop's STS is of, or "" where that is not known."""
        if hop.region or hop.endpoint_url:
            return self.aws.partition(hop.region)
        return "aws"  # the one that STS's global endpoint is of

    @property
    def accepted(self) -> bool:
        """Whether AWS accepted the token just now."""
        return self.exchanged is not None and self.exchanged.held is not None

    @cached_property
    def facts(self) -> dict[str, str]:
        """What the texts of causes name, of the first hop; what is not known is not there."""
        facts = {
            "token_file": str(self.settings.token_file),
            "auth_token_file": str(self.auth_token_file),
            "audience_setting": self.settings.audience,
            "region": self.hops[0].region,
            "profile": self.profile_name,
        }
        if self.role_known:
            facts |= facts_of(self.hops[0])
        if self.issuer:
            facts |= {"issuer": self.issuer, "provider": self.issuer.removeprefix("https://")}
            facts["host"] = self.issuer.removeprefix("https://").partition("/")[0]
        if isinstance(self.discovery, Discovery):
            facts["jwks_uri"] = self.discovery.jwks_uri
        if isinstance(self.token, Token):
            facts |= {"subject": self.token.subject, "audience": self.token.audience[0], "kid": self.token.key_id}
            parts = self.token.subject.split(":")
            if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:  # noqa: PLR2004 - prefix, namespace, name
                facts |= {"namespace": parts[2], "service_account": parts[3]}
        return facts

    def _read(self, url: str) -> Answer | Unreadable:
        try:
            return self.reader.get(url)
        except Unreadable as unreadable:
            return unreadable


def facts_of(hop: Profile) -> dict[str, str]:
    """Return what the texts of causes name of one hop."""
    return {
        "role": hop.role_arn,
        "role_name": hop.role_arn.rpartition("/")[2],
        "account": account_of(hop.role_arn),
        "partition": hop.role_arn.split(":")[1],
        "region": hop.region,
        "duration": str(hop.duration_seconds),
    }
