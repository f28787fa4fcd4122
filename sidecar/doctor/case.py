"""The case: where the doctor runs, and everything that more than one check needs, each read once."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from sidecar.application.variables import AUTH_TOKEN_FILE_VARIABLE, FULL_URI
from sidecar.clock import Clock, Instant
from sidecar.doctor.audience import for_api_server, for_aws
from sidecar.doctor.aws import AwsView, IamFacts, IamUnknown
from sidecar.doctor.exchanged import ExchangeResult, exchange_chain
from sidecar.doctor.options import CaseOptions, Place
from sidecar.doctor.sts import StsProbe, probe_sts
from sidecar.doctor.uri import Endpoint, endpoint_of
from sidecar.errors import SettingsError, TokenError
from sidecar.https.connect_to import ConnectTo
from sidecar.https.failures import FetchError
from sidecar.https.proxy import proxy_beside
from sidecar.issuer import documents
from sidecar.issuer.documents import DISCOVERY_PATH, Discovery, DocumentError, Keys, below
from sidecar.issuer.reader import IssuerReader, IssuerResponse
from sidecar.model import Profile, Token, account_of
from sidecar.settings.options import RUNTIME_DIRECTORY
from sidecar.settings.profiles import role_chain
from sidecar.settings.resolve import Settings
from sidecar.tokens import jwt
from sidecar.tokens.watch import read_token_file
from sidecar.volumes.auth_token import AUTH_TOKEN_NAME

__all__ = ("ISSUER_ONLY", "Case", "facts_of")

ISSUER_ONLY: Final = "only the issuer is checked"
_OK: Final = 200
# Path.exists raises PermissionError before Python 3.14 if the directory is closed to this user.
_exists = os.path.exists


class Case:
    """The input of the checks.

    Args:
        options: the options of the command.
        environment: of the process.
        settings: the settings that the daemon would use.
        role_known: whether a role was set; else the role of `settings` is a placeholder.
        clock: tells the time.
        connect_to: other addresses for hosts; connections to these hosts use no proxy.
    """

    def __init__(
        self,
        options: CaseOptions,
        environment: Mapping[str, str],
        settings: Settings,
        clock: Clock,
        *,
        role_known: bool,
        connect_to: ConnectTo,
    ) -> None:
        self.options, self.environment, self.settings, self.clock = options, environment, settings, clock
        self.role_known = role_known
        self._proxy = proxy_beside(connect_to)
        self.reader = IssuerReader(options.issuer_ca, connect_to=connect_to)
        self.aws = AwsView()

    @cached_property
    def place(self) -> Place:
        """Where the doctor runs: as an option says, else detected from the environment and the files."""
        if self.options.place:
            return self.options.place
        if self.environment.get(FULL_URI) or (_exists(self.auth_token_file) and not _exists(self.settings.token_file)):
            return Place.APPLICATION
        directories = (self._directory(profile.name) for profile in self.settings.profiles if profile.served)
        return Place.SIDECAR if any(map(os.path.isdir, directories)) else Place.ELSEWHERE

    def _directory(self, profile: str) -> Path:
        return self.settings.runtime_directory / "profiles" / profile

    @cached_property
    def auth_token_file(self) -> Path:
        """The path of the auth token in this place."""
        of_application = Path(
            self.environment.get(AUTH_TOKEN_FILE_VARIABLE) or f"{RUNTIME_DIRECTORY}/{AUTH_TOKEN_NAME}"
        )
        if self.options.place is Place.APPLICATION or self.environment.get(FULL_URI):
            return of_application
        own = self._directory(self.profile_name) / AUTH_TOKEN_NAME
        return own if _exists(own) else of_application

    @cached_property
    def endpoint(self) -> Endpoint:
        """The endpoint that the application's environment names."""
        return endpoint_of(self.environment.get(FULL_URI, ""))

    @property
    def profile_name(self) -> str:
        """The profile's name, as in the endpoint's path."""
        # Web identity variables in the application's container do not describe the sidecar's profiles.
        of_uri = self.endpoint.profile if self.options.place in {None, Place.APPLICATION} else ""
        return self.options.profile or of_uri or self.role_chain[-1].name

    @cached_property
    def role_chain(self) -> list[Profile]:
        """The chain of profiles: the one that uses the token first, the one that is checked last.

        Raises:
            SettingsError: the profile does not exist, or no profile is named and several are served.
        """
        if not self.role_known:
            return list(self.settings.profiles)
        return role_chain(self.settings.profiles, self.options.profile or self._default_profile())

    def _default_profile(self) -> str:
        served = [profile.name for profile in self.settings.profiles if profile.served]
        if "default" in served:
            return "default"
        if len(served) == 1:
            return served[0]
        raise SettingsError(
            "--profile", f"missing, and several profiles are served: {', '.join(sorted(served))}", "name one of them"
        )

    @cached_property
    def token(self) -> Token | TokenError:
        """The projected token, or why it cannot be read."""
        try:
            return jwt.parse_token(read_token_file(self.settings.token_file))
        except TokenError as error:
            return error

    @property
    def now(self) -> Instant:
        """The time."""
        return self.clock.now()

    @cached_property
    def issuer(self) -> str:
        """The issuer's URL: from an option, else the token's `iss`; "" without both."""
        return self.options.issuer or (self.token.issuer if isinstance(self.token, Token) else "")

    @cached_property
    def discovery_response(self) -> IssuerResponse | FetchError:
        """The response to a request of the issuer's discovery path."""
        return self._read(below(self.issuer, DISCOVERY_PATH))

    @cached_property
    def discovery(self) -> Discovery | DocumentError | None:
        """The discovery document, why it is not valid, or None if there is none."""
        response = self.discovery_response
        if not isinstance(response, IssuerResponse) or response.status != _OK:
            return None
        try:
            return documents.parse_discovery(response.content)
        except DocumentError as error:
            return error

    @cached_property
    def keys_response(self) -> IssuerResponse | FetchError | None:
        """The response to a request of `jwks_uri`; None if no discovery document names it."""
        return self._read(self.discovery.jwks_uri) if isinstance(self.discovery, Discovery) else None

    @cached_property
    def keys(self) -> Keys | DocumentError | None:
        """The key set, why it is not valid, or None if there is none."""
        response = self.keys_response
        if not isinstance(response, IssuerResponse) or response.status != _OK:
            return None
        try:
            return documents.parse_keys(response.content)
        except DocumentError as error:
            return error

    @cached_property
    def sts(self) -> StsProbe | None:
        """The result of one test request to STS; None if its endpoint is not known."""
        url = self.aws.sts_endpoint(self.role_chain[0])
        return probe_sts(url, self.clock, self._proxy) if url else None

    @cached_property
    def wall_at_aws(self) -> float:
        """Wall time by the clock of STS, if it sent a date and accepted the token; else by this machine's clock."""
        date = self.sts.date if self.accepted and self.sts else None
        return self.now.wall - (self.sts.requested_at - date if self.sts and date is not None else 0.0)

    @cached_property
    def exchange_result(self) -> ExchangeResult | None:
        """The result of one exchange, done now as the daemon does it; None if it was not tried or had no known form."""
        if self.options.no_exchange or not self.role_known or not isinstance(self.token, Token):
            return None
        return exchange_chain(self.role_chain, self.token, self.settings.cluster, self.clock)

    @cached_property
    def iam(self) -> IamFacts | IamUnknown:
        """The OIDC providers and the role of the first profile of the chain in IAM, or why they were not read."""
        if self.options.no_iam:
            return IamUnknown("--no-iam is set")
        if not self.role_known:
            return IamUnknown("no role is set")
        return self.aws.read_iam(self.role_chain[0])

    @cached_property
    def skews(self) -> dict[str, float]:
        """{whose clock: the seconds by which it is ahead of this machine's}, by the Date headers of STS and issuer."""
        found = {}
        if not self.issuer_only and self.sts and self.sts.date is not None:
            found["STS"] = self.sts.date - self.sts.requested_at
        response = self.discovery_response if self.issuer else None
        if isinstance(response, IssuerResponse) and response.date is not None:
            found["the issuer"] = response.date - self.now.wall
        return found

    @property
    def for_api_server(self) -> bool:
        """Whether all audiences of the token are the API server's own."""
        token = self.token
        return isinstance(token, Token) and all(for_api_server(one, token.issuer) for one in token.audience)

    @property
    def proofs(self) -> frozenset[str]:
        """The names of the checks that need all the others in this place."""
        return frozenset({"exchange", "daemon"} if self.place is Place.APPLICATION else {"exchange"})

    @property
    def issuer_only(self) -> bool:
        """Whether only the issuer is to be checked: --issuer names it, and there is neither a role nor a token."""
        return bool(self.options.issuer) and not self.role_known and not _exists(self.settings.token_file)

    @property
    def accepted(self) -> bool:
        """Whether AWS accepted the token in the exchange of this run."""
        return self.exchange_result is not None and self.exchange_result.credentials is not None

    @cached_property
    def facts(self) -> dict[str, str]:
        """The facts for the texts of causes, of the first profile of the chain; without those that are not known."""
        facts = {
            "token_file": str(self.settings.token_file),
            "auth_token_file": str(self.auth_token_file),
            "audience_setting": self.settings.audience,
            "region": self.role_chain[0].region,
            "profile": self.profile_name,
        }
        if self.role_known:
            facts |= facts_of(self.role_chain[0])
        if self.issuer:
            facts |= {"issuer": self.issuer, "provider": self.issuer.removeprefix("https://")}
            facts["host"] = self.issuer.removeprefix("https://").partition("/")[0]
            facts["discovery_url"] = below(self.issuer, DISCOVERY_PATH)
        if isinstance(self.discovery, Discovery):
            facts["jwks_uri"] = self.discovery.jwks_uri
        if isinstance(self.token, Token):
            facts |= {"subject": self.token.subject, "audience": self.token.audience[0], "kid": self.token.key_id}
            facts["aws_audience"] = for_aws(self.token, self.settings.audience)
            parts = self.token.subject.split(":")
            if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:  # noqa: PLR2004 - prefix, namespace, name
                facts |= {"namespace": parts[2], "service_account": parts[3]}
        return facts

    def _read(self, url: str) -> IssuerResponse | FetchError:
        try:
            return self.reader.get(url)
        except FetchError as unreadable:
            return unreadable


def facts_of(profile: Profile) -> dict[str, str]:
    """Return the facts for the texts of causes that are of one profile."""
    return {
        "role": profile.role_arn,
        "role_name": profile.role_arn.rpartition("/")[2],
        "account": account_of(profile.role_arn),
        "partition": profile.role_arn.split(":")[1],
        "region": profile.region,
        "duration": str(profile.duration_seconds),
    }
