"""Several roles in one pod: paths, auth tokens, chaining; the real process against the strict AWS."""

from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.process import Sidecar
from examples.local.world import World
from tests.functional.profiles_pod import Pod

Run = Callable[..., Sidecar]


def test_each_profile_has_its_role_and_a_chained_role_uses_its_source(pod: Pod) -> None:
    for name in ("base", "reader", "writer"):
        pod.sidecar.wait_for("credentials_refreshed", profile=name)
    assert pod.arn("reader") == "Reader/default-aws-test"
    assert pod.arn("writer") == "KubernetesParameterStoreRole/the-writer"
    assert pod.sidecar.admin("/readyz").status == 200


def test_there_is_one_sts_request_for_each_role(pod: Pod) -> None:
    pod.sidecar.wait_for("credentials_refreshed", profile="reader")
    pod.sidecar.wait_for("credentials_refreshed", profile="writer")
    calls = [(call.operation, call.session_name) for call in pod.world.aws.calls()]
    assert sorted(calls) == [
        ("AssumeRole", "default-aws-test"),
        ("AssumeRoleWithWebIdentity", "default-aws-test"),
        ("AssumeRoleWithWebIdentity", "the-writer"),
    ]
    assert pod.sidecar.count("exchange_started") == 2, "one exchange for base and writer, one for reader"


def test_the_token_of_another_profile_is_rejected_like_an_unknown_profile(pod: Pod) -> None:
    pod.sidecar.wait_for("credentials_refreshed", profile="writer")
    rejected = [
        pod.sidecar.get(path, token=pod.token("reader"))
        for path in ("/v1/credentials/writer", "/v1/credentials/base", "/v1/credentials/none-such")
    ]
    assert {answer.status for answer in rejected} == {403}
    assert len({answer.body for answer in rejected}) == 1
    assert pod.token("reader") != pod.token("writer")


@pytest.mark.rule("SDK 3")
def test_the_auth_token_can_come_from_a_secret(run_sidecar: Run, tmp_path: Path) -> None:
    secret = tmp_path / "default.secret"
    secret.write_text("a-token-that-the-application-has-as-a-variable\n")
    sidecar = run_sidecar(auth_token_file=str(tmp_path / "{profile}.secret"))
    sidecar.wait_for("credentials_refreshed")
    assert sidecar.auth_token == "a-token-that-the-application-has-as-a-variable"
    assert sidecar.get().status == 200


@pytest.mark.parametrize("content", ["short", "with space in it and long enough to be taken otherwise", "ü" * 40])
def test_an_invalid_auth_token_in_a_secret_is_rejected_at_start(run_sidecar: Run, tmp_path: Path, content: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(content)
    sidecar = run_sidecar(auth_token_file=str(secret))
    assert sidecar.process.wait(20) == 2
    sidecar.close()
    (line,) = sidecar.raw
    assert "has no valid auth token; put 32 to 128 random characters" in line
    assert content not in line


def test_sts_over_tls_needs_the_ca_bundle(fresh_world: World, run_sidecar: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    sidecar = run_sidecar({"AWS_ENDPOINT_URL_STS": fresh_world.aws.tls_url, "AWS_CA_BUNDLE": str(bundle)})
    assert sidecar.wait_for("exchange_failed")["outcome"] in {"unreachable", "invalid_response"}
    # The next child process reads the bundle again: a rotated CA needs no restart.
    bundle.write_bytes(fresh_world.ca_file.read_bytes())
    sidecar.wait_for("credentials_refreshed")
