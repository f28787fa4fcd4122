"""Cases with facts from a test: nothing here reads a file or sends a request."""

from collections.abc import Mapping
from dataclasses import fields
from hashlib import sha1
from typing import Any

from sidecar.doctor.aws import IamFacts
from sidecar.doctor.case import Case
from sidecar.doctor.exchanged import ExchangeResult
from sidecar.doctor.options import CaseOptions
from sidecar.exchange.classify import classify
from sidecar.https.failures import FailureKind, FetchError
from sidecar.iam.account import Provider, Role
from sidecar.issuer.certificates import Certificate, Chain
from sidecar.issuer.reader import IssuerResponse
from sidecar.settings.resolve import resolve
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, credentials, token

__all__ = ("OTHER_ACCOUNT", "UNREADABLE", "accepted", "answer", "case", "iam_facts", "provider", "trust", "with_error")

ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
CA_DER = b"authority"
UNREADABLE = FetchError("https://issuer.test", FailureKind.CONNECTION, "no connection")


def case(environment: Mapping[str, str] | None = None, *, profiles: str = "", known: bool = True, **facts: Any) -> Case:  # noqa: ANN401 - of all kinds
    """Return a case; `facts` are options of the command, and values for properties of the case."""
    flags = {"profiles-file": "/profiles"} if profiles else {"role-arn": ROLE_ARN}
    settings = resolve(flags, environment or {}, lambda _: profiles)
    options = CaseOptions(**{field.name: facts.pop(field.name) for field in fields(CaseOptions) if field.name in facts})
    made = Case(options, environment or {}, settings, FakeClock(), role_known=known, connect_to={})
    known_facts = {"token": token(), "discovery_response": UNREADABLE, "exchange_result": None, "sts": None} | facts
    vars(made).update({name: value for name, value in known_facts.items() if value is not ...})
    return made


def with_error(made: Case, code: str, message: str = "", position: int = 0) -> Case:
    """Set an error of AWS as the result of one exchange; `position` is that of the profile in the chain."""
    vars(made)["exchange_result"] = ExchangeResult(made.role_chain[position], classify(code, message, 400), None)
    return made


def accepted(made: Case) -> Case:
    """Set credentials as the result of the exchange."""
    vars(made)["exchange_result"] = ExchangeResult(made.role_chain[-1], None, credentials())
    return made


def provider(**changes: Any) -> Provider:  # noqa: ANN401 - of all kinds
    """Return the issuer's provider, in the role's account or in `account`."""
    account = changes.pop("account", ACCOUNT)
    defaults: dict[str, Any] = {
        "arn": f"arn:aws:iam::{account}:oidc-provider/issuer.test",
        "name": "issuer.test",
        "client_ids": ("sts.amazonaws.com",),
        "thumbprints": (sha1(CA_DER, usedforsecurity=False).hexdigest(),),
        "created_at": 0.0,
    }
    return Provider(**defaults | changes)


def trust(**condition: Mapping[str, str]) -> dict[str, Any]:
    """Return a trust policy for the token's pod, or one with the condition `condition`."""
    equal = {"issuer.test:aud": "sts.amazonaws.com", "issuer.test:sub": token().subject}
    return {
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": provider().arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": condition or {"StringEquals": equal},
        }]
    }  # fmt: skip


def iam_facts(
    *providers: Provider, account: str = ACCOUNT, policy: Mapping[str, Any] | None = None, role_created_at: float = 0.0
) -> IamFacts:
    """Return the facts of IAM; with the role only if `account` is the role's account."""
    role = Role(ROLE_ARN, policy or trust(), created_at=role_created_at) if account == ACCOUNT else None
    return IamFacts(account, providers, role)


def answer(*, public: bool = False) -> IssuerResponse:
    """Return a response of the issuer with a leaf and the CA whose thumbprint `provider()` has."""
    leaf = Certificate(b"leaf", "CN=issuer.test", "CN=CA", 0.0, 4e9)
    authority = Certificate(CA_DER, "CN=CA", "CN=CA", 0.0, 4e9)
    return IssuerResponse(200, b"", None, Chain((leaf, authority), public))
