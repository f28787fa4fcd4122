"""The doctor on chains that hold, on links that are odd but hold, and on what AWS does not decide alone."""

import datetime as dt
import json
import socket
import time
from pathlib import Path

import pytest

from examples.local.faults import FaultKind
from examples.local.issuer import DISCOVERY_PATH
from examples.local.pki import Authority, thumbprint
from examples.local.world import World
from tests.functional.doctoring import Patient, refusing_sts
from tests.functional.published import stage

ROLE = "KubernetesParameterStoreRole"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
DENIED = ["role_missing", "trust_namespace", "trust_service_account", "trust_audience", "trust_principal",
          "trust_denied", "propagation"]  # fmt: skip


def test_a_healthy_chain_raises_no_alarm_and_is_told_within_three_seconds(patient: Patient) -> None:
    for rights in (False, True):
        began = time.monotonic()  # noqa: TID251 - a figure of the test's own
        report = patient.ask(rights=rights)
        took = time.monotonic() - began  # noqa: TID251 - as above
        assert report.status == 0
        assert report.causes("broken", "advice", "unknown") == {}
        assert took < 3


def test_a_publicly_trusted_issuer_raises_no_alarm_without_any_thumbprint(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, aws = patient.world.issuer, patient.world.aws
    (tmp_path / "roots.pem").write_text(issuer.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    aws.identity_providers.public_cas = (issuer.ca_pem,)
    iam = patient.world.admin_client("iam")
    other = thumbprint(b"none of these")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=PROVIDER, ThumbprintList=[other])
    report = patient.ask(rights=True)
    assert report.causes("broken", "advice", "unknown") == {}
    assert "publicly trusted, IAM needs no thumbprint" in report.checks["certificate"]["evidence"]


def test_an_issuer_that_is_published_elsewhere_raises_no_alarm(
    fresh_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage(fresh_world, tmp_path) as there:
        assert there.publish().code == 0
        there.trust()
        environment = {
            "AWS_ROLE_ARN": f"arn:aws:iam::123456789012:role/{ROLE}",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL_STS": fresh_world.aws.url,
            "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
            "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path / "run"),
        }
        patient = Patient(fresh_world, environment, tmp_path / "token", monkeypatch)
        patient.project(there.cluster.mint())
        report = patient.ask(rights=True)
    assert report.causes("broken", "advice", "unknown") == {}


def test_a_chained_role_raises_no_alarm(patient: Patient, tmp_path: Path) -> None:
    chain(patient, tmp_path)
    report = patient.ask("--profile", "second", rights=True)
    assert report.causes("broken", "advice", "unknown") == {}
    assert ":assumed-role/Second/" in report.checks["credentials"]["evidence"]


def test_a_chained_role_that_does_not_trust_the_first_is_named(patient: Patient, tmp_path: Path) -> None:
    chain(patient, tmp_path)
    patient.world.admin_client("iam").delete_role(RoleName="Second")
    report = patient.ask("--profile", "second", rights=True)
    assert report.causes() == {"exchange": ["chain_refused", "propagation"]}
    assert report.status == 4


def chain(patient: Patient, directory: Path) -> None:
    """Have a second role trust the first one, and profiles that say so."""
    first = patient.environment.pop("AWS_ROLE_ARN")
    trust = {"Effect": "Allow", "Principal": {"AWS": first}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    patient.world.admin_client("iam").create_role(RoleName="Second", AssumeRolePolicyDocument=document)
    text = f"""
        [profile first]
        role_arn = {first}
        [profile second]
        role_arn = arn:aws:iam::123456789012:role/Second
        source_profile = first
    """
    (directory / "profiles").write_text("\n".join(line.strip() for line in text.splitlines()))
    patient.environment["AWS_OIDC_SIDECAR_PROFILES_FILE"] = str(directory / "profiles")


def test_what_iam_has_and_sts_has_not_heard_of_is_told_as_such(patient: Patient) -> None:
    patient.world.set_up_trust(namespace="other")
    patient.world.aws.propagation_seconds = 60
    patient.world.set_up_trust()
    report = patient.ask(rights=True)
    assert report.causes() == {"exchange": ["propagation"]}
    assert report.checks["iam"]["state"] == "ok"


def test_an_audience_of_ones_own_that_aws_accepts_is_advice(patient: Patient) -> None:
    patient.world.set_up_trust(audience="vault")
    patient.mint(audience="vault")
    report = patient.ask(rights=True)
    assert report.status == 0
    assert report.causes("advice") == {"token_claims": ["audience_unusual"]}


def test_a_token_that_lives_under_fifteen_minutes_is_advice(patient: Patient) -> None:
    patient.mint(lifetime_seconds=600)
    report = patient.ask()
    assert report.status == 0
    assert report.causes("advice") == {"token_file": ["token_short"]}
    assert "expirationSeconds: 3600" in report.mend("token_file")


def test_a_leaf_alone_is_advice(patient: Patient) -> None:
    issuer = patient.world.issuer
    issuer.leaf_only = True
    iam = patient.world.admin_client("iam")
    leaf = issuer.thumbprints[0]
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=PROVIDER, ThumbprintList=[leaf])
    report = patient.ask(rights=True)
    assert report.status == 0
    assert report.causes("advice") == {"certificate": ["leaf_only"]}


def test_the_tutorials_thumbprint_of_the_leaf_is_told_before_it_breaks(patient: Patient) -> None:
    leaf = patient.world.issuer.thumbprints[0]
    iam = patient.world.admin_client("iam")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=PROVIDER, ThumbprintList=[leaf])
    report = patient.ask(rights=True)
    assert report.status == 0
    assert report.causes("advice") == {"iam": ["thumbprint_is_leaf"]}


def test_a_condition_that_nobody_here_can_judge_is_not_judged(patient: Patient) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": PROVIDER},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
        }],
    }  # fmt: skip
    iam = patient.world.admin_client("iam")
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(policy))
    report = patient.ask(rights=True)
    assert report.checks["iam"]["state"] == "unknown"
    assert report.causes() == {"exchange": ["trust_condition", "propagation"]}


