"""The faults that the local AWS can inject."""

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError
from botocore.parsers import ResponseParserError

from examples.local.denials import TEXTS
from examples.local.faults import Fault, FaultKind, Faults, Scope
from examples.local.world import World
from tests.local.calls import IDENTITY, ROLE_ARN, Answer, get_parameter, issued, send, signed, web_identity


@pytest.fixture
def trusted(fresh_world: World) -> World:
    fresh_world.set_up_trust()
    return fresh_world


def _exchange(world: World) -> Answer:
    return web_identity(world, world.issuer.mint())


def test_down_closes_the_connection_without_a_response_and_does_not_affect_ssm(trusted: World) -> None:
    keys = issued(trusted)
    trusted.aws.faults.set(FaultKind.DOWN)
    with pytest.raises(http.client.RemoteDisconnected):
        _exchange(trusted)
    with pytest.raises(http.client.RemoteDisconnected):
        signed(trusted, keys, IDENTITY)
    assert get_parameter(trusted, keys).code == "ParameterNotFound"
    assert [call.outcome for call in trusted.aws.calls()] == ["ok", "fault:down", "fault:down"]
    trusted.aws.faults.clear()
    assert _exchange(trusted).status == 200


def test_down_with_scope_all_affects_ssm(trusted: World) -> None:
    keys = issued(trusted)
    trusted.aws.faults.set(FaultKind.DOWN, scope=Scope.ALL)
    with pytest.raises(http.client.RemoteDisconnected):
        get_parameter(trusted, keys)


def test_a_fault_with_scope_web_identity_does_not_affect_other_operations(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.SERVICE_UNAVAILABLE, scope=Scope.WEB_IDENTITY)
    assert _exchange(trusted).status == 503
    assert signed(trusted, trusted.aws.admin, IDENTITY).status == 200


def test_a_fault_with_times_ends_after_that_many_calls(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.THROTTLE, times=2)
    assert [_exchange(trusted).status for _ in range(3)] == [400, 400, 200]
    assert trusted.aws.faults.active() == ()


def test_an_sdk_retries_a_throttled_call(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.THROTTLE, times=1)
    config = Config(signature_version=UNSIGNED, proxies={}, retries={"total_max_attempts": 2})
    client = boto3.client("sts", endpoint_url=trusted.aws.url, region_name="eu-central-1", config=config)
    client.assume_role_with_web_identity(
        RoleArn=ROLE_ARN, RoleSessionName="retry", WebIdentityToken=trusted.issuer.mint()
    )
    client.close()
    outcomes = [call.outcome for call in trusted.aws.calls("AssumeRoleWithWebIdentity")]
    assert outcomes == ["Throttling", "ok"]


def test_slow_delays_the_response(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.SLOW, seconds=0.3)
    started = time.perf_counter()
    assert _exchange(trusted).status == 200
    assert time.perf_counter() - started >= 0.3


def test_a_slow_call_from_before_a_reset_is_not_recorded_after_it(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.SLOW, seconds=0.5)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(_exchange, trusted)
        time.sleep(0.2)
        trusted.aws.reset()
        assert slow.result().status == 400, "the call is checked against the state after the reset"
    assert trusted.aws.calls() == ()


def test_expired_credentials_have_a_past_expiration_and_a_secret(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.EXPIRED_CREDENTIALS)
    answer = _exchange(trusted)
    assert datetime.fromisoformat(answer.element("Expiration")).timestamp() < trusted.clock() - 3500
    assert answer.element("SecretAccessKey")


def test_credentials_can_have_an_empty_secret(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.EMPTY_SECRET)
    assert _exchange(trusted).element("SecretAccessKey") == ""


def test_credentials_can_have_no_session_token(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.MISSING_FIELD)
    answer = _exchange(trusted)
    assert answer.status == 200
    assert "SessionToken" not in answer.text


