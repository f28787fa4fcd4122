"""What the local AWS can be told to do wrong."""

import http.client
import json
import threading
import time
from datetime import datetime

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError
from botocore.parsers import ResponseParserError

from examples.local.faults import Fault, FaultKind, Faults, Scope
from examples.local.world import World
from tests.local.calls import IDENTITY, ROLE_ARN, Answer, get_parameter, issued, send, signed, web_identity


@pytest.fixture
def trusted(fresh_world: World) -> World:
    fresh_world.set_up_trust()
    return fresh_world


def _ask(world: World) -> Answer:
    return web_identity(world, world.issuer.mint())


def test_down_closes_the_connection_without_an_answer_and_leaves_ssm_working(trusted: World) -> None:
    keys = issued(trusted)
    trusted.aws.faults.set(FaultKind.DOWN)
    with pytest.raises(http.client.RemoteDisconnected):
        _ask(trusted)
    with pytest.raises(http.client.RemoteDisconnected):
        signed(trusted, keys, IDENTITY)
    assert get_parameter(trusted, keys).code == "ParameterNotFound"
    assert [call.outcome for call in trusted.aws.calls()] == ["ok", "fault:down", "fault:down"]
    trusted.aws.faults.clear()
    assert _ask(trusted).status == 200


def test_down_for_everything_takes_ssm_with_it(trusted: World) -> None:
    keys = issued(trusted)
    trusted.aws.faults.set(FaultKind.DOWN, scope=Scope.ALL)
    with pytest.raises(http.client.RemoteDisconnected):
        get_parameter(trusted, keys)


def test_a_fault_of_the_web_identity_call_leaves_the_rest_of_sts_alone(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.REFUSE_5XX, scope=Scope.WEB_IDENTITY)
    assert _ask(trusted).status == 503
    assert signed(trusted, trusted.aws.admin, IDENTITY).status == 200


def test_a_fault_can_be_over_after_some_calls(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.THROTTLE, times=2)
    assert [_ask(trusted).status for _ in range(3)] == [400, 400, 200]
    assert trusted.aws.faults.active() == ()


def test_a_throttled_call_is_what_an_sdk_retries(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.THROTTLE, times=1)
    config = Config(signature_version=UNSIGNED, proxies={}, retries={"total_max_attempts": 2})
    client = boto3.client("sts", endpoint_url=trusted.aws.url, region_name="eu-central-1", config=config)
    client.assume_role_with_web_identity(
        RoleArn=ROLE_ARN, RoleSessionName="retry", WebIdentityToken=trusted.issuer.mint()
    )
    client.close()
    outcomes = [call.outcome for call in trusted.aws.calls("AssumeRoleWithWebIdentity")]
    assert outcomes == ["Throttling", "ok"]


def test_slow_waits_and_then_answers(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.SLOW, seconds=0.3)
    started = time.perf_counter()
    assert _ask(trusted).status == 200
    assert time.perf_counter() - started >= 0.3


def test_an_expired_set_is_past_and_otherwise_whole(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.EXPIRED_SET)
    answer = _ask(trusted)
    assert datetime.fromisoformat(answer.element("Expiration")).timestamp() < trusted.clock() - 3500
    assert answer.element("SecretAccessKey")


def test_a_set_can_have_an_empty_secret(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.EMPTY_SECRET)
    assert _ask(trusted).element("SecretAccessKey") == ""


def test_a_set_can_lack_its_session_token(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.MISSING_FIELD)
    answer = _ask(trusted)
    assert answer.status == 200
    assert "SessionToken" not in answer.text


def test_a_set_can_expire_absurdly_late(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.FAR_EXPIRY)
    assert _ask(trusted).element("Expiration") == "9999-12-31T23:59:59Z"


def test_garbage_is_an_html_page_with_200(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.GARBAGE)
    answer = _ask(trusted)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_truncated_xml_has_a_content_length_that_fits(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.TRUNCATED)
    answer = _ask(trusted)
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
def test_a_fault_reaches_boto3_as_it_would_from_aws(trusted: World, kind: FaultKind, error: type[Exception]) -> None:
    trusted.aws.faults.set(kind)
    with pytest.raises(error):
        trusted.admin_client("sts").get_caller_identity()