def test_iam_that_refuses_to_be_read_is_skipped_and_the_rest_goes_on(patient: Patient) -> None:
    patient.environment["AWS_ROLE_ARN"] += "x"
    patient.patch.setenv("AWS_ENDPOINT_URL_IAM", "http://127.0.0.1:1")
    report = patient.ask()
    assert report.checks["iam"]["state"] == "skipped"
    assert report.causes() == {"exchange": DENIED}


@pytest.mark.parametrize(
    ("content", "cause"), [(None, "token_missing"), ("", "token_malformed"), ("x", "token_malformed")]
)
def test_a_token_file_without_a_token_is_named(patient: Patient, content: str | None, cause: str) -> None:
    patient.token_file.unlink()
    if content is not None:
        patient.token_file.write_text(content)
    report = patient.ask()
    assert report.causes() == {"token_file": [cause]}
    assert report.status == 2


def test_without_a_token_the_issuer_can_be_looked_at_by_its_url(patient: Patient) -> None:
    patient.token_file.unlink()
    patient.world.issuer.anonymous = False
    report = patient.ask("--issuer", patient.world.issuer.url)
    assert report.causes()["discovery"] == ["anonymous_off"]
    assert DISCOVERY_PATH in report.checks["discovery"]["evidence"]


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        ("IDPRejectedClaim", 403, "claim_rejected"),
        ("Throttling", 400, "throttled"),
        ("MalformedPolicyDocument", 400, "session_policy_malformed"),
        ("ValidationError", 400, "parameter_refused"),
        ("InvalidIdentityToken", 400, "token_refused"),
        ("NobodyKnows", 400, "sts_no_answer"),
    ],
)
def test_what_aws_says_in_one_way_only_is_named_exactly(patient: Patient, code: str, status: int, cause: str) -> None:
    with refusing_sts(code, status) as url:
        patient.environment["AWS_ENDPOINT_URL_STS"] = url
        report = patient.ask()
    assert report.causes() == {"exchange": [cause]}
    assert report.checks["exchange"]["exact"]


