"""The doctor with healthy setups, with unusual setups that work, and with errors of AWS that have several causes."""

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
from tests.functional.doctoring import DoctorSetup, failing_sts
from tests.functional.published import setup

ROLE = "KubernetesParameterStoreRole"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
DENIED = ["role_missing", "trust_namespace", "trust_service_account", "trust_subject", "trust_audience",
          "trust_principal", "trust_key", "trust_wildcard", "trust_action", "trust_denied", "trust_condition",
          "resource_control_policy", "vpc_endpoint_policy", "service_control_policy", "propagation",
          "unexplained"]  # fmt: skip
OUTSIDE_IAM = ["resource_control_policy", "vpc_endpoint_policy", "service_control_policy"]


@pytest.mark.rule("Kubernetes D10")
def test_a_healthy_setup_is_reported_without_a_fault_within_three_seconds(doctor_setup: DoctorSetup) -> None:
    for rights in (False, True):
        began = time.monotonic()  # noqa: TID251 - a figure of the test's own
        report = doctor_setup.run(rights=rights)
        took = time.monotonic() - began  # noqa: TID251 - as above
        assert report.status == 0
        assert report.causes("broken", "advice", "unknown") == {}
        assert took < 3


@pytest.mark.rule("Kubernetes D10")
@pytest.mark.mutant("thumbprints are required for an issuer that is publicly trusted")
def test_a_publicly_trusted_issuer_without_a_matching_thumbprint_is_no_fault(
    doctor_setup: DoctorSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, aws = doctor_setup.world.issuer, doctor_setup.world.aws
    (tmp_path / "roots.pem").write_text(issuer.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    aws.identity_providers.public_cas = (issuer.ca_pem,)
    iam = doctor_setup.world.admin_client("iam")
    other = thumbprint(b"none of these")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=PROVIDER, ThumbprintList=[other])
    report = doctor_setup.run(rights=True)
    assert report.causes("broken", "advice", "unknown") == {}
    assert "publicly trusted, IAM needs no thumbprint" in report.checks["certificate"]["evidence"]


def test_an_issuer_that_is_published_elsewhere_is_no_fault(
    fresh_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with setup(fresh_world, tmp_path) as there:
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
        doctor_setup = DoctorSetup(fresh_world, environment, tmp_path / "token", monkeypatch)
        doctor_setup.project(there.cluster.mint())
        report = doctor_setup.run(rights=True)
    assert report.causes("broken", "advice", "unknown") == {}


def test_a_chained_role_is_no_fault(doctor_setup: DoctorSetup, tmp_path: Path) -> None:
    chain(doctor_setup, tmp_path)
    report = doctor_setup.run("--profile", "second", rights=True)
    assert report.causes("broken", "advice", "unknown") == {}
    assert ":assumed-role/Second/" in report.checks["credentials"]["evidence"]


def test_a_chained_role_that_does_not_trust_the_first_is_named(doctor_setup: DoctorSetup, tmp_path: Path) -> None:
    chain(doctor_setup, tmp_path)
    doctor_setup.world.admin_client("iam").delete_role(RoleName="Second")
    report = doctor_setup.run("--profile", "second", rights=True)
    assert report.causes() == {
        "exchange": ["chain_refused", "service_control_policy", "resource_control_policy", "permissions_boundary",
                     "vpc_endpoint_policy", "propagation", "unexplained"]
    }  # fmt: skip
    assert report.status == 4


def chain(doctor_setup: DoctorSetup, directory: Path) -> None:
    """Create a second role that trusts the first one, and profiles for both."""
    first = doctor_setup.environment.pop("AWS_ROLE_ARN")
    trust = {"Effect": "Allow", "Principal": {"AWS": first}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    doctor_setup.world.admin_client("iam").create_role(RoleName="Second", AssumeRolePolicyDocument=document)
    text = f"""
        [profile first]
        role_arn = {first}
        [profile second]
        role_arn = arn:aws:iam::123456789012:role/Second
        source_profile = first
    """
    (directory / "profiles").write_text("\n".join(line.strip() for line in text.splitlines()))
    doctor_setup.environment["AWS_OIDC_SIDECAR_PROFILES_FILE"] = str(directory / "profiles")


@pytest.mark.mutant("a change that has not reached STS is reported as a wrong trust policy")
def test_a_change_that_sts_does_not_have_yet_is_a_possible_cause(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.set_up_trust(namespace="other")
    doctor_setup.world.aws.propagation_seconds = 60
    doctor_setup.world.set_up_trust()
    report = doctor_setup.run(rights=True)
    # IAM and STS return the same for a policy that IAM does not show.
    assert report.causes() == {"exchange": ["propagation", *OUTSIDE_IAM, "unexplained"]}
    assert report.checks["iam"]["status"] == "ok"


@pytest.mark.mutant(
    "a denial that IAM does not explain is always reported as a recent change, and as exact",
    "a role that is years old counts as new",
)
def test_propagation_is_among_the_last_possible_causes_of_an_unexplained_denial(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.aws.faults.set(FaultKind.DENIED)
    doctor_setup.world.aws.make_iam_older(86_400)
    report = doctor_setup.run(rights=True)
    assert report.causes() == {"exchange": [*OUTSIDE_IAM, "propagation", "unexplained"]}
    assert report.checks["exchange"]["exact"] is False
    assert all(cause["to_confirm"] for cause in report.checks["exchange"]["causes"])
    assert (report.checks["iam"]["status"], report.status) == ("ok", 4)


def test_another_audience_that_aws_accepts_is_advice(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.set_up_trust(audience="vault")
    doctor_setup.mint(audience="vault")
    report = doctor_setup.run(rights=True)
    assert report.status == 0
    assert report.causes("advice") == {"token_claims": ["audience_unusual"]}


def test_a_token_lifetime_under_fifteen_minutes_is_advice(doctor_setup: DoctorSetup) -> None:
    doctor_setup.mint(lifetime_seconds=600)
    report = doctor_setup.run()
    assert report.status == 0
    assert report.causes("advice") == {"token_file": ["token_short"]}
    assert "expirationSeconds: 3600" in report.fix("token_file")


def test_a_leaf_certificate_without_its_ca_is_advice(doctor_setup: DoctorSetup) -> None:
    issuer = doctor_setup.world.issuer
    issuer.leaf_only = True
    iam = doctor_setup.world.admin_client("iam")
    leaf = issuer.thumbprints[0]
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=PROVIDER, ThumbprintList=[leaf])
    report = doctor_setup.run(rights=True)
    assert report.status == 0
    assert report.causes("advice") == {"certificate": ["leaf_only"]}


@pytest.mark.rule("Kubernetes D10")
def test_the_tutorials_thumbprint_of_the_leaf_is_reported_before_it_breaks(doctor_setup: DoctorSetup) -> None:
    leaf = doctor_setup.world.issuer.thumbprints[0]
    iam = doctor_setup.world.admin_client("iam")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=PROVIDER, ThumbprintList=[leaf])
    report = doctor_setup.run(rights=True)
    assert report.status == 0
    assert report.causes("advice") == {"iam": ["thumbprint_is_leaf"]}


def test_a_condition_that_cannot_be_evaluated_gives_no_exact_cause(doctor_setup: DoctorSetup) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": PROVIDER},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
        }],
    }  # fmt: skip
    iam = doctor_setup.world.admin_client("iam")
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(policy))
    report = doctor_setup.run(rights=True)
    assert report.checks["iam"]["status"] == "unknown"
    assert report.causes() == {"exchange": ["trust_condition", "propagation", *OUTSIDE_IAM, "unexplained"]}


