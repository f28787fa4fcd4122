"""Cases whose facts a test gives: nothing here reads a file or asks anybody."""

import argparse
from collections.abc import Mapping
from hashlib import sha1
from typing import Any

from sidecar.config import resolve
from sidecar.doctor.aws import IamFacts, Provider, Role
from sidecar.doctor.case import Case, Exchanged
from sidecar.exchange.classify import classify
from sidecar.issuer.certificates import Certificate, Chain
from sidecar.issuer.reader import Answer, Trouble, Unreadable
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, credentials, token

__all__ = ("OTHER_ACCOUNT", "UNREADABLE", "accepted", "answer", "case", "iam_facts", "provider", "refused", "trust")

ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
CA_DER = b"authority"
UNREADABLE = Unreadable("https://issuer.test", Trouble.CONNECTION, "no connection")


def case(environment: Mapping[str, str] | None = None, *, profiles: str = "", known: bool = True, **facts: Any) -> Case:  # noqa: ANN401 - of all kinds
    """Return a case; `facts` are options of the command, and properties of the case that are known."""
    flags = {"profiles-file": "/profiles"} if profiles else {"role-arn": ROLE_ARN}
    settings = resolve(flags, environment or {}, lambda _: profiles)
    given = {"profile": "", "place": None, "issuer": "", "issuer_ca": None, "no_exchange": False, "no_iam": False}
    options = {name: facts.pop(name) for name in list(facts) if name in given}
    made = Case(
        argparse.Namespace(**given | options), environment or {}, settings, FakeClock(), role_known=known, connect_to={}
    )
    known_facts = {"token": token(), "discovery_answer": UNREADABLE, "exchanged": None, "sts": None} | facts
    vars(made).update({name: value for name, value in known_facts.items() if value is not ...})
    return made


def refused(made: Case, code: str, message: str = "", hop: int = 0) -> Case:
    """Have AWS refuse one hop."""
    vars(made)["exchanged"] = Exchanged(made.hops[hop], classify(code, message, 400), None)
    return made


def accepted(made: Case) -> Case:
    """Have AWS accept the token."""
    vars(made)["exchanged"] = Exchanged(made.hops[-1], None, credentials())
    return made


def provider(**changes: Any) -> Provider:  # noqa: ANN401 - of all kinds
    """Return the issuer's provider, in the role's account unless `account` says otherwise."""
    account = changes.pop("account", ACCOUNT)
    fields: dict[str, Any] = {
        "arn": f"arn:aws:iam::{account}:oidc-provider/issuer.test",
        "name": "issuer.test",
        "client_ids": ("sts.amazonaws.com",),
        "thumbprints": (sha1(CA_DER, usedforsecurity=False).hexdigest(),),
        "created_at": 0.0,
    }
    return Provider(**fields | changes)


def trust(**condition: Mapping[str, str]) -> dict[str, Any]:
    """Return a trust policy for the token's pod, with another condition if one is given."""
    equal = {"issuer.test:aud": "sts.amazonaws.com", "issuer.test:sub": token().subject}
    return {
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": provider().arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": condition or {"StringEquals": equal},
        }]
    }  # fmt: skip


def iam_facts(*providers: Provider, account: str = ACCOUNT, policy: Mapping[str, Any] | None = None) -> IamFacts:
    """Return what IAM has; the role only where the account is its own."""
    role = Role(policy or trust(), 3_600) if account == ACCOUNT else None
    return IamFacts(account, providers, role)


def answer(*, public: bool = False) -> Answer:
    """Return an answer of the issuer that came with a leaf and the CA whose thumbprint is `provider()`'s."""
    leaf = Certificate(b"leaf", "CN=issuer.test", "CN=CA", 0.0, 4e9)
    authority = Certificate(CA_DER, "CN=CA", "CN=CA", 0.0, 4e9)
    return Answer(200, b"", None, Chain((leaf, authority), public))