def test_no_role_at_all_is_named(patient: Patient) -> None:
    del patient.environment["AWS_ROLE_ARN"]
    report = patient.ask()
    assert report.causes() == {"role": ["role_not_set"]}
    assert report.status == 2


def test_a_token_that_cannot_be_read_is_named(patient: Patient, tmp_path: Path) -> None:
    # A socket is what root cannot read either.
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "socket"))
        patient.environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(tmp_path / "socket")
        assert patient.ask().causes() == {"token_file": ["token_unreadable"]}


def test_documents_that_are_not_there_are_named(patient: Patient) -> None:
    patient.token_file.unlink()
    assert patient.ask("--issuer", f"{patient.world.issuer.url}/no").causes()["discovery"] == ["discovery_missing"]
    patient.world.issuer.jwks_uri = f"{patient.world.issuer.url}/no"
    assert patient.ask("--issuer", patient.world.issuer.url).causes()["keys"] == ["jwks_missing"]


def test_a_key_that_aws_has_not_seen_yet_is_told_as_such(patient: Patient) -> None:
    issuer, aws = patient.world.issuer, patient.world.aws
    assert patient.ask().status == 0  # AWS has the old keys now
    issuer.rotate_key()
    patient.mint()
    aws.faults.set(FaultKind.STALE_JWKS)
    report = patient.ask(rights=True)
    assert report.causes() == {"exchange": ["keys_not_seen_by_aws"]}
    assert report.status == 5


def test_an_issuers_certificate_for_another_name_is_named(patient: Patient) -> None:
    patient.token_file.unlink()
    aws = patient.world.aws
    aws.connect_to["other.test", 443] = aws.connect_to["issuer.test", 443]
    assert patient.ask("--issuer", "https://other.test").causes()["discovery"] == ["issuer_tls"]


def test_a_ca_that_runs_out_soon_is_advice(patient: Patient) -> None:
    born = dt.datetime.fromtimestamp(patient.world.clock(), dt.UTC)
    authority = Authority("short-lived CA", not_after=born + dt.timedelta(days=20))
    patient.world.issuer.replace_authority(authority)
    patient.world.set_up_trust()
    report = patient.ask(rights=True)
    assert report.status == 0
    assert report.causes("advice") == {"certificate": ["ca_runs_out"]}


def test_sts_that_nobody_can_resolve_or_trust_is_named(patient: Patient) -> None:
    patient.environment["AWS_ENDPOINT_URL_STS"] = "https://sts.invalid"
    assert patient.ask().causes()["sts_path"] == ["sts_name"]
    patient.environment["AWS_ENDPOINT_URL_STS"] = patient.world.aws.tls_url
    report = patient.ask()
    assert report.causes() == {"sts_path": ["sts_tls"], "exchange": ["sts_no_answer"]}
    assert report.status == 3


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"Action": "sts:AssumeRole"}, "trust_action"),
        ({"Condition": {"StringEquals": {"issuer.test:sub": "repo:o/r:ref:x"}}}, "trust_subject"),
        ({"Principal": {"Federated": f"{PROVIDER}x"}}, "trust_principal"),
    ],
)
def test_what_else_can_be_wrong_with_a_trust_policy_is_named(
    patient: Patient, change: dict[str, object], cause: str
) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"issuer.test:aud": "sts.amazonaws.com"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement | change]})
    patient.world.admin_client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=document)
    assert patient.ask(rights=True).causes() == {"iam": [cause], "exchange": [cause]}


def test_a_deny_is_named(patient: Patient) -> None:
    allow = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"issuer.test:aud": "sts.amazonaws.com"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow, allow | {"Effect": "Deny"}]})
    patient.world.admin_client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=document)
    assert patient.ask(rights=True).causes() == {"iam": ["trust_denied"], "exchange": ["trust_denied"]}
