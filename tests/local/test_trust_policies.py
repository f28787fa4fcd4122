"""Trust policies as people write them: the local STS and the doctor each agree with what AWS documents.

The two read a policy with separate code (`examples.local.policies` and `sidecar.iam.trust`), so that a mistake in one
of them shows here. The table also says which cause the doctor has to name.
"""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.local.iam_view import Provider, Role
from examples.local.policies import Decision
from examples.local.sts import trusts_token
from examples.local.verify import VerifiedToken
from sidecar.doctor.case import Case
from sidecar.doctor.checks import exchange, iam
from sidecar.doctor.result import CheckResult, CheckStatus
from tests.helpers.values import ROLE_ARN, token
from tests.unit.doctor.cases import accepted, case, iam_facts, provider, with_error

_TABLE = tomllib.loads(Path(__file__).with_name("trust_policies.toml").read_text(encoding="utf-8"))
_REQUEST = _TABLE["request"]
_ROWS = [_REQUEST | row for row in _TABLE["row"]]
DOCUMENTED = [row for row in _ROWS if row["aws"] != "undocumented"]
_LETS_IN = {"ok", "trust_open"}
_GUIDE = "IAM "

each_row = pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["name"])
each_documented_row = pytest.mark.parametrize("row", DOCUMENTED, ids=lambda row: row["name"])
Row = dict[str, Any]


def provider_arn(row: Row) -> str:
    """Return the ARN of the provider that a row's token is of."""
    return f"arn:aws:iam::123456789012:oidc-provider/{row['issuer'].removeprefix('https://')}"


def _local_decision(row: Row) -> Decision:
    client_ids = frozenset(row["client_ids"])
    found = Provider(provider_arn(row), row["issuer"], client_ids, frozenset())
    audience = next(audience for audience in row["audience"] if audience in client_ids)
    claims = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "kubernetes.io"})
    verified = VerifiedToken(found, row["subject"], audience, claims)
    context = {key.lower(): value for key, value in row["context"].items()}
    return trusts_token(Role(ROLE_ARN, "AROAEXAMPLE", 3600, json.loads(row["policy"]), ()), verified, context)


def _case(row: Row, *, with_token: bool = True) -> Case:
    name = row["issuer"].removeprefix("https://")
    facts = iam_facts(
        provider(arn=provider_arn(row), name=name, client_ids=tuple(row["client_ids"])),
        policy=json.loads(row["policy"]),
    )
    seen = replace(token(), issuer=row["issuer"], subject=row["subject"], audience=tuple(row["audience"]))
    return case(iam=facts, token=seen if with_token else None, issuer=row["issuer"])


def _names(result: CheckResult) -> list[str]:
    return [finding.cause.name for finding in result.findings]


def test_the_table_has_a_source_for_each_row_and_no_outcome_without_one() -> None:
    assert len(DOCUMENTED) >= 60
    assert len({row["name"] for row in _ROWS}) == len(_ROWS)
    for row in _ROWS:
        assert row["source"].startswith(_GUIDE)
        assert row["aws"] in {"allowed", "denied", "undocumented"}
        # The doctor never says the contrary of AWS, and nothing certain where AWS says nothing.
        contrary = {"allowed": row["doctor"] not in _LETS_IN, "denied": row["doctor"] in _LETS_IN, "undocumented": True}
        assert row["doctor"] == "unknown" or not contrary[row["aws"]], row["name"]
        assert ("note" in row) is (row["aws"] == "undocumented"), row["name"]


@each_documented_row
def test_the_local_sts_decides_as_aws_does(row: Row) -> None:
    assert (_local_decision(row) is Decision.ALLOW) is (row["aws"] == "allowed")


@pytest.mark.mutant(
    "a statement that may let the token in is hidden by one that does not",
    "a condition with ForAllValues does not hold for a request without its key",
    "a wildcard under StringEquals is reported as another ServiceAccount",
    "a role that every ServiceAccount can assume gets no advice",
)
@each_row
def test_the_doctor_says_what_aws_does_or_that_it_cannot_tell(row: Row) -> None:
    result = iam.CHECK.run(_case(row))
    if row["doctor"] == "ok":
        assert (result.status, _names(result)) == (CheckStatus.GOOD, [])
    elif row["doctor"] == "trust_open":
        assert (result.status, _names(result)) == (CheckStatus.ADVICE, ["trust_open"])
    elif row["doctor"] == "unknown":
        assert (result.status, _names(result)) == (CheckStatus.UNKNOWN, [])
    else:
        assert result.status is CheckStatus.BROKEN
        assert set(_names(result)) == {row["doctor"]}


@each_row
def test_a_denial_is_explained_by_the_policy_where_the_policy_is_the_reason(row: Row) -> None:
    result = exchange.CHECK.run(with_error(_case(row), "AccessDenied", "Not authorized"))
    if row["doctor"] in {"ok", "unknown", "trust_open"}:
        assert not result.exact
    else:
        assert (set(_names(result)), result.exact) == ({row["doctor"]}, True)
    assert ("trust_condition" in _names(result)) is (row["doctor"] == "unknown")


@pytest.mark.parametrize("row", [row for row in _ROWS if row["doctor"] == "trust_open"], ids=lambda row: row["name"])
def test_a_role_that_every_service_account_can_assume_gets_advice_also_without_a_token_or_after_an_exchange(
    row: Row,
) -> None:
    for made in (_case(row, with_token=False), accepted(_case(row))):
        result = iam.CHECK.run(made)
        assert (result.status, _names(result)) == (CheckStatus.ADVICE, ["trust_open"])
        (finding,) = result.findings
        assert finding.cause.exit_code == 0


def test_a_local_sts_that_knows_nothing_of_the_request_allows_no_more() -> None:
    for row in DOCUMENTED:
        if row["aws"] == "denied":
            assert _local_decision(row | {"context": {}}) is not Decision.ALLOW, row["name"]
