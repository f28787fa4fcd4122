"""`doctor --call`: the simulator's decision, and "not proven" without the permission to ask it."""

import json
from collections.abc import Mapping

import pytest

from tests.functional.doctoring import DoctorSetup

ROLE = "KubernetesParameterStoreRole"
PARAMETER = "arn:aws:ssm:eu-central-1:123456789012:parameter/mine/x"
READ, WRITE = f"ssm:GetParameter:{PARAMETER}", f"ssm:PutParameter:{PARAMETER}"
ALLOW = {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": PARAMETER}


def permit(doctor_setup: DoctorSetup, *statements: Mapping[str, object]) -> None:
    """Give the role one inline policy, and no other."""
    iam = doctor_setup.world.admin_client("iam")
    for policy in iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=ROLE, PolicyArn=policy["PolicyArn"])
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_role_policy(RoleName=ROLE, PolicyName="calls", PolicyDocument=document)


def test_the_default_report_says_that_permissions_are_not_examined(doctor_setup: DoctorSetup) -> None:
    check = doctor_setup.run("--no-exchange").checks["permissions"]
    assert check["status"] == "skipped"
    assert "permissions of the role are not examined; --call SERVICE:ACTION[:RESOURCE]" in check["evidence"]


def test_each_call_is_decided_by_the_policies_of_the_role(doctor_setup: DoctorSetup) -> None:
    permit(doctor_setup, ALLOW)
    report = doctor_setup.run("--call", READ, rights=True)
    assert (report.status, report.checks["permissions"]["status"]) == (0, "ok")
    assert "were not evaluated" in report.checks["permissions"]["evidence"]
    report = doctor_setup.run("--call", READ, "--call", WRITE, "--call", "ssm:GetParameter", rights=True)
    assert report.causes() == {"permissions": ["call_not_allowed", "call_not_allowed"]}
    assert report.status == 4
    first = report.checks["permissions"]["causes"][0]
    assert first["what"] == f"no policy of arn:aws:iam::123456789012:role/{ROLE} allows ssm:PutParameter on {PARAMETER}"
    assert first["compared"][0]["found"] == ["implicitDeny"]
    permit(doctor_setup, ALLOW, {**ALLOW, "Effect": "Deny"})
    assert doctor_setup.run("--call", READ, rights=True).causes() == {"permissions": ["call_denied"]}


def test_a_condition_on_the_real_request_is_not_proven(doctor_setup: DoctorSetup) -> None:
    permit(doctor_setup, {**ALLOW, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}})
    report = doctor_setup.run("--call", READ, rights=True)
    assert (report.status, report.causes()) == (8, {})
    assert "depends on aws:SourceVpc, which only a real request has" in report.checks["permissions"]["evidence"]


@pytest.mark.mutant("a call that could not be simulated counts as proven by the exchange")
def test_without_the_permission_it_is_not_proven_although_the_exchange_succeeds(doctor_setup: DoctorSetup) -> None:
    report = doctor_setup.run("--call", READ)
    assert (report.status, report.checks["exchange"]["status"]) == (8, "ok")
    evidence = report.checks["permissions"]["evidence"]
    assert evidence.startswith("not proven: ")
    assert evidence.endswith("iam:SimulatePrincipalPolicy is needed")


def test_credentials_without_the_permission_are_told_which_one(doctor_setup: DoctorSetup) -> None:
    permit(doctor_setup, ALLOW)
    doctor_setup.run()
    keys = doctor_setup.world.aws.issued()[-1]  # of the role, which may not ask the simulator
    for name in ("access_key_id", "secret_access_key", "session_token"):
        doctor_setup.environment[f"AWS_{name.upper()}"] = getattr(keys, name)
    doctor_setup.environment["AWS_ENDPOINT_URL_IAM"] = doctor_setup.world.aws.url
    report = doctor_setup.run_in_process("--call", READ)
    assert "have no iam:SimulatePrincipalPolicy" in report.checks["permissions"]["evidence"]
    assert report.status == 8
