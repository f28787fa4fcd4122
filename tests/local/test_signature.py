"""Signature Version 4: signed parts are verified, and requests with unsigned parts are rejected."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from examples.local.world import World
from tests.local.calls import (
    IDENTITY,
    Answer,
    aws_error,
    get_parameter,
    issued,
    query,
    send,
    session,
    signed,
    signed_headers,
    web_identity,
)

_BODY = urlencode(IDENTITY).encode()


def _identity(world: World, change: Callable[[dict[str, str]], None]) -> Answer:
    headers = signed_headers(world, world.aws.admin, _BODY)
    change(headers)
    return send(world, _BODY, headers)


def test_a_signed_request_is_accepted(fresh_world: World) -> None:
    assert signed(fresh_world, fresh_world.aws.admin, IDENTITY).status == 200


def test_a_request_signed_with_a_wrong_secret_is_rejected(fresh_world: World) -> None:
    keys = issued(fresh_world)
    tampered = keys.secret_access_key[:-1] + ("A" if keys.secret_access_key[-1] != "A" else "B")
    answer = signed(fresh_world, replace(keys, secret_access_key=tampered), IDENTITY)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    answer = get_parameter(fresh_world, replace(keys, secret_access_key=tampered))
    assert (answer.status, answer.code) == (400, "InvalidSignatureException")


@pytest.mark.parametrize("token", ["", "another"])
def test_a_key_with_a_wrong_or_missing_session_token_is_unknown(fresh_world: World, token: str) -> None:
    keys = replace(issued(fresh_world), session_token=token)
    assert signed(fresh_world, keys, IDENTITY).code == "InvalidClientTokenId"
    assert get_parameter(fresh_world, keys).code == "UnrecognizedClientException"


def test_a_body_that_was_not_signed_is_rejected(fresh_world: World) -> None:
    headers = signed_headers(fresh_world, fresh_world.aws.admin, _BODY)
    other = urlencode({**IDENTITY, "Action": "AssumeRole"}).encode()
    assert send(fresh_world, other, headers).code == "SignatureDoesNotMatch"


def test_a_signed_hash_of_another_body_is_rejected(fresh_world: World) -> None:
    for stated, status in ((hashlib.sha256(_BODY).hexdigest(), 200), (hashlib.sha256(b"").hexdigest(), 403)):
        extra = {"X-Amz-Content-SHA256": stated}
        headers = signed_headers(fresh_world, fresh_world.aws.admin, _BODY, headers=extra)
        assert send(fresh_world, _BODY, headers).status == status


def test_a_path_query_or_method_that_was_not_signed_is_rejected(fresh_world: World) -> None:
    headers = signed_headers(fresh_world, fresh_world.aws.admin, _BODY)
    assert send(fresh_world, _BODY, headers, path="/other").code == "SignatureDoesNotMatch"
    assert send(fresh_world, _BODY, headers, path="/?x=1").code == "SignatureDoesNotMatch"
    assert send(fresh_world, _BODY, headers, method="PUT").code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda h: h.update({"X-Amz-Date": h["X-Amz-Date"][:-1]}), "SignatureDoesNotMatch"),
        (lambda h: h.update({"X-Amz-Date": "20000101T000000Z"}), "IncompleteSignature"),
        (lambda h: h.pop("X-Amz-Date"), "IncompleteSignature"),
        (lambda h: h.update({"X-Amz-Meta": "unsigned"}), "SignatureDoesNotMatch"),
        (lambda h: h.update({"X-Amz-Content-SHA256": "0" * 64}), "SignatureDoesNotMatch"),
        (lambda h: h.update({"Authorization": "Basic YTpi"}), "IncompleteSignature"),
        (lambda h: h.update({"Authorization": h["Authorization"].replace("/sts/", "/iam/")}), "SignatureDoesNotMatch"),
        (lambda h: h.update({"Authorization": h["Authorization"].replace("host;", "")}), "SignatureDoesNotMatch"),
        (
            lambda h: h.update({"Authorization": h["Authorization"].replace("host;", "host;x-gone;")}),
            "SignatureDoesNotMatch",
        ),
    ],
)
def test_an_altered_header_is_rejected(fresh_world: World, change: Callable[[dict[str, str]], None], code: str) -> None:
    assert _identity(fresh_world, change).code == code


def test_a_signature_for_one_service_is_rejected_by_another(fresh_world: World) -> None:
    answer = signed(fresh_world, fresh_world.aws.admin, {"Action": "ListRoles", "Version": "2010-05-08"})
    assert answer.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("parameters", [{}, {"Action": "ListRoles"}, {"Action": "Run", "Version": "2016-11-15"}])
def test_a_request_for_an_unknown_service_is_rejected(fresh_world: World, parameters: dict[str, str]) -> None:
    answer = query(fresh_world, parameters)
    assert (answer.status, answer.code) == (400, "InvalidAction")


def test_issued_credentials_read_parameters_only_while_the_role_has_a_policy(fresh_world: World) -> None:
    world = fresh_world
    world.admin_client("ssm").put_parameter(Name="/demo/image", Value="ami-1", Type="String")
    keys = issued(world)
    assert json.loads(get_parameter(world, keys).body)["Parameter"]["Value"] == "ami-1"
    world.admin_client("iam").detach_role_policy(
        RoleName="KubernetesParameterStoreRole", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"
    )
    assert get_parameter(world, keys).code == "AccessDeniedException"


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ("arn:aws:ssm:*:123456789012:parameter/demo/*", "ParameterNotFound"),
        ("arn:aws:ssm:*:123456789012:parameter/other/*", "AccessDeniedException"),
    ],
)
def test_a_policy_for_some_parameters_allows_only_those(fresh_world: World, resource: str, code: str) -> None:
    keys = issued(fresh_world)
    iam = fresh_world.admin_client("iam")
    role = "KubernetesParameterStoreRole"
    iam.detach_role_policy(RoleName=role, PolicyArn="arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess")
    statement = {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": resource}
    iam.put_role_policy(
        RoleName=role,
        PolicyName="some",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )
    client = session(keys).client("ssm", endpoint_url=fresh_world.aws.url)
    with aws_error(code):
        client.get_parameter(Name="/demo/image")
    client.close()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"Name": 7}'])
def test_the_resource_of_a_body_without_a_parameter_name_is_a_wildcard(fresh_world: World, body: bytes) -> None:
    statement = {"Effect": "Allow", "Action": "ssm:*", "Resource": "arn:aws:ssm:*:*:parameter/demo/*"}
    keys = issued(fresh_world)
    iam = fresh_world.admin_client("iam")
    role = "KubernetesParameterStoreRole"
    iam.detach_role_policy(RoleName=role, PolicyArn="arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess")
    iam.put_role_policy(
        RoleName=role,
        PolicyName="some",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )
    assert get_parameter(fresh_world, keys, body).code == "AccessDeniedException"


def test_the_admin_key_is_new_in_each_world(fresh_world: World) -> None:
    admin = fresh_world.aws.admin
    assert admin.access_key_id.startswith("AKIA")
    assert len(admin.secret_access_key) == 40
    assert admin.secret_access_key not in repr(admin)


def test_a_web_identity_call_needs_no_signature_and_ignores_a_wrong_one(fresh_world: World) -> None:
    fresh_world.set_up_trust()
    parameters = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::123456789012:role/KubernetesParameterStoreRole",
        "RoleSessionName": "test-session",
        "WebIdentityToken": fresh_world.issuer.mint(),
    }
    unknown = replace(fresh_world.aws.admin, access_key_id="AKIAX")
    assert signed(fresh_world, unknown, parameters).status == 200
    assert web_identity(fresh_world, fresh_world.issuer.mint()).status == 200


def test_parameters_in_the_query_string_are_accepted(fresh_world: World) -> None:
    fresh_world.set_up_trust()
    parameters = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::123456789012:role/KubernetesParameterStoreRole",
        "RoleSessionName": "test-session",
        "WebIdentityToken": fresh_world.issuer.mint(),
    }
    assert send(fresh_world, b"", {}, method="GET", path="/?" + urlencode(parameters)).status == 200