def test_credentials_can_expire_in_the_year_9999(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.FAR_EXPIRY)
    assert _exchange(trusted).element("Expiration") == "9999-12-31T23:59:59Z"


def test_garbage_is_an_html_page_with_200(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.GARBAGE)
    answer = _exchange(trusted)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_truncated_xml_has_a_content_length_that_fits(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.TRUNCATED)
    answer = _exchange(trusted)
    assert answer.status == 200
    assert "</AssumeRoleWithWebIdentityResponse>" not in answer.text


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.DOWN, ConnectionClosedError),
        (FaultKind.GARBAGE, KeyError),
        (FaultKind.TRUNCATED, ResponseParserError),
    ],
)
def test_a_fault_raises_an_error_in_boto3(trusted: World, kind: FaultKind, error: type[Exception]) -> None:
    trusted.aws.faults.set(kind)
    with pytest.raises(error):
        trusted.admin_client("sts").get_caller_identity()


def test_a_disabled_region_rejects_calls(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.REGION_DISABLED, scope=Scope.ALL)
    assert web_identity(trusted, trusted.issuer.mint()).code == "RegionDisabledException"


def test_a_policy_can_be_too_large(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.POLICY_TOO_LARGE, times=1)
    assert web_identity(trusted, trusted.issuer.mint()).code == "PackedPolicyTooLarge"
    assert web_identity(trusted, trusted.issuer.mint()).status == 200


@pytest.mark.parametrize("kind", [FaultKind.DENIED, FaultKind.DENIED_BY_RCP, FaultKind.DENIED_BY_ENDPOINT_POLICY])
def test_a_token_can_be_denied_although_the_trust_policy_allows_it(trusted: World, kind: FaultKind) -> None:
    trusted.aws.faults.set(kind, times=1)
    assert _exchange(trusted).code == "AccessDenied"
    assert _exchange(trusted).status == 200


_WORDS = {
    FaultKind.DENIED_BY_RCP: "with an explicit deny in a resource control policy",
    FaultKind.DENIED_BY_SCP: "with an explicit deny in a service control policy",
    FaultKind.DENIED_BY_ENDPOINT_POLICY: "because no VPC endpoint policy allows the sts:AssumeRole action",
    FaultKind.DENIED_BY_BOUNDARY: "because no permissions boundary allows the sts:AssumeRole action",
    FaultKind.DENIED_BY_SESSION_POLICY: "because no session policy allows the sts:AssumeRole action",
}


@pytest.mark.parametrize("kind", list(TEXTS))
def test_a_signed_request_can_be_denied_by_each_kind_of_policy_in_the_words_of_aws(
    trusted: World, kind: FaultKind
) -> None:
    trusted.set_up_trust(role="First")
    assert web_identity(trusted, trusted.issuer.mint(), RoleArn="arn:aws:iam::123456789012:role/First").status == 200
    keys = trusted.aws.issued()[-1]
    iam = trusted.admin_client("iam")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:role/First"},
        "Action": "sts:AssumeRole",
    }
    iam.create_role(RoleName="Next", AssumeRolePolicyDocument=json.dumps({"Statement": statement}))
    wanted = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleSessionName": "next"}
    wanted["RoleArn"] = "arn:aws:iam::123456789012:role/Next"
    trusted.aws.faults.set(kind, times=1)
    denied = signed(trusted, keys, wanted)
    assert denied.element("Message") == (
        "User: arn:aws:sts::123456789012:assumed-role/First/test-session is not authorized to perform: sts:AssumeRole "
        f"on resource: arn:aws:iam::123456789012:role/Next {_WORDS[kind]}"
    )
    assert signed(trusted, keys, wanted).status == 200


@pytest.mark.parametrize(
    "kind", [FaultKind.DENIED_BY_SCP, FaultKind.DENIED_BY_BOUNDARY, FaultKind.DENIED_BY_SESSION_POLICY]
)
def test_policies_of_principals_do_not_apply_to_a_token(trusted: World, kind: FaultKind) -> None:
    trusted.aws.faults.set(kind)
    assert _exchange(trusted).status == 200


