"""AssumeRoleWithWebIdentity: accepted tokens, and the checks of parameters and tokens."""

import base64
import json
import time
from datetime import UTC, datetime

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from examples.local.faults import FaultKind
from examples.local.keys import base64url, tamper_payload, tamper_signature
from examples.local.records import CallRecord
from examples.local.world import World
from tests.local.calls import ROLE_ARN, aws_error, issued, session, web_identity


@pytest.fixture
def trusted(fresh_world: World) -> World:
    fresh_world.set_up_trust(max_session_seconds=43200)
    return fresh_world


def test_a_valid_token_gets_credentials_with_provider_audience_subject_and_role(trusted: World) -> None:
    before = int(trusted.clock())
    answer = web_identity(trusted, trusted.issuer.mint(), RoleSessionName="shoot-default-aws-test")
    assert answer.status == 200
    assert answer.element("Provider") == "arn:aws:iam::123456789012:oidc-provider/issuer.test"
    assert answer.element("Audience") == "sts.amazonaws.com"
    assert answer.element("SubjectFromWebIdentityToken") == "system:serviceaccount:default:aws-parameter-reader"
    assert answer.element("AssumedRoleId").endswith(":shoot-default-aws-test")
    assert answer.element("Arn").endswith(":assumed-role/KubernetesParameterStoreRole/shoot-default-aws-test")
    expires_at = datetime.fromisoformat(answer.element("Expiration")).astimezone(UTC).timestamp()
    assert before + 3600 <= expires_at <= trusted.clock() + 3600
    assert answer.headers["x-amzn-requestid"] == answer.element("ResponseMetadata").split("RequestId>")[1].split("<")[0]


def test_credentials_allow_reading_the_parameter_of_the_tutorial(trusted: World) -> None:
    trusted.admin_client("ssm").put_parameter(Name="/demo/image", Value="ami-05684a9a", Type="String")
    client = boto3.client(
        "sts",
        endpoint_url=trusted.aws.url,
        region_name="eu-central-1",
        config=Config(signature_version=UNSIGNED, proxies={}),
    )
    keys = client.assume_role_with_web_identity(
        RoleArn=ROLE_ARN, RoleSessionName="test-session", WebIdentityToken=trusted.issuer.mint()
    )["Credentials"]
    client.close()
    application = boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name="eu-central-1"
    )
    sts = application.client("sts", endpoint_url=trusted.aws.url)
    ssm = application.client("ssm", endpoint_url=trusted.aws.url)
    identity = sts.get_caller_identity()
    assert identity["Arn"] == ("arn:aws:sts::123456789012:assumed-role/KubernetesParameterStoreRole/test-session")
    assert identity["UserId"].startswith("AROA")
    assert ssm.get_parameter(Name="/demo/image")["Parameter"]["Value"] == "ami-05684a9a"
    with aws_error("AccessDeniedException"):
        ssm.put_parameter(Name="/demo/image", Value="x", Type="String", Overwrite=True)
    sts.close()
    ssm.close()


@pytest.mark.parametrize(
    ("parameter", "value", "constraint"),
    [
        ("RoleArn", None, "null"),
        ("RoleArn", "arn:aws:iam::1:role", "length greater than or equal to 20"),
        ("RoleArn", "arn:aws:iam::123456789012:role/" + "a" * 2048, "length less than or equal to 2048"),
        ("RoleSessionName", None, "null"),
        ("RoleSessionName", "a", "length greater than or equal to 2"),
        ("RoleSessionName", "a" * 65, "length less than or equal to 64"),
        ("RoleSessionName", "a b", "pattern"),
        ("RoleSessionName", "größe", "pattern"),
        ("WebIdentityToken", None, "null"),
        ("WebIdentityToken", "a.b", "length greater than or equal to 4"),
        ("WebIdentityToken", "a" * 20001, "length less than or equal to 20000"),
        ("DurationSeconds", "899", "value greater than or equal to 900"),
        ("DurationSeconds", "43201", "value less than or equal to 43200"),
        ("DurationSeconds", "1h", "integer"),
        ("Policy", "{" * 2049, "length less than or equal to 2048"),
    ],
)
def test_the_error_for_a_parameter_out_of_its_limits_names_it(
    trusted: World, parameter: str, value: str | None, constraint: str
) -> None:
    answer = web_identity(trusted, trusted.issuer.mint(), **{parameter: value})
    name = parameter[0].lower() + parameter[1:]
    assert (answer.status, answer.code) == (400, "ValidationError")
    assert answer.element("Message").startswith("1 validation error detected: ")
    assert f"at '{name}'" in answer.text
    assert constraint in answer.text


