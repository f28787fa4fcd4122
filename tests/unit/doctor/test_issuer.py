"""What is seen of an issuer from here need not be what AWS sees: which results are exact, possible, or not known."""

import json
from dataclasses import replace

import pytest

from sidecar.doctor.case import Case
from sidecar.doctor.checks import discovery, keys
from sidecar.doctor.result import CheckResult, CheckStatus
from sidecar.https.failures import FailureKind, FetchError
from sidecar.issuer.reader import IssuerResponse
from tests.unit.doctor.cases import accepted, answer, case, with_error

URL = "https://issuer.test/.well-known/openid-configuration"
NO_KEYS = "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"
PROXY = FetchError(URL, FailureKind.PROXY, "no connection (HTTP 407)", "proxy.test:3128")
PRIVATE = FetchError(URL, FailureKind.TIMEOUT, "no answer in time", addresses=("10.0.0.1",))
HANDSHAKE = FetchError(URL, FailureKind.TLS, "TLS failed (TLSV1_ALERT_PROTOCOL_VERSION)")


def causes(result: CheckResult) -> list[str]:
    return [finding.cause.name for finding in result.findings]


def document(**changes: object) -> IssuerResponse:
    content = {"issuer": "https://issuer.test", "jwks_uri": "https://issuer.test/openid/v1/jwks"} | changes
    return replace(answer(), content=json.dumps(content).encode())


def refused(response: IssuerResponse | FetchError) -> Case:
    return with_error(case(discovery_response=response), *NO_KEYS)


@pytest.mark.mutant(
    "a proxy of this machine that rejects a request is exactly an issuer that AWS cannot reach", case="proxy"
)
@pytest.mark.parametrize(
    ("error", "cause"), [(PROXY, "issuer_behind_proxy"), (PRIVATE, "issuer_private_address")], ids=["proxy", "private"]
)
def test_what_only_this_network_shows_is_a_possible_cause(error: FetchError, cause: str) -> None:
    result = discovery.CHECK.run(refused(error))
    assert (result.status, result.exact) == (CheckStatus.BROKEN, False)
    assert causes(result) == [cause, "issuer_unreachable"]
    assert discovery.CHECK.run(case(discovery_response=error)).status is CheckStatus.UNKNOWN
    assert discovery.CHECK.run(accepted(case(discovery_response=error))).status is CheckStatus.ADVICE


def test_a_name_that_resolves_to_a_private_address_is_a_possible_cause_although_it_answers_here() -> None:
    here = replace(document(), addresses=("10.0.0.1",))
    assert causes(discovery.CHECK.run(refused(here))) == [
        "issuer_private_address", "issuer_unreachable",
    ]  # fmt: skip
    assert discovery.CHECK.run(case(discovery_response=here)).status is CheckStatus.GOOD
    public = replace(document(), addresses=("10.0.0.1", "8.8.8.8"))
    assert discovery.CHECK.run(refused(public)).status is CheckStatus.GOOD


def test_a_failed_handshake_is_named() -> None:
    assert causes(discovery.CHECK.run(case(discovery_response=HANDSHAKE))) == ["issuer_handshake"]
    assert discovery.CHECK.run(accepted(case(discovery_response=HANDSHAKE))).status is CheckStatus.ADVICE


def test_a_jwks_uri_without_https_is_named_and_not_read() -> None:
    unread = case(discovery_response=document(jwks_uri="http://issuer.test/keys"))
    assert causes(keys.CHECK.run(unread)) == ["jwks_not_https"]
    assert "keys_response" not in vars(unread)