def test_every_kind_of_fault_has_a_test() -> None:
    seen = {
        *(FaultKind.DOWN, FaultKind.SERVICE_UNAVAILABLE, FaultKind.SLOW, FaultKind.THROTTLE),
        *(FaultKind.IDP_COMMUNICATION_ERROR, FaultKind.STALE_JWKS, FaultKind.EXPIRED_CREDENTIALS),
        *(FaultKind.EMPTY_SECRET, FaultKind.MISSING_FIELD, FaultKind.FAR_EXPIRY),
        *(FaultKind.GARBAGE, FaultKind.TRUNCATED, FaultKind.REGION_DISABLED, FaultKind.POLICY_TOO_LARGE),
        *(FaultKind.DENIED, *TEXTS),
    }
    assert seen == set(FaultKind)


def _control(world: World, method: str, name: str, document: object = None, kind: str = "application/json") -> Answer:
    body = b"" if document is None else json.dumps(document).encode()
    return send(world, body, {"Content-Type": kind}, method=method, path=f"/_local/{name}")


def test_faults_are_set_shown_and_cleared_over_http(trusted: World) -> None:
    fault = {"kind": "slow", "scope": "web_identity", "seconds": 0.01, "times": None}
    assert json.loads(_control(trusted, "POST", "faults", {"faults": [fault]}).body) == {"faults": [fault]}
    assert trusted.aws.faults.active() == (Fault(FaultKind.SLOW, Scope.WEB_IDENTITY, 0.01),)
    assert json.loads(_control(trusted, "GET", "faults").body) == {"faults": [fault]}
    assert json.loads(_control(trusted, "DELETE", "faults").body) == {"faults": []}
    assert trusted.aws.faults.active() == ()


def test_the_calls_are_read_over_http(trusted: World) -> None:
    _exchange(trusted)
    (call,) = json.loads(_control(trusted, "GET", "calls").body)["calls"]
    assert call["operation"] == "AssumeRoleWithWebIdentity"
    assert set(call) == {"at", "operation", "outcome", "session_name"}


def test_the_control_path_works_while_all_services_are_down(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.DOWN, scope=Scope.ALL)
    assert _control(trusted, "DELETE", "faults").status == 200
    assert _exchange(trusted).status == 200


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"faults": 7},
        {"faults": ["down"]},
        {"faults": [{}]},
        {"faults": [{"kind": "no"}]},
        {"faults": [{"kind": "down", "scope": "no"}]},
        {"faults": [{"kind": "slow", "seconds": "1"}]},
        {"faults": [{"kind": "slow", "times": 1.5}]},
        {"faults": [{"kind": "slow", "second": 1}]},
    ],
)
def test_a_malformed_fault_is_rejected_and_changes_nothing(trusted: World, document: object) -> None:
    trusted.aws.faults.set(FaultKind.SLOW)
    assert _control(trusted, "POST", "faults", document).status == 400
    assert trusted.aws.faults.active() == (Fault(FaultKind.SLOW),)


def test_the_control_path_rejects_requests_that_a_web_page_could_send(trusted: World) -> None:
    fault = {"faults": [{"kind": "down"}]}
    assert _control(trusted, "POST", "faults", fault, "text/plain").status == 415
    assert _control(trusted, "PUT", "faults", fault).status == 404
    assert _control(trusted, "GET", "secrets").status == 404
    assert trusted.aws.faults.active() == ()


def test_a_fault_with_times_applies_to_exactly_that_many_calls_of_many_threads() -> None:
    faults = Faults()
    faults.set(FaultKind.DOWN, times=50)
    hits: list[bool] = []

    def call() -> None:
        hits.extend(bool(faults.hits(service="sts", operation="AssumeRole")) for _ in range(50))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(hits) == 50