def test_one_error_names_all_parameters_out_of_their_limits(trusted: World) -> None:
    answer = web_identity(trusted, "a.b", RoleSessionName="a", DurationSeconds="1")
    assert answer.element("Message").startswith("3 validation errors detected: ")
    assert "a.b" not in answer.text


@pytest.mark.parametrize("seconds", [900, 3600, 43200])
def test_credentials_have_the_requested_lifetime(trusted: World, seconds: int) -> None:
    assert web_identity(trusted, trusted.issuer.mint(), DurationSeconds=str(seconds)).status == 200
    assert trusted.aws.issued()[0].expires_at == pytest.approx(trusted.clock() + seconds, abs=2)


def test_credentials_can_have_a_shorter_lifetime_than_requested(trusted: World) -> None:
    trusted.aws.max_lifetime_seconds = 5
    answer = web_identity(trusted, trusted.issuer.mint())
    expires_at = datetime.fromisoformat(answer.element("Expiration")).timestamp()
    assert expires_at == pytest.approx(trusted.clock() + 5, abs=2)
    assert trusted.aws.issued()[0].expires_at == expires_at


@pytest.mark.parametrize("past", [0, 290])
def test_a_token_is_accepted_up_to_five_minutes_after_its_expiration(trusted: World, past: int) -> None:
    assert web_identity(trusted, trusted.issuer.mint(now=trusted.clock() - 3600 - past)).status == 200


def test_a_token_is_rejected_five_minutes_after_its_expiration(trusted: World) -> None:
    answer = web_identity(trusted, trusted.issuer.mint(now=trusted.clock() - 3600 - 300))
    assert (answer.status, answer.code) == (400, "ExpiredTokenException")


def test_a_token_without_a_kid_does_not_match_a_published_key_without_a_kid(
    trusted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = trusted.issuer._keys[-1].jwk()
    del published["kid"]
    monkeypatch.setattr(trusted.issuer, "_jwks", lambda: json.dumps({"keys": [published]}).encode())
    now = int(trusted.clock())
    claims = {"iss": trusted.issuer.url, "sub": "s", "aud": "sts.amazonaws.com", "iat": now, "exp": now + 60}
    answer = web_identity(trusted, trusted.issuer.sign(claims, {"kid": None}))
    assert answer.element("Message").startswith("Couldn't retrieve verification key")


def test_an_altered_payload_is_rejected(trusted: World) -> None:
    token = trusted.issuer.mint(service_account="other")
    forged = tamper_payload(token, sub="system:serviceaccount:default:aws-parameter-reader")
    assert web_identity(trusted, forged).code == "InvalidIdentityToken"


def test_a_signature_of_another_key_with_a_known_kid_is_rejected(trusted: World) -> None:
    issuer = trusted.issuer
    now = int(trusted.clock())
    claims = issuer.claims(namespace="default", service_account="aws-parameter-reader", pod="p", node="n")
    claims |= {"aud": ["sts.amazonaws.com"], "iat": now, "nbf": now, "exp": now + 3600}
    assert web_identity(trusted, issuer.sign(claims)).status == 200
    forged = issuer.sign_with_unknown_key(claims, kid=issuer.kids[0])
    assert web_identity(trusted, forged).element("Message").startswith("The web identity token")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "PS256", "EdDSA", "rs256", None, 7])
def test_an_algorithm_that_aws_does_not_accept_is_rejected(trusted: World, algorithm: object) -> None:
    head, payload, signature = trusted.issuer.mint().split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    changed = base64url(json.dumps({**header, "alg": algorithm}).encode())
    answer = web_identity(trusted, f"{changed}.{payload}.{signature}")
    assert answer.element("Message").startswith("The ID Token provided is not a valid JWT.")


@pytest.mark.parametrize(
    "token",
    ["aaaa", "a.b.c.d", "....", "!!!.e30.aaaa", "e30.e30.", "bnVsbA.e30.aa", "e30.W10.aa", "{}.{}.{}", "e30.e30.ü"],
)
def test_a_value_that_is_not_a_jwt_is_rejected(trusted: World, token: str) -> None:
    assert web_identity(trusted, token).element("Message").startswith("The ID Token provided")


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat"])
def test_the_error_for_a_missing_claim_names_it(trusted: World, claim: str) -> None:
    claims = {"iss": "https://issuer.test", "sub": "s", "aud": "a", "exp": 1, "iat": 1}
    del claims[claim]
    answer = web_identity(trusted, trusted.issuer.sign(claims))
    assert answer.element("Message") == f"Missing a required claim: {claim}"