def test_a_disabled_region_refuses_every_call(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.REGION_DISABLED, scope=Scope.ALL)
    assert web_identity(trusted, trusted.issuer.mint()).code == "RegionDisabledException"


def test_a_policy_can_be_too_large(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.POLICY_TOO_LARGE, times=1)
    assert web_identity(trusted, trusted.issuer.mint()).code == "PackedPolicyTooLarge"
    assert web_identity(trusted, trusted.issuer.mint()).status == 200


def test_every_kind_of_fault_has_a_test() -> None:
    seen = {
        *(FaultKind.DOWN, FaultKind.REFUSE_5XX, FaultKind.SLOW, FaultKind.THROTTLE),
        *(FaultKind.IDP_COMMUNICATION_ERROR, FaultKind.STALE_JWKS, FaultKind.EXPIRED_SET),
        *(FaultKind.EMPTY_SECRET, FaultKind.MISSING_FIELD, FaultKind.FAR_EXPIRY),
        *(FaultKind.GARBAGE, FaultKind.TRUNCATED, FaultKind.REGION_DISABLED, FaultKind.POLICY_TOO_LARGE),
    }
    assert seen == set(FaultKind)


def _control(world: World, method: str, name: str, document: object = None, kind: str = "application/json") -> Answer:
    body = b"" if document is None else json.dumps(document).encode()
    return send(world, body, {"Content-Type": kind}, method=method, path=f"/_local/{name}")


def test_another_process_sets_shows_and_clears_faults_over_http(trusted: World) -> None:
    fault = {"kind": "slow", "scope": "web_identity", "seconds": 0.01, "times": None}
    assert json.loads(_control(trusted, "POST", "faults", {"faults": [fault]}).body) == {"faults": [fault]}
    assert trusted.aws.faults.active() == (Fault(FaultKind.SLOW, Scope.WEB_IDENTITY, 0.01),)
    assert json.loads(_control(trusted, "GET", "faults").body) == {"faults": [fault]}
    assert json.loads(_control(trusted, "DELETE", "faults").body) == {"faults": []}
    assert trusted.aws.faults.active() == ()


def test_another_process_reads_the_calls_over_http(trusted: World) -> None:
    _ask(trusted)
    (call,) = json.loads(_control(trusted, "GET", "calls").body)["calls"]
    assert call["operation"] == "AssumeRoleWithWebIdentity"
    assert set(call) == {"at", "operation", "outcome", "session_name"}


def test_the_control_path_works_while_everything_is_down(trusted: World) -> None:
    trusted.aws.faults.set(FaultKind.DOWN, scope=Scope.ALL)
    assert _control(trusted, "DELETE", "faults").status == 200
    assert _ask(trusted).status == 200


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
def test_a_malformed_fault_is_refused_and_changes_nothing(trusted: World, document: object) -> None:
    trusted.aws.faults.set(FaultKind.SLOW)
    assert _control(trusted, "POST", "faults", document).status == 400
    assert trusted.aws.faults.active() == (Fault(FaultKind.SLOW),)


def test_the_control_path_takes_nothing_that_a_web_page_could_send(trusted: World) -> None:
    fault = {"faults": [{"kind": "down"}]}
    assert _control(trusted, "POST", "faults", fault, "text/plain").status == 415
    assert _control(trusted, "PUT", "faults", fault).status == 404
    assert _control(trusted, "GET", "secrets").status == 404
    assert trusted.aws.faults.active() == ()


def test_a_fault_that_is_counted_hits_exactly_so_often_from_many_threads() -> None:
    faults = Faults()
    faults.set(FaultKind.DOWN, times=50)
    hits: list[bool] = []

    def call() -> None:
        hits.extend(bool(faults.strike(service="sts", operation="AssumeRole")) for _ in range(50))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(hits) == 50