def test_if_iam_cannot_be_read_only_its_check_is_skipped(doctor_setup: DoctorSetup) -> None:
    doctor_setup.environment["AWS_ROLE_ARN"] += "x"
    doctor_setup.patch.setenv("AWS_ENDPOINT_URL_IAM", "http://127.0.0.1:1")
    report = doctor_setup.run()
    assert report.checks["iam"]["status"] == "skipped"
    assert report.causes() == {"exchange": DENIED}


@pytest.mark.parametrize(
    ("content", "cause"), [(None, "token_missing"), ("", "token_malformed"), ("x", "token_malformed")]
)
def test_a_token_file_without_a_token_is_named(doctor_setup: DoctorSetup, content: str | None, cause: str) -> None:
    doctor_setup.token_file.unlink()
    if content is not None:
        doctor_setup.token_file.write_text(content)
    report = doctor_setup.run()
    assert report.causes() == {"token_file": [cause]}
    assert report.status == 2


def test_without_a_token_the_issuer_is_checked_by_its_url(doctor_setup: DoctorSetup) -> None:
    doctor_setup.token_file.unlink()
    doctor_setup.world.issuer.anonymous = False
    report = doctor_setup.run("--issuer", doctor_setup.world.issuer.url)
    assert report.causes()["discovery"] == ["anonymous_off"]
    assert DISCOVERY_PATH in report.checks["discovery"]["evidence"]


