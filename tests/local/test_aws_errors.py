"""Each error response can be provoked, and has the code, status and message of its row."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest

import examples.local
from examples.local.errors import TABLE, UNSOURCED, AwsError, Reason
from examples.local.faults import FaultKind, Scope
from examples.local.issuer import Issuer
from examples.local.keys import tamper_signature
from examples.local.wire import error_response
from examples.local.world import World, trust_policy
from tests.local.calls import (
    FORM,
    IDENTITY,
    ROLE_ARN,
    Answer,
    get_parameter,
    issued,
    query,
    send,
    signed,
    web_identity,
)

_SOURCES = Path(examples.local.__file__).parent
_PROVIDER_ARN = "arn:aws:iam::123456789012:oidc-provider/issuer.test"


def _trusted(world: World) -> World:
    world.set_up_trust(max_session_seconds=3600)
    return world


def _fault(world: World, kind: FaultKind) -> Answer:
    world.aws.faults.set(kind)
    return web_identity(world, world.issuer.mint())


def _iam(world: World, action: str, **parameters: str) -> Answer:
    return signed(world, world.aws.admin, {"Action": action, "Version": "2010-05-08", **parameters}, service="iam")


def _without_audience(world: World) -> Answer:
    claims = world.issuer.claims(namespace="default", service_account="a", pod="p", node="n")
    return web_identity(world, world.issuer.sign({**claims, "iat": 1, "exp": 2}))


def _down(world: World) -> Answer:
    world.issuer.down = True
    return web_identity(world, world.issuer.mint())


def _other_certificate(world: World) -> Answer:
    world.issuer.replace_authority()
    return web_identity(world, world.issuer.mint())


def _assume(world: World, **parameters: str) -> Answer:
    keys = issued(world)
    iam = world.admin_client("iam")
    policy = trust_policy(_PROVIDER_ARN, audience="a", subject="s")
    policy["Statement"][0] |= {"Principal": {"AWS": ROLE_ARN}, "Action": "sts:AssumeRole", "Condition": {}}
    iam.create_role(RoleName="Next", AssumeRolePolicyDocument=json.dumps(policy), MaxSessionDuration=43200)
    named = {"RoleArn": "arn:aws:iam::123456789012:role/Next", "RoleSessionName": "next", **parameters}
    return signed(world, keys, {"Action": "AssumeRole", "Version": "2011-06-15", **named})


def _malformed(world: World, headers: dict[str, str]) -> Answer:
    authorization = {"Authorization": "AWS4-HMAC-SHA256 Credential=x", "X-Amz-Date": "20260101T000000Z"}
    return send(world, urlencode(IDENTITY).encode(), {"Content-Type": FORM, **authorization, **headers})


def _expired(world: World) -> World:
    issued(world)
    world.clock.advance(3601)
    return world


def _no_policy(world: World) -> Answer:
    keys = issued(world)
    world.admin_client("iam").detach_role_policy(
        RoleName="KubernetesParameterStoreRole", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"
    )
    return get_parameter(world, keys)


def _outside_the_session_policy(world: World) -> Answer:
    keys = issued(world)
    world.aws.faults.set(FaultKind.DENIED_BY_SESSION_POLICY, scope=Scope.ALL)
    return get_parameter(world, keys)


def _trusting(world: World, arn: str) -> Answer:
    statement = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    return _iam(world, "CreateRole", RoleName="Next", AssumeRolePolicyDocument=document)


def _made(world: World, role: str) -> World:
    world.set_up_trust(role=role)
    return world


def _long_policy(world: World) -> Answer:
    world.set_up_trust()
    return _iam(
        world, "PutRolePolicy", RoleName="KubernetesParameterStoreRole", PolicyName="long", PolicyDocument="x" * 10_241
    )


_TARGET = {"X-Amz-Target": "AmazonSSM.GetParameter", "Content-Type": "application/x-amz-json-1.1"}
_CASES: dict[Reason, Callable[[World], Answer]] = {
    Reason.INVALID_PARAMETER: lambda w: web_identity(w, w.issuer.mint(), DurationSeconds="899"),
    Reason.INVALID_ARN: lambda w: web_identity(w, w.issuer.mint(), RoleArn="arn:aws:iam::123456789012:user/x"),
    Reason.NOT_A_JWT: lambda w: web_identity(w, "no-token"),
    Reason.MISSING_CLAIM: _without_audience,
    Reason.NO_PROVIDER: lambda w: web_identity(w, w.issuer.mint()),
    Reason.NO_VERIFICATION_KEY: lambda w: _down(_trusted(w)),
    Reason.THUMBPRINT_MISMATCH: lambda w: _other_certificate(_trusted(w)),
    Reason.TOKEN_SIGNATURE: lambda w: web_identity(_trusted(w), tamper_signature(w.issuer.mint())),
    Reason.TOKEN_EXPIRED: lambda w: web_identity(_trusted(w), w.issuer.mint(now=w.clock() - 7200)),
    Reason.TOKEN_NOT_YET_VALID: lambda w: web_identity(_trusted(w), w.issuer.mint(now=w.clock() + 60)),
    Reason.WRONG_AUDIENCE: lambda w: web_identity(_trusted(w), w.issuer.mint(audience="vault")),
    Reason.WEB_IDENTITY_DENIED: lambda w: web_identity(_trusted(w), w.issuer.mint(service_account="x")),
    Reason.DENIED_BY_POLICY: lambda w: _fault(_trusted(w), FaultKind.DENIED_BY_RCP),
    Reason.DURATION_OVER_ROLE_MAXIMUM: lambda w: web_identity(_trusted(w), w.issuer.mint(), DurationSeconds="3601"),
    Reason.NOT_AUTHORIZED: lambda w: _assume(w, RoleArn="arn:aws:iam::123456789012:role/Absent"),
    Reason.DURATION_OVER_CHAINING_LIMIT: lambda w: _assume(w, DurationSeconds="3601"),
    Reason.IDP_COMMUNICATION: lambda w: _fault(w, FaultKind.IDP_COMMUNICATION_ERROR),
    Reason.THROTTLED: lambda w: _fault(w, FaultKind.THROTTLE),
    Reason.UNAVAILABLE: lambda w: _fault(w, FaultKind.SERVICE_UNAVAILABLE),
    Reason.REGION_DISABLED: lambda w: _fault(w, FaultKind.REGION_DISABLED),
    Reason.POLICY_TOO_LARGE: lambda w: _fault(w, FaultKind.POLICY_TOO_LARGE),
    Reason.MISSING_AUTHENTICATION: lambda w: query(w, IDENTITY),
    Reason.INCOMPLETE_SIGNATURE: lambda w: _malformed(w, {}),
    Reason.UNKNOWN_KEY: lambda w: signed(w, replace(w.aws.admin, access_key_id="AKIAX"), IDENTITY),
    Reason.EXPIRED_KEY: lambda w: signed(_expired(w), w.aws.issued()[0], IDENTITY),
    Reason.SIGNATURE_MISMATCH: lambda w: signed(w, replace(w.aws.admin, secret_access_key="x"), IDENTITY),
    Reason.INVALID_ACTION: lambda w: signed(w, w.aws.admin, {**IDENTITY, "Action": "GetSessionToken"}),
    Reason.MISSING_AUTHENTICATION_JSON: lambda w: send(w, b"{}", _TARGET),
    Reason.INCOMPLETE_SIGNATURE_JSON: lambda w: _malformed(w, _TARGET),
    Reason.UNKNOWN_KEY_JSON: lambda w: get_parameter(w, replace(w.aws.admin, access_key_id="AKIAX")),
    Reason.EXPIRED_KEY_JSON: lambda w: get_parameter(_expired(w), w.aws.issued()[0]),
    Reason.SIGNATURE_MISMATCH_JSON: lambda w: get_parameter(w, replace(w.aws.admin, secret_access_key="x")),
    Reason.NOT_AUTHORIZED_JSON: _no_policy,
    Reason.DENIED_BY_POLICY_JSON: _outside_the_session_policy,
    Reason.INVALID_PROVIDER: lambda w: _iam(w, "CreateOpenIDConnectProvider", Url="https://issuer.test:443"),
    Reason.OVER_QUOTA: lambda w: _iam(
        w,
        "CreateOpenIDConnectProvider",
        Url="https://issuer.test",
        **{f"ClientIDList.member.{i}": "client" for i in range(1, 102)},
    ),
    Reason.INLINE_POLICIES_TOO_LONG: _long_policy,
    Reason.NO_SUCH_PRINCIPAL: lambda w: _trusting(w, "arn:aws:iam::123456789012:role/Absent"),
    Reason.NAME_IN_USE: lambda w: _trusting(_made(w, "NEXT"), "123456789012"),
    Reason.NO_SUCH_ROLE: lambda w: _iam(w, "SimulatePrincipalPolicy", PolicySourceArn=ROLE_ARN),
    Reason.NO_SUCH_PROVIDER: lambda w: _iam(
        w, "AddClientIDToOpenIDConnectProvider", OpenIDConnectProviderArn=_PROVIDER_ARN, ClientID="vault"
    ),
}


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name.lower())
def test_an_error_response_has_the_code_status_and_message_of_its_row(fresh_world: World, reason: Reason) -> None:
    row = TABLE[reason]
    answer = _CASES[reason](fresh_world)
    message = re.sub(r"\\\{\w+\\\}", ".*", re.escape(row.message))
    assert (answer.status, answer.code) == (row.status, row.code)
    if answer.headers["content-type"] == "application/x-amz-json-1.1":
        assert re.fullmatch(message, json.loads(answer.body)["message"])
    else:
        assert re.fullmatch(message, answer.element("Message"))
        assert answer.element("Type") == ("Receiver" if row.status >= 500 else "Sender")
        assert answer.element("RequestId") == answer.headers["x-amzn-requestid"]
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-amzn-requestid"])
    assert answer.headers["date"].endswith("GMT")


def test_the_table_has_a_row_for_every_reason() -> None:
    assert set(TABLE) == set(Reason)


def test_every_reason_is_raised_somewhere_outside_the_table() -> None:
    code = "".join(path.read_text() for path in _SOURCES.glob("*.py") if path.name != "errors.py")
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in code] == []


def test_error_responses_are_written_in_one_module() -> None:
    writers = [path.name for path in _SOURCES.glob("*.py") if re.search(r"<Code>|__type", path.read_text())]
    assert writers == ["wire.py"]


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name.lower())
def test_each_row_has_a_public_source(reason: Reason) -> None:
    assert TABLE[reason].source.startswith("https://")
    assert TABLE[reason].message_source == UNSOURCED or TABLE[reason].message_source.startswith("https://")


def test_an_error_body_has_the_bytes_that_sts_sends(fresh_world: World) -> None:
    answer = web_identity(fresh_world, fresh_world.issuer.mint())
    assert answer.text == (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n'
        "  <Error>\n"
        "    <Type>Sender</Type>\n"
        "    <Code>InvalidIdentityToken</Code>\n"
        "    <Message>No OpenIDConnect provider found in your account for https://issuer.test</Message>\n"
        "  </Error>\n"
        f"  <RequestId>{answer.headers['x-amzn-requestid']}</RequestId>\n"
        "</ErrorResponse>\n"
    )
    assert answer.headers["content-type"] == "text/xml"


def test_an_iam_error_has_the_xml_namespace_of_iam(fresh_world: World) -> None:
    answer = _iam(fresh_world, "CreateOpenIDConnectProvider", Url="http://issuer.test")
    assert 'xmlns="https://iam.amazonaws.com/doc/2010-05-08/"' in answer.text


def test_markup_in_a_message_is_escaped() -> None:
    body = error_response(AwsError(Reason.NO_PROVIDER, issuer="<&\x00>"), "sts").body
    assert b"for &lt;&amp;?&gt;</Message>" in body


def test_each_mismatch_with_a_trust_policy_and_an_unknown_role_get_the_same_response(fresh_world: World) -> None:
    world = _trusted(fresh_world)
    iam = world.admin_client("iam")
    good = world.issuer.mint()
    answers = [
        web_identity(world, good, RoleArn="arn:aws:iam::123456789012:role/Absent"),
        web_identity(world, world.issuer.mint(service_account="other")),
        web_identity(world, world.issuer.mint(namespace="other")),
    ]
    usual = trust_policy(_PROVIDER_ARN, audience="sts.amazonaws.com", subject="system:serviceaccount:default:x")
    changes: list[dict[str, object]] = [
        {"Effect": "Deny"},
        {"Action": "sts:AssumeRole"},
        {"Principal": {"Federated": _PROVIDER_ARN + "x"}},
        {"Condition": {"StringEquals": {"issuer.test:aud": "vault"}}},
        {"Condition": {"Bool": {"issuer.test:aud": "sts.amazonaws.com"}}},
        {"Condition": {"StringEquals": {"issuer.test:email": "x"}}},
    ]
    for change in changes:
        statement = {**usual["Statement"][0], "Condition": {}, **change}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.update_assume_role_policy(RoleName="KubernetesParameterStoreRole", PolicyDocument=document)
        answers.append(web_identity(world, good))
    assert {answer.without_request_id for answer in answers} == {answers[0].without_request_id}
    assert answers[0].code == "AccessDenied"
    assert len({answer.headers["x-amzn-requestid"] for answer in answers}) == len(answers)


def test_a_denial_by_an_unnamed_policy_has_the_same_response_as_a_denial_by_the_trust_policy(
    fresh_world: World,
) -> None:
    world = _trusted(fresh_world)
    of_trust_policy = web_identity(world, world.issuer.mint(namespace="other"))
    world.aws.faults.set(FaultKind.DENIED)
    assert web_identity(world, world.issuer.mint()).without_request_id == of_trust_policy.without_request_id


@pytest.mark.parametrize("kind", [FaultKind.DENIED, FaultKind.DENIED_BY_RCP])
def test_a_tampered_token_is_rejected_before_policies_are_evaluated(fresh_world: World, kind: FaultKind) -> None:
    world = _trusted(fresh_world)
    world.aws.faults.set(kind)
    assert web_identity(world, tamper_signature(world.issuer.mint())).code == "InvalidIdentityToken"


def test_each_cause_of_a_missing_key_gets_the_same_response(fresh_world: World) -> None:
    world = _trusted(fresh_world)
    issuer = world.issuer
    claims = {"iat": 1, "exp": 2, "aud": "sts.amazonaws.com", "iss": issuer.url, "sub": "s"}
    answers = [
        web_identity(world, issuer.sign_with_unknown_key(claims)),
        web_identity(world, issuer.sign(claims, {"kid": None})),
    ]
    issuer.advertised_issuer = "https://other.test"
    answers.append(web_identity(world, issuer.mint()))
    issuer.reset()
    issuer.jwks_uri = "https://elsewhere.test/openid/v1/jwks"
    answers.append(web_identity(world, issuer.mint()))
    issuer.jwks_uri = issuer.url + "/absent"
    answers.append(web_identity(world, issuer.mint()))
    issuer.jwks_uri = "http://issuer.test/openid/v1/jwks"
    answers.append(web_identity(world, issuer.mint()))
    issuer.reset()
    issuer.down = True
    answers.append(web_identity(world, issuer.mint()))
    assert {answer.without_request_id for answer in answers} == {answers[0].without_request_id}
    assert "identity provider,  please reference" in answers[0].text


def test_a_provider_of_another_account_is_not_found(fresh_world: World) -> None:
    world = _trusted(fresh_world)
    answer = web_identity(world, world.issuer.mint(), RoleArn=ROLE_ARN.replace("123456789012", "210987654321"))
    assert answer.element("Message").startswith("No OpenIDConnect provider found")


def test_the_error_for_a_token_of_an_unregistered_issuer_names_the_issuer(fresh_world: World) -> None:
    world = _trusted(fresh_world)
    other = Issuer("https://other.test")
    answer = web_identity(world, other.mint())
    assert answer.element("Message").endswith("for https://other.test")
