"""AssumeRoleWithWebIdentity and AssumeRole, as strict as STS.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from collections.abc import Mapping
from typing import Any

from examples.local.clock import Clock
from examples.local.faults import FaultKind
from examples.local.iam_view import IamSnapshot, IamView, Role
from examples.local.limits import account_of_role, check_parameters
from examples.local.moto_backend import ACCOUNT_ID, MotoBackend
from examples.local.policies import Decision, Request, evaluate
from examples.local.records import Caller, KeyRing, KeySet
from examples.local.refusals import Reason, Refused
from examples.local.verify import TokenVerifier, VerifiedToken
from examples.local.wire import HttpResponse, escape, iso8601, sts_success

# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
_CHAINING_LIMIT_SECONDS = 3600
_FAR_EXPIRY = 253402300799.0  # 9999-12-31T23:59:59Z
_AN_HOUR = 3600.0

Lies = Mapping[FaultKind, object]


class SecurityTokenService:
    """Judges requests and issues sets.

    Args:
        moto: makes the keys.
        iam: providers and roles as STS sees them.
        verifier: judges web identity tokens.
        keys: where issued sets are remembered.
        clock: wall time in seconds.
    """

    def __init__(self, moto: MotoBackend, iam: IamView, verifier: TokenVerifier, keys: KeyRing, clock: Clock) -> None:
        self._moto = moto
        self._iam = iam
        self._verifier = verifier
        self._keys = keys
        self._clock = clock
        self.grant_seconds: float | None = None
        """Grant at most this long, whatever was asked for; None grants what was asked for."""

    def assume_role_with_web_identity(self, parameters: Mapping[str, str], lies: Lies) -> HttpResponse:
        """Exchange a token for a set.

        Args:
            parameters: of the query protocol.
            lies: the faults that hit this call.

        Raises:
            Refused: see `limits.check_parameters`, `limits.account_of_role` and `TokenVerifier.verify`; then
                `WEB_IDENTITY_DENIED` for an unknown role or any mismatch with its trust policy, and
                `DURATION_OVER_ROLE_MAXIMUM`.
        """
        duration = check_parameters(parameters, ("RoleArn", "RoleSessionName", "WebIdentityToken"))
        account = account_of_role(parameters["RoleArn"])
        iam = self._iam.current()
        token = self._verifier.verify(
            parameters["WebIdentityToken"], iam, account=account, stale_jwks=FaultKind.STALE_JWKS in lies
        )
        role = iam.roles.get(parameters["RoleArn"])
        if role is None or _trusts_token(role, token) is not Decision.ALLOW:
            raise Refused(Reason.WEB_IDENTITY_DENIED)
        if duration > role.max_session_seconds:
            raise Refused(Reason.DURATION_OVER_ROLE_MAXIMUM)
        session = parameters["RoleSessionName"]
        made = self._moto.assume_role_with_web_identity(role.arn, session, parameters["WebIdentityToken"])
        keys = self._remember(made, role, session, duration)
        result = (
            f"    <SubjectFromWebIdentityToken>{escape(token.subject)}</SubjectFromWebIdentityToken>\n"
            f"    <Audience>{escape(token.audience)}</Audience>\n"
            f"{_assumed_role_user(role, keys)}"
            f"{_credentials(keys, self._clock(), lies)}"
            f"    <Provider>{escape(token.provider.arn)}</Provider>\n"
        )
        return sts_success("AssumeRoleWithWebIdentity", result)

    def assume_role(self, parameters: Mapping[str, str], signer: KeySet, lies: Lies) -> HttpResponse:
        """Give a set of another role to a caller that signs with a set of its own.

        Args:
            parameters: of the query protocol.
            signer: whose signature was verified.
            lies: the faults that hit this call.

        Raises:
            Refused: see `limits.check_parameters` and `limits.account_of_role`; then `NOT_AUTHORIZED` for
                sts:AssumeRole or sts:TagSession, `DURATION_OVER_CHAINING_LIMIT`, `DURATION_OVER_ROLE_MAXIMUM`.
        """
        duration = check_parameters(parameters, ("RoleArn", "RoleSessionName"))
        account_of_role(parameters["RoleArn"])
        iam = self._iam.current()
        role = iam.roles.get(parameters["RoleArn"])
        actions = ["sts:AssumeRole"]
        if any(name.startswith("Tags.member.") for name in parameters):
            actions.append("sts:TagSession")
        for action in actions:
            if role is None or not self._trusts_caller(role, signer.caller, action, iam, parameters):
                raise Refused(
                    Reason.NOT_AUTHORIZED,
                    user=signer.caller.arn,
                    action=action,
                    resource=parameters["RoleArn"],
                )
        assert role is not None  # noqa: S101 - the loop above ran at least once
        if signer.caller.role_arn and duration > _CHAINING_LIMIT_SECONDS:
            raise Refused(Reason.DURATION_OVER_CHAINING_LIMIT)
        if duration > role.max_session_seconds:
            raise Refused(Reason.DURATION_OVER_ROLE_MAXIMUM)
        session = parameters["RoleSessionName"]
        keys = self._remember(self._moto.assume_role(role.arn, session), role, session, duration)
        result = _assumed_role_user(role, keys) + _credentials(keys, self._clock(), lies)
        return sts_success("AssumeRole", result)

    def may(self, caller: Caller, action: str, resource: str) -> bool:
        """Return whether the caller's permission policies allow `action` on `resource`.

        The administrator may do everything. Conditions in permission policies are not evaluated: such a statement
        never allows and always denies.
        """
        if not caller.role_arn:
            return True
        role = self._iam.current().roles.get(caller.role_arn)
        request = Request(action, resource=resource)
        return role is not None and evaluate(role.permissions, request) is Decision.ALLOW

    def _trusts_caller(
        self, role: Role, caller: Caller, action: str, iam: IamSnapshot, parameters: Mapping[str, str]
    ) -> bool:
        # Named by its own ARN, the trust policy is enough; named by the account, the caller's own policies must
        # allow it too: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
        arns = {caller.arn}
        own = iam.roles.get(caller.role_arn)
        permitted = Decision.ALLOW
        if caller.role_arn:
            arns.add(caller.role_arn)
            permitted = evaluate(own.permissions if own else (), Request(action, resource=role.arn))
        if permitted is Decision.EXPLICIT_DENY:
            return False
        if permitted is Decision.ALLOW:
            arns |= {ACCOUNT_ID, f"arn:aws:iam::{ACCOUNT_ID}:root"}
        context = {"sts:externalid": parameters.get("ExternalId")}
        request = Request(action, {"AWS": frozenset(arns)}, context=context)
        return evaluate((role.trust_policy,), request) is Decision.ALLOW

    def _remember(self, made: Mapping[str, Any], role: Role, session: str, duration: int) -> KeySet:
        granted = duration if self.grant_seconds is None else min(self.grant_seconds, duration)
        keys = KeySet(
            access_key_id=made["AccessKeyId"],
            secret_access_key=made["SecretAccessKey"],
            session_token=made["SessionToken"],
            # STS states whole seconds, and means them.
            expires_at=float(int(self._clock() + granted)),
            caller=Caller(f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role.name}/{session}", role.arn),
            session_name=session,
        )
        self._keys.add(keys)
        return keys


def _trusts_token(role: Role, token: VerifiedToken) -> Decision:
    # The condition keys of an OIDC provider: its URL without the scheme, a colon, and the claim.
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    prefix = token.provider.url.removeprefix("https://").lower()
    request = Request(
        "sts:AssumeRoleWithWebIdentity",
        {"Federated": frozenset({token.provider.arn})},
        context={f"{prefix}:aud": token.audience, f"{prefix}:sub": token.subject},
    )
    return evaluate((role.trust_policy,), request)


def _assumed_role_user(role: Role, keys: KeySet) -> str:
    return (
        "    <AssumedRoleUser>\n"
        f"      <AssumedRoleId>{escape(f'{role.role_id}:{keys.session_name}')}</AssumedRoleId>\n"
        f"      <Arn>{escape(keys.caller.arn)}</Arn>\n"
        "    </AssumedRoleUser>\n"
    )


def _credentials(keys: KeySet, now: float, lies: Lies) -> str:
    expires_at = keys.expires_at
    if FaultKind.EXPIRED_SET in lies:
        expires_at = now - _AN_HOUR
    if FaultKind.FAR_EXPIRY in lies:
        expires_at = _FAR_EXPIRY
    secret = "" if FaultKind.EMPTY_SECRET in lies else keys.secret_access_key
    token = f"      <SessionToken>{escape(keys.session_token)}</SessionToken>\n"
    return (
        "    <Credentials>\n"
        f"      <AccessKeyId>{keys.access_key_id}</AccessKeyId>\n"
        f"      <SecretAccessKey>{escape(secret)}</SecretAccessKey>\n"
        f"{'' if FaultKind.MISSING_FIELD in lies else token}"
        f"      <Expiration>{iso8601(expires_at)}</Expiration>\n"
        "    </Credentials>\n"
    )