def test_only_the_issuer_is_checked_with_neither_role_nor_token(doctor_setup: DoctorSetup) -> None:
    doctor_setup.token_file.unlink()
    del doctor_setup.environment["AWS_ROLE_ARN"]
    report = doctor_setup.run("--issuer", doctor_setup.world.issuer.url)
    assert (report.status, report.causes("broken", "unknown")) == (0, {})
    assert {name for name, check in report.checks.items() if check["status"] in {"ok", "advice"}} >= {
        "discovery", "keys", "certificate",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        ("IDPRejectedClaim", 403, "claim_rejected"),
        ("Throttling", 400, "throttled"),
        ("MalformedPolicyDocument", 400, "session_policy_malformed"),
        ("ValidationError", 400, "parameter_refused"),
        ("InvalidIdentityToken", 400, "token_refused"),
        ("OptInRequired", 403, "not_opted_in"),
        ("SignatureDoesNotMatch", 403, "signature_refused"),
        ("InvalidClientTokenId", 403, "sts_error"),
        ("SomethingNew", 400, "sts_error"),
        ("404", 404, "sts_no_answer"),
    ],
)
def test_an_error_of_aws_with_one_cause_is_exact(doctor_setup: DoctorSetup, code: str, status: int, cause: str) -> None:
    with failing_sts(code, status) as url:
        doctor_setup.environment["AWS_ENDPOINT_URL_STS"] = url
        report = doctor_setup.run()
    assert report.causes() == {"exchange": [cause]}
    assert report.checks["exchange"]["exact"]


def test_a_missing_role_is_named(doctor_setup: DoctorSetup) -> None:
    del doctor_setup.environment["AWS_ROLE_ARN"]
    report = doctor_setup.run()
    assert report.causes() == {"role": ["role_not_set"]}
    assert report.status == 2


def test_a_token_that_cannot_be_read_is_named(doctor_setup: DoctorSetup, tmp_path: Path) -> None:
    # Not even root can read a socket as a file.
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "socket"))
        doctor_setup.environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(tmp_path / "socket")
        assert doctor_setup.run().causes() == {"token_file": ["token_unreadable"]}


def test_missing_documents_are_named(doctor_setup: DoctorSetup) -> None:
    doctor_setup.token_file.unlink()
    assert doctor_setup.run("--issuer", f"{doctor_setup.world.issuer.url}/no").causes()["discovery"] == [
        "discovery_missing"
    ]
    doctor_setup.world.issuer.jwks_uri = f"{doctor_setup.world.issuer.url}/no"
    assert doctor_setup.run("--issuer", doctor_setup.world.issuer.url).causes()["keys"] == ["jwks_missing"]


def test_a_key_that_aws_has_not_seen_yet_is_named(doctor_setup: DoctorSetup) -> None:
    issuer, aws = doctor_setup.world.issuer, doctor_setup.world.aws
    assert doctor_setup.run().status == 0  # AWS has the old keys now
    issuer.rotate_key()
    doctor_setup.mint()
    aws.faults.set(FaultKind.STALE_JWKS)
    report = doctor_setup.run(rights=True)
    # Nothing that was compared says which of them it is.
    assert report.causes() == {
        "exchange": ["issuer_closed_to_aws", "keys_not_seen_by_aws", "issuer_slow_for_aws", "unexplained"]
    }
    assert not report.checks["exchange"]["exact"]
    assert report.status == 5


def test_an_issuers_certificate_for_another_name_is_named(doctor_setup: DoctorSetup) -> None:
    doctor_setup.token_file.unlink()
    aws = doctor_setup.world.aws
    aws.connect_to["other.test", 443] = aws.connect_to["issuer.test", 443]
    assert doctor_setup.run("--issuer", "https://other.test").causes()["discovery"] == ["issuer_tls"]


def test_a_ca_that_expires_soon_is_advice(doctor_setup: DoctorSetup) -> None:
    born = dt.datetime.fromtimestamp(doctor_setup.world.clock(), dt.UTC)
    authority = Authority("short-lived CA", not_after=born + dt.timedelta(days=20))
    doctor_setup.world.issuer.replace_authority(authority)
    doctor_setup.world.set_up_trust()
    report = doctor_setup.run(rights=True)
    assert report.status == 0
    assert report.causes("advice") == {"certificate": ["ca_runs_out"]}


def test_sts_that_cannot_be_resolved_or_trusted_is_named(doctor_setup: DoctorSetup) -> None:
    doctor_setup.environment["AWS_ENDPOINT_URL_STS"] = "https://sts.invalid"
    assert doctor_setup.run().causes()["sts_path"] == ["sts_name"]
    doctor_setup.environment["AWS_ENDPOINT_URL_STS"] = doctor_setup.world.aws.tls_url
    report = doctor_setup.run()
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
def test_other_faults_of_a_trust_policy_are_named(
    doctor_setup: DoctorSetup, change: dict[str, object], cause: str
) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"issuer.test:aud": "sts.amazonaws.com"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement | change]})
    doctor_setup.world.admin_client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=document)
    assert doctor_setup.run(rights=True).causes() == {"iam": [cause], "exchange": [cause]}


def test_a_deny_is_named(doctor_setup: DoctorSetup) -> None:
    allow = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"issuer.test:aud": "sts.amazonaws.com"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow, allow | {"Effect": "Deny"}]})
    doctor_setup.world.admin_client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=document)
    assert doctor_setup.run(rights=True).causes() == {"iam": ["trust_denied"], "exchange": ["trust_denied"]}