@pytest.mark.parametrize("expires_at", ["tomorrow", float("nan"), float("inf"), None, [1], 1e300])
def test_an_expiration_that_is_not_a_time_is_rejected(trusted: World, expires_at: object) -> None:
    claims = {"iss": "https://issuer.test", "sub": "s", "aud": "sts.amazonaws.com", "iat": 1}
    answer = web_identity(trusted, trusted.issuer.sign(claims | {"exp": expires_at}))
    assert answer.element("Message").startswith("The ID Token provided is not a valid JWT.")


def test_one_registered_audience_of_several_is_sufficient_and_the_trust_policy_gets_it(trusted: World) -> None:
    answer = web_identity(trusted, trusted.issuer.mint(audience=["vault", "sts.amazonaws.com"]))
    assert answer.element("Audience") == "sts.amazonaws.com"


def test_a_registered_audience_that_the_trust_policy_does_not_name_is_denied(trusted: World) -> None:
    iam = trusted.admin_client("iam")
    iam.add_client_id_to_open_id_connect_provider(
        OpenIDConnectProviderArn="arn:aws:iam::123456789012:oidc-provider/issuer.test", ClientID="vault"
    )
    assert web_identity(trusted, trusted.issuer.mint(audience="vault")).code == "AccessDenied"
    assert web_identity(trusted, trusted.issuer.mint(audience="consul")).code == "InvalidIdentityToken"


def test_tokens_of_the_old_key_are_accepted_until_the_key_is_retired(trusted: World) -> None:
    old = trusted.issuer.mint()
    trusted.issuer.rotate_key()
    new = trusted.issuer.mint()
    assert web_identity(trusted, old).status == 200
    assert web_identity(trusted, new).status == 200
    trusted.issuer.retire_old_keys()
    assert web_identity(trusted, new).status == 200
    assert web_identity(trusted, old).element("Message").startswith("Couldn't retrieve verification key")


def test_a_token_of_a_new_key_is_rejected_while_sts_has_a_stale_key_set(trusted: World) -> None:
    assert web_identity(trusted, trusted.issuer.mint()).status == 200
    trusted.aws.faults.set(FaultKind.STALE_JWKS)
    trusted.issuer.rotate_key()
    assert web_identity(trusted, trusted.issuer.mint()).code == "InvalidIdentityToken"
    trusted.aws.faults.clear()
    assert web_identity(trusted, trusted.issuer.mint()).status == 200


def test_a_reset_deletes_the_stale_key_set(trusted: World) -> None:
    assert web_identity(trusted, trusted.issuer.mint()).status == 200
    trusted.reset()
    trusted.set_up_trust()
    trusted.issuer.rotate_key()
    trusted.aws.faults.set(FaultKind.STALE_JWKS)
    assert web_identity(trusted, trusted.issuer.mint()).status == 200


def test_an_es256_key_is_accepted(trusted: World) -> None:
    trusted.issuer.rotate_key("ES256")
    assert web_identity(trusted, trusted.issuer.mint()).status == 200
    assert web_identity(trusted, tamper_signature(trusted.issuer.mint())).code == "InvalidIdentityToken"
    trusted.issuer.rotate_key()
    trusted.issuer.retire_old_keys()


def test_an_issuer_slower_than_the_timeout_is_unreachable(trusted: World) -> None:
    trusted.issuer.delay_seconds = 5
    trusted.aws.identity_providers.timeout_seconds = 0.2
    started = time.perf_counter()
    answer = web_identity(trusted, trusted.issuer.mint())
    assert answer.element("Message").startswith("Couldn't retrieve verification key")
    assert time.perf_counter() - started < 3


def test_calls_are_recorded_without_the_token(trusted: World) -> None:
    token = trusted.issuer.mint()
    web_identity(trusted, token)
    web_identity(trusted, token, RoleSessionName="x" * 100)
    first, second = trusted.aws.calls("AssumeRoleWithWebIdentity")
    assert first == CallRecord(first.at, "AssumeRoleWithWebIdentity", "ok", "test-session")
    assert (second.outcome, second.session_name) == ("ValidationError", "x" * 64)
    assert trusted.aws.calls("AssumeRole") == ()


def test_the_repr_of_credentials_has_no_secret(trusted: World) -> None:
    keys = issued(trusted)
    shown = repr(keys)
    assert keys.secret_access_key not in shown
    assert keys.session_token not in shown


def test_issued_credentials_are_rejected_after_their_expiration(trusted: World) -> None:
    keys = issued(trusted)
    client = session(keys).client("sts", endpoint_url=trusted.aws.url)
    client.get_caller_identity()
    trusted.clock.advance(3600)
    with aws_error("ExpiredToken"):
        client.get_caller_identity()
    client.close()
