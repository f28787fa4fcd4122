"""Several roles in one pod: paths, auth tokens, chaining, reload; the real process against the strict AWS."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.process import Sidecar
from examples.local.world import World

Run = Callable[..., Sidecar]

PROFILES = """
[profile base]
role_arn = {base}
serve = false

[profile reader]
role_arn = {reader}
source_profile = base
external_id = reader-of-parameters

[profile writer]
role_arn = {base}
role_session_name = the-writer
"""


class Pod:
    """A pod whose sidecar runs from a profiles file."""

    def __init__(self, world: World, run_sidecar: Run, role_arn: str, home: Path) -> None:
        self.world, self.home = world, home
        self.file = home / "profiles.conf"
        self.roles = {"base": role_arn, "reader": chained_role(world, "Reader", role_arn)}
        for name in ("reader", "writer"):
            (home / "run" / "profiles" / name).mkdir(parents=True)
        self.write(PROFILES)
        # The file and AWS_ROLE_ARN contradict; the file is the one meant.
        self.sidecar = run_sidecar({"AWS_ROLE_ARN": ""}, profiles_file=str(self.file))

    def write(self, text: str) -> None:
        """Put a new file in place, as a mounted ConfigMap is."""
        new = self.home / "profiles.new"
        new.write_text(text.format(**self.roles))
        new.rename(self.file)

    def token(self, profile: str) -> str:
        return (self.home / "run" / "profiles" / profile / "auth-token").read_text()

    def arn(self, profile: str) -> str:
        """Return who AWS says one is with the set that this profile serves."""
        answer = self.sidecar.get(f"/v1/credentials/{profile}", token=self.token(profile))
        assert answer.status == 200, answer.body
        key = answer.json()["AccessKeyId"]
        (issued,) = [issued for issued in self.world.aws.issued() if issued.access_key_id == key]
        return f"{issued.caller.role_arn.rpartition('/')[2]}/{issued.session_name}"


def chained_role(world: World, name: str, source_arn: str) -> str:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": source_arn},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "reader-of-parameters"}},
            }
        ],
    }
    role = world.admin_client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    return role["Role"]["Arn"]


@pytest.fixture
def pod(fresh_world: World, run_sidecar: Run, role_arn: str, tmp_path: Path) -> Pod:
    return Pod(fresh_world, run_sidecar, role_arn, tmp_path)


def test_each_profile_has_its_own_role_and_a_chained_one_is_assumed_with_its_source(pod: Pod) -> None:
    for name in ("base", "reader", "writer"):
        pod.sidecar.wait_for("credentials_renewed", profile=name)
    assert pod.arn("reader") == "Reader/default-aws-test"
    assert pod.arn("writer") == "KubernetesParameterStoreRole/the-writer"
    assert pod.sidecar.admin("/readyz").status == 200


def test_there_is_one_sts_call_for_each_profile_and_hop(pod: Pod) -> None:
    pod.sidecar.wait_for("credentials_renewed", profile="reader")
    pod.sidecar.wait_for("credentials_renewed", profile="writer")
    calls = [(call.operation, call.session_name) for call in pod.world.aws.calls()]
    assert sorted(calls) == [
        ("AssumeRole", "default-aws-test"),
        ("AssumeRoleWithWebIdentity", "default-aws-test"),
        ("AssumeRoleWithWebIdentity", "the-writer"),
    ]
    assert pod.sidecar.count("exchange_started") == 2, "the second hop, and nothing else, came later"


def test_a_token_for_one_profile_is_refused_for_another_and_nothing_tells_which_profiles_there_are(pod: Pod) -> None:
    pod.sidecar.wait_for("credentials_renewed", profile="writer")
    refused = [
        pod.sidecar.get(path, token=pod.token("reader"))
        for path in ("/v1/credentials/writer", "/v1/credentials/base", "/v1/credentials/none-such")
    ]
    assert {answer.status for answer in refused} == {403}
    assert len({answer.body for answer in refused}) == 1
    assert pod.token("reader") != pod.token("writer")


def test_a_changed_file_takes_effect_without_a_restart(pod: Pod) -> None:
    pod.sidecar.wait_for("credentials_renewed", profile="writer")
    pod.sidecar.wait_for("credentials_renewed", profile="reader")
    reader = pod.sidecar.get("/v1/credentials/reader", token=pod.token("reader")).body
    pod.write(PROFILES.replace("the-writer", "another-writer"))
    pod.sidecar.wait_for("profiles_reloaded")
    pod.sidecar.wait_for("credentials_renewed", count=2, profile="writer")
    assert pod.arn("writer") == "KubernetesParameterStoreRole/another-writer"
    assert pod.sidecar.get("/v1/credentials/reader", token=pod.token("reader")).body == reader, "it had not changed"
    assert pod.sidecar.metric("profiles_reloads_total", outcome="success") == 1


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[profile reader", ":1"),
        ("[profile reader]\nrole_arn = nonsense\n", "[profile reader] role_arn"),
        ("[profile reader]\nrole_arn = {base}\nsource_profile = reader\n", "[reader]"),
        ("[profile nowhere]\nrole_arn = {base}\n", ""),
    ],
)
def test_a_broken_file_is_reported_and_the_old_one_kept(pod: Pod, text: str, where: str) -> None:
    pod.sidecar.wait_for("credentials_renewed", profile="reader")
    before = pod.sidecar.get("/v1/credentials/reader", token=pod.token("reader")).body
    pod.write(text)
    line = pod.sidecar.wait_for("profiles_refused")
    assert line["where"].endswith(where)
    assert line["next_step"]
    assert pod.sidecar.get("/v1/credentials/reader", token=pod.token("reader")).body == before
    pod.write(PROFILES)
    pod.sidecar.wait_for("profiles_reloaded")


def test_sighup_reloads_and_renews_every_profile(pod: Pod) -> None:
    for name in ("base", "reader", "writer"):
        pod.sidecar.wait_for("credentials_renewed", profile=name)
    os.kill(pod.sidecar.process.pid, signal.SIGHUP)
    pod.sidecar.wait_for("profiles_reloaded")
    for name in ("base", "reader", "writer"):
        pod.sidecar.wait_for("credentials_renewed", count=2, profile=name)


def test_the_auth_token_can_come_from_a_secret(run_sidecar: Run, tmp_path: Path) -> None:
    secret = tmp_path / "default.secret"
    secret.write_text("a-token-that-the-application-has-as-a-variable\n")
    sidecar = run_sidecar(auth_token_file=str(tmp_path / "{profile}.secret"))
    sidecar.wait_for("credentials_renewed")
    assert sidecar.auth_token == "a-token-that-the-application-has-as-a-variable"
    assert sidecar.get().status == 200


@pytest.mark.parametrize("content", ["short", "with space in it and long enough to be taken otherwise", "ü" * 40])
def test_a_secret_that_is_no_token_is_refused_at_start(run_sidecar: Run, tmp_path: Path, content: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(content)
    sidecar = run_sidecar(auth_token_file=str(secret))
    assert sidecar.process.wait(20) == 2
    sidecar.close()
    (line,) = sidecar.raw
    assert "holds no auth token; put 32 to 128 characters" in line
    assert content not in line


def test_sts_over_tls_needs_the_ca_bundle(fresh_world: World, run_sidecar: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    sidecar = run_sidecar({"AWS_ENDPOINT_URL_STS": fresh_world.aws.tls_url, "AWS_CA_BUNDLE": str(bundle)})
    assert sidecar.wait_for("exchange_failed")["class"] in {"unreachable", "bad_answer"}
    # The next child reads the bundle anew: nothing has to be restarted for a CA that was rotated.
    bundle.write_bytes(fresh_world.ca_file.read_bytes())
    sidecar.wait_for("credentials_renewed")
