"""AssumeRoleWithWebIdentity and AssumeRole, as strict as STS.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

import base64
import secrets
from collections.abc import Mapping

from examples.local.clock import Clock
from examples.local.denials import check_denials
from examples.local.errors import AwsError, Reason
from examples.local.faults import FaultKind
from examples.local.iam_view import IamSnapshot, IamView, Role
from examples.local.limits import account_of_role, check_parameters
from examples.local.partitions import Account
from examples.local.policies import Decision, Request, evaluate
from examples.local.records import AccessKey, Caller, KeyRing
from examples.local.verify import TokenVerifier, VerifiedToken
from examples.local.wire import HttpResponse, escape, iso8601, sts_success

# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
_CHAINING_LIMIT_SECONDS = 3600
_FAR_EXPIRY = 253402300799.0  # 9999-12-31T23:59:59Z
_AN_HOUR = 3600.0
_SESSION_TOKEN_BYTES = 266

# Keys that only a request with a signature has, and those of session tags, which a token passes in this claim:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp
_OF_EVERY_REQUEST = ("aws:", "iam:")
_OF_SIGNED_REQUESTS = ("aws:multifactorauthpresent", "aws:multifactorauthage", "aws:tokenissuetime")
_OF_TAGS = ("aws:requesttag/", "aws:tagkeys")
_SESSION_TAGS = "https://aws.amazon.com/tags"

ActiveFaults = Mapping[FaultKind, object]


class SecurityTokenService:
    """Checks requests and issues credentials.

    Args:
        iam: providers and roles as STS sees them.
        verifier: verifies web identity tokens.
        keys: stores issued credentials.
        clock: wall time in seconds.
    """

    def __init__(self, iam: IamView, verifier: TokenVerifier, keys: KeyRing, clock: Clock) -> None:
        self._iam = iam
        self._verifier = verifier
        self._keys = keys
        self._clock = clock
        self.max_lifetime_seconds: float | None = None
        """The maximum lifetime of issued credentials in seconds; None applies the requested DurationSeconds."""

    def assume_role_with_web_identity(
        self, parameters: Mapping[str, str], partition: str, faults: ActiveFaults
    ) -> HttpResponse:
        """Exchange a token for credentials.

        Args:
            parameters: the parameters of the query protocol.
            partition: of the endpoint. Accounts of another one do not exist for it, so such a role has no provider:
                https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/1180
            faults: the faults that apply to this call.

        Raises:
            AwsError: see `limits.check_parameters`, `limits.account_of_role` and `TokenVerifier.verify`; then
                `WEB_IDENTITY_DENIED` for an unknown role, a mismatch with its trust policy, or the fault `DENIED`;
                `DENIED_BY_POLICY` (`denials.check_denials`); and `DURATION_OVER_ROLE_MAXIMUM`.
        """
        duration = check_parameters(parameters, ("RoleArn", "RoleSessionName", "WebIdentityToken"))
        account = Account(account_of_role(parameters["RoleArn"]).id, partition)
        iam = self._iam.current()
        token = self._verifier.verify(
            parameters["WebIdentityToken"], iam, account=account, stale_jwks=FaultKind.STALE_JWKS in faults
        )
        role = _role(iam, parameters["RoleArn"], partition)
        context = {"sts:rolesessionname": parameters["RoleSessionName"], **_times(self._clock())}
        if role is None or trusts_token(role, token, context) is not Decision.ALLOW or FaultKind.DENIED in faults:
            raise AwsError(Reason.WEB_IDENTITY_DENIED)
        check_denials(faults, user="anonymous", action="sts:AssumeRoleWithWebIdentity", resource=role.arn)
        if duration > role.max_session_seconds:
            raise AwsError(Reason.DURATION_OVER_ROLE_MAXIMUM)
        session = parameters["RoleSessionName"]
        keys = self._issue(role, session, duration)
        result = (
            f"    <SubjectFromWebIdentityToken>{escape(token.subject)}</SubjectFromWebIdentityToken>\n"
            f"    <Audience>{escape(token.audience)}</Audience>\n"
            f"{_assumed_role_user(role, keys)}"
            f"{_credentials(keys, self._clock(), faults)}"
            f"    <Provider>{escape(token.provider.arn)}</Provider>\n"
        )
        return sts_success("AssumeRoleWithWebIdentity", result)

    def assume_role(self, parameters: Mapping[str, str], signer: AccessKey, faults: ActiveFaults) -> HttpResponse:
        """Issue credentials of another role to a signed request (role chaining).

        A role of another partition is denied like one that does not exist:
        https://github.com/corymhall/cdk-diff-action/issues/70

        Args:
            parameters: the parameters of the query protocol.
            signer: the access key that signed the request.
            faults: the faults that apply to this call.

        Raises:
            AwsError: see `limits.check_parameters` and `limits.account_of_role`; then `NOT_AUTHORIZED` for
                sts:AssumeRole or sts:TagSession, `DENIED_BY_POLICY`, `DURATION_OVER_CHAINING_LIMIT`,
                `DURATION_OVER_ROLE_MAXIMUM`.
        """
        duration = check_parameters(parameters, ("RoleArn", "RoleSessionName"))
        account_of_role(parameters["RoleArn"])
        iam = self._iam.current()
        role = _role(iam, parameters["RoleArn"], signer.caller.account.partition)
        actions = ["sts:AssumeRole"]
        if any(name.startswith("Tags.member.") for name in parameters):
            actions.append("sts:TagSession")
        for action in actions:
            if role is None or not self._trusts_caller(role, signer.caller, action, iam, parameters):
                raise AwsError(
                    Reason.NOT_AUTHORIZED,
                    user=signer.caller.arn,
                    action=action,
                    resource=parameters["RoleArn"],
                )
        assert role is not None  # noqa: S101 - the loop above ran at least once
        check_denials(faults, user=signer.caller.arn, action="sts:AssumeRole", resource=role.arn)
        if signer.caller.role_arn and duration > _CHAINING_LIMIT_SECONDS:
            raise AwsError(Reason.DURATION_OVER_CHAINING_LIMIT)
        if duration > role.max_session_seconds:
            raise AwsError(Reason.DURATION_OVER_ROLE_MAXIMUM)
        session = parameters["RoleSessionName"]
        keys = self._issue(role, session, duration)
        result = _assumed_role_user(role, keys) + _credentials(keys, self._clock(), faults)
        return sts_success("AssumeRole", result)

    def identity(self, signer: AccessKey) -> HttpResponse:
        """Return who signed a request (GetCallerIdentity), which needs no permission."""
        caller = signer.caller
        role = self._iam.current().roles.get(caller.role_arn)
        user = f"{role.role_id if role else 'AROAUNKNOWN'}:{signer.session_name}" if caller.role_arn else "AIDAADMIN"
        result = f"    <Arn>{escape(caller.arn)}</Arn>\n    <UserId>{escape(user)}</UserId>\n"
        return sts_success("GetCallerIdentity", f"{result}    <Account>{caller.account.id}</Account>\n")

    def may(self, caller: Caller, action: str, resource: str) -> bool:
        """Return whether the caller's permission policies allow `action` on `resource`.

        The administrator is allowed all actions. Conditions in permission policies are not implemented: such a
        statement never allows and always denies.
        """
        if not caller.role_arn:
            return True
        role = self._iam.current().roles.get(caller.role_arn)
        request = Request(action, resource=resource)
        return role is not None and evaluate(role.permissions, request) is Decision.ALLOW

    def _trusts_caller(
        self, role: Role, caller: Caller, action: str, iam: IamSnapshot, parameters: Mapping[str, str]
    ) -> bool:
        # Within an account it is sufficient that the trust policy names the caller's ARN. If it names the account, or
        # the role is of another account, the caller's policies must also allow it:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
        arns = {caller.arn}
        own = iam.roles.get(caller.role_arn)
        permitted = Decision.ALLOW
        if caller.role_arn:
            arns.add(caller.role_arn)
            permitted = evaluate(own.permissions if own else (), Request(action, resource=role.arn))
        account = caller.account
        if permitted is Decision.EXPLICIT_DENY or (account != role.account and permitted is not Decision.ALLOW):
            return False
        if permitted is Decision.ALLOW:
            arns |= {account.id, f"{account.iam}:root"}
        context = {"sts:externalid": parameters.get("ExternalId")}
        request = Request(action, {"AWS": frozenset(arns)}, context=context)
        return evaluate((role.trust_policy,), request) is Decision.ALLOW

    def _issue(self, role: Role, session: str, duration: int) -> AccessKey:
        lifetime = duration if self.max_lifetime_seconds is None else min(self.max_lifetime_seconds, duration)
        keys = AccessKey(
            # Base 32, as of AWS: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
            access_key_id="ASIA" + base64.b32encode(secrets.token_bytes(10)).decode(),
            secret_access_key=base64.b64encode(secrets.token_bytes(30)).decode(),
            session_token=base64.b64encode(secrets.token_bytes(_SESSION_TOKEN_BYTES)).decode(),
            # STS sends whole seconds, and the credentials expire at that second.
            expires_at=float(int(self._clock() + lifetime)),
            caller=Caller(f"{role.account.sts}:assumed-role/{role.name}/{session}", role.arn),
            session_name=session,
        )
        self._keys.add(keys)
        return keys


def trusts_token(role: Role, token: VerifiedToken, context: Mapping[str, str]) -> Decision:
    """Return what the role's trust policy decides about a token's AssumeRoleWithWebIdentity.

    Args:
        role: whose trust policy.
        token: the verified token.
        context: what else is known of the request: condition keys in lower case, and their values.
    """
    # The condition keys of an OIDC provider: its URL without the scheme, a colon, and the claim.
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
    prefix = token.provider.url.removeprefix("https://").lower()
    keys = {f"{prefix}:aud": token.audience, f"{prefix}:sub": token.subject}
    # AWS lists no key for iss. What a claim that AWS may know is called here is not worth a list: it is unknown.
    claims = tuple(f"{prefix}:{claim.lower()}" for claim in token.claims - {"iss"})
    request = Request(
        "sts:AssumeRoleWithWebIdentity",
        {"Federated": frozenset({token.provider.arn})},
        context={**context, **keys},
        absent=_OF_SIGNED_REQUESTS if _SESSION_TAGS in token.claims else (*_OF_SIGNED_REQUESTS, *_OF_TAGS),
        unknown=(*_OF_EVERY_REQUEST, *claims),
    )
    return evaluate((role.trust_policy,), request)


def _role(iam: IamSnapshot, arn: str, partition: str) -> Role | None:
    role = iam.roles.get(arn)
    return role if role is not None and role.account.partition == partition else None


def _times(now: float) -> dict[str, str]:
    return {"aws:currenttime": iso8601(now), "aws:epochtime": str(int(now))}


def _assumed_role_user(role: Role, keys: AccessKey) -> str:
    return (
        "    <AssumedRoleUser>\n"
        f"      <AssumedRoleId>{escape(f'{role.role_id}:{keys.session_name}')}</AssumedRoleId>\n"
        f"      <Arn>{escape(keys.caller.arn)}</Arn>\n"
        "    </AssumedRoleUser>\n"
    )


def _credentials(keys: AccessKey, now: float, faults: ActiveFaults) -> str:
    expires_at = keys.expires_at
    if FaultKind.EXPIRED_CREDENTIALS in faults:
        expires_at = now - _AN_HOUR
    if FaultKind.FAR_EXPIRY in faults:
        expires_at = _FAR_EXPIRY
    secret = "" if FaultKind.EMPTY_SECRET in faults else keys.secret_access_key
    token = f"      <SessionToken>{escape(keys.session_token)}</SessionToken>\n"
    return (
        "    <Credentials>\n"
        f"      <AccessKeyId>{keys.access_key_id}</AccessKeyId>\n"
        f"      <SecretAccessKey>{escape(secret)}</SecretAccessKey>\n"
        f"{'' if FaultKind.MISSING_FIELD in faults else token}"
        f"      <Expiration>{iso8601(expires_at)}</Expiration>\n"
        "    </Credentials>\n"
    )
