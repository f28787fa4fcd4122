"""The doctor names each fault between the application and AWS; every fault is set up with real servers."""

import datetime as dt
import re
from typing import NamedTuple

import pytest

from examples.local.faults import FaultKind, Scope
from examples.local.pki import Authority
from tests.functional.doctoring import DoctorSetup, Fault

ROLE, NAME = "KubernetesParameterStoreRole", "aws-parameter-reader"
ROLE_ARN = f"arn:aws:iam::123456789012:role/{ROLE}"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
DENIED = ["role_missing", "trust_namespace", "trust_service_account", "trust_subject", "trust_audience",
          "trust_principal", "trust_key", "trust_wildcard", "trust_action", "trust_denied", "trust_condition",
          "resource_control_policy", "vpc_endpoint_policy", "service_control_policy", "propagation",
          "unexplained"]  # fmt: skip
NO_PROVIDER = ["provider_missing", "role_in_other_account", "provider_url", "propagation", "unexplained"]
AUDIENCE = ["client_id_missing", "token_audience", "propagation", "unexplained"]
THUMBPRINT = ["thumbprint_of_leaf", "ca_rotated", "propagation", "unexplained"]


def misspell(doctor_setup: DoctorSetup) -> None:
    doctor_setup.environment["AWS_ROLE_ARN"] += "x"


def misplace(doctor_setup: DoctorSetup) -> None:
    arn = doctor_setup.environment["AWS_ROLE_ARN"]
    doctor_setup.environment["AWS_ROLE_ARN"] = arn.replace(":role/", ":role/teams/")


def move_role(doctor_setup: DoctorSetup) -> None:
    doctor_setup.environment["AWS_ROLE_ARN"] = f"arn:aws:iam::210987654321:role/{ROLE}"


def remove_audience(doctor_setup: DoctorSetup) -> None:
    iam = doctor_setup.world.admin_client("iam")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER, ClientID="sts.amazonaws.com")


def remove_provider(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.admin_client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER)


def of_issuer(suffix: str) -> Fault:
    def fault(doctor_setup: DoctorSetup) -> None:
        issuer = doctor_setup.world.issuer
        claims = issuer.claims(namespace="default", service_account="aws-parameter-reader", pod="aws-test", node="n")
        now = int(doctor_setup.world.clock())
        claims |= {"iss": issuer.url + suffix, "aud": ["sts.amazonaws.com"], "iat": now, "nbf": now, "exp": now + 3600}
        issuer.advertised_issuer = issuer.url + suffix
        doctor_setup.project(issuer.sign(claims))

    return fault


def register_leaf(doctor_setup: DoctorSetup) -> None:
    iam, issuer = doctor_setup.world.admin_client("iam"), doctor_setup.world.issuer
    leaf = issuer.thumbprints[0]
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=PROVIDER, ThumbprintList=[leaf])
    issuer.reissue_certificate()


def rotate_ca(doctor_setup: DoctorSetup) -> None:
    born = dt.datetime.now(dt.UTC)  # noqa: TID251 - only the certificate has it
    doctor_setup.world.issuer.replace_authority(Authority("new CA", not_before=born))


def hide_keys(doctor_setup: DoctorSetup) -> None:
    doctor_setup.world.issuer.jwks_uri = "https://keys.test/openid/v1/jwks"
    doctor_setup.world.aws.connect_to["keys.test", 443] = ("127.0.0.1", 1)


def rotate_key_unseen(doctor_setup: DoctorSetup) -> None:
    issuer = doctor_setup.world.issuer
    issuer.stale_jwks = True
    issuer.rotate_key()
    doctor_setup.mint()


def setting(name: str, value: object) -> Fault:
    def fault(doctor_setup: DoctorSetup) -> None:
        setattr(doctor_setup.world.issuer, name, value)

    return fault


def trust(**changes: str) -> Fault:
    def fault(doctor_setup: DoctorSetup) -> None:
        doctor_setup.world.set_up_trust(**changes)  # type: ignore[arg-type]

    return fault


def token(**changes: object) -> Fault:
    return lambda doctor_setup: doctor_setup.mint(**changes)


def variable(name: str, value: str) -> Fault:
    return lambda doctor_setup: doctor_setup.environment.update({name: value})


def local_sts(kind: FaultKind, scope: Scope = Scope.STS) -> Fault:
    return lambda doctor_setup: doctor_setup.world.aws.faults.set(kind, scope=scope)


def move_time(seconds: float) -> Fault:
    def fault(doctor_setup: DoctorSetup) -> None:
        # The time of the local AWS is right, and that of this machine is not.
        doctor_setup.world.clock.advance(seconds)
        doctor_setup.mint()

    return fault


class Row(NamedTuple):
    """A fault, and the expected report of the doctor.

    Attributes:
        fault: sets it up.
        exact: {check: causes} of all broken checks with IAM read access.
        possible: the same without IAM read access; None if it is equal.
        fix: a part of the first fix.
        status: the exit code with IAM read access.
        compared: [wanted, found] of what was compared in IAM for the first cause; None for a fault that is not in IAM.
    """

    fault: Fault
    exact: dict[str, list[str]]
    possible: dict[str, list[str]] | None
    fix: str
    status: int = 4
    compared: list[list[str]] | None = None


def iam(
    cause: str, possible: list[str], fix: str, fault: Fault, status: int = 4, *, compared: list[list[str]] | None = None
) -> Row:
    return Row(fault, {"iam": [cause], "exchange": [cause]}, {"exchange": possible}, fix, status, compared)


FAULTS = {
    "role ARN misspelt": iam("role_missing", DENIED, f"--role {ROLE}x", misspell, compared=[[], [f"{ROLE_ARN}x"]]),
    "role under another path": iam(
        "role_missing",
        DENIED,
        f"--role {ROLE} ",
        misplace,
        compared=[[ROLE_ARN], [ROLE_ARN.replace(":role/", ":role/teams/")]],
    ),
    "role in another account than the provider": iam(
        "role_in_other_account",
        NO_PROVIDER,
        "create the provider in 210987654321",
        move_role,
        compared=[["210987654321"], ["123456789012"]],
    ),
    "trust policy for another namespace": iam(
        "trust_namespace",
        DENIED,
        "system:serviceaccount:default:aws-parameter-reader",
        trust(namespace="other"),
        compared=[[f"system:serviceaccount:other:{NAME}"], [f"system:serviceaccount:default:{NAME}"]],
    ),
    "trust policy for another ServiceAccount": iam(
        "trust_service_account", DENIED, "serviceAccountName", trust(service_account="writer")
    ),
    "trust policy for another audience": iam(
        "trust_audience", DENIED, "set the aud condition of the policy to sts.amazonaws.com:", trust(audience="another")
    ),
    "audience not among the client ids": iam(
        "client_id_missing",
        AUDIENCE,
        "add-client-id-to-open-id-connect-provider --client-id sts.amaz",
        remove_audience,
        compared=[[], ["sts.amazonaws.com"]],
    ),
    "audience wrong in the token": Row(
        token(audience="vault"),
        # STS compares the trust policy after the client ids, so this fault is not the cause of its error.
        {"iam": ["token_audience", "trust_audience"], "exchange": ["token_audience"]},
        {"exchange": AUDIENCE},
        "set audience: sts.amazonaws.com in the projected volume",
    ),
    "no provider": iam(
        "provider_missing",
        NO_PROVIDER,
        "--issuer https://issuer.test",
        remove_provider,
        compared=[[], ["issuer.test"]],
    ),
    "issuer with a slash at its end, provider without": iam(
        "provider_url",
        NO_PROVIDER,
        "--issuer https://issuer.test/ ",
        of_issuer("/"),
        compared=[["issuer.test"], ["issuer.test/"]],
    ),
    "issuer with a port": Row(
        of_issuer(":443"),
        {"token_claims": ["issuer_form"], "iam": ["provider_url"], "exchange": ["provider_url"]},
        {"token_claims": ["issuer_form"], "exchange": NO_PROVIDER},
        "--service-account-issuer",
        5,
    ),
    "thumbprint of a leaf that was replaced": iam(
        "thumbprint_of_leaf", THUMBPRINT, "register the thumbprint of the last certificate", register_leaf, 5
    ),
    "CA rotated": iam("ca_rotated", THUMBPRINT, "in addition to the old one", rotate_ca, 5),
    "key set unreachable": Row(
        hide_keys,
        {"keys": ["jwks_unreachable"], "exchange": ["jwks_unreachable"]},
        None,
        "--service-account-jwks-uri to https://issuer.test/openid/v1/jwks",
        3,
    ),
    "issuer unreachable": Row(
        setting("down", True),  # noqa: FBT003 - of setattr
        {"discovery": ["issuer_unreachable"], "exchange": ["issuer_unreachable"]},
        None,
        "let AWS reach its port 443",
        3,
    ),
    "anonymous requests off": Row(
        setting("anonymous", False),  # noqa: FBT003 - of setattr
        {"discovery": ["anonymous_off"], "exchange": ["anonymous_off"]},
        None,
        "AuthenticationConfiguration",
        5,
    ),
    "binding missing": Row(
        setting("bearer", "a-token"),
        {"discovery": ["discovery_forbidden"], "exchange": ["discovery_forbidden"]},
        None,
        "kubectl create clusterrolebinding allow-anon-openid",
        5,
    ),
    "document of another issuer": Row(
        setting("advertised_issuer", "https://kubernetes.default.svc"),
        {"discovery": ["issuer_differs"], "exchange": ["issuer_differs"]},
        None,
        "--service-account-issuer",
        5,
    ),
    "signing key rotated and not published": Row(
        rotate_key_unseen,
        {"keys": ["key_not_published"], "exchange": ["key_not_published"]},
        None,
        "publish the new key before it signs",
        5,
    ),
    "token expired and not replaced": Row(
        lambda doctor_setup: doctor_setup.mint(now=doctor_setup.world.clock() - 7200),
        {"token_file": ["token_expired"], "exchange": ["token_expired_at_aws"]},
        None,
        "kubelet",
        1,
    ),
    "clock ten minutes behind": Row(move_time(600), {"clock": ["clock_behind"]}, None, "NTP", 1),
    # The token has expired by the clock of this machine, and AWS accepts it.
    "clock two hours ahead": Row(move_time(-7200), {"clock": ["clock_ahead"]}, None, "NTP", 1),
    "clock ten minutes ahead": Row(move_time(-600), {"clock": ["clock_ahead"]}, None, "NTP", 1),
    "STS off in the region": Row(
        local_sts(FaultKind.REGION_DISABLED), {"exchange": ["region_disabled"]}, None, "activate STS"
    ),
    "denied by a resource control policy of the same organization": Row(
        local_sts(FaultKind.DENIED_BY_RCP),
        {"exchange": ["resource_control_policy"]},
        None,
        f"exempt arn:aws:iam::123456789012:role/{ROLE}",
    ),
    "duration above the role's maximum": Row(
        variable("AWS_OIDC_SIDECAR_DURATION", "7200"),
        {"iam": ["duration_over_maximum"], "exchange": ["duration_over_maximum"]},
        {"exchange": ["duration_over_maximum"]},
        f"--role-name {ROLE} --max-session-duration 7200",
    ),
    "session policy too large": Row(
        local_sts(FaultKind.POLICY_TOO_LARGE), {"exchange": ["session_policy_too_large"]}, None, "shorten `policy`"
    ),
    "STS down": Row(
        local_sts(FaultKind.DOWN, Scope.ALL),
        {"sts_path": ["sts_connection"], "exchange": ["sts_no_answer"]},
        None,
        "allow egress to 127.0.0.1 on port ",
        3,
    ),
}


@pytest.mark.rule("Kubernetes D10")
@pytest.mark.mutant(
    "a wrong namespace is reported as a wrong ServiceAccount", case="trust policy for another namespace"
)
@pytest.mark.mutant("a rotated CA is reported as a leaf certificate", case="CA rotated")
@pytest.mark.mutant("401 is reported as 403", case="anonymous requests off")
@pytest.mark.mutant(
    "the token's key is not looked up among the published keys", case="signing key rotated and not published"
)
@pytest.mark.mutant("a wrong clock is reported in one direction only", case="clock ten minutes ahead")
@pytest.mark.mutant(
    "the kind of policy that AWS names is ignored", case="denied by a resource control policy of the same organization"
)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_exact_with_iam_read_access(doctor_setup: DoctorSetup, name: str) -> None:
    row = FAULTS[name]
    row.fault(doctor_setup)
    report = doctor_setup.run(rights=True)
    assert report.causes() == row.exact
    assert all(report.checks[check]["exact"] for check in row.exact)
    # A cause in IAM has what was compared, and the check of the exchange repeats it.
    compared = {cause["name"]: cause["compared"] for cause in report.checks["iam"]["causes"]}
    assert all(compared.values())
    again = {cause["name"]: cause["compared"] for cause in report.checks["exchange"]["causes"] if "iam" in row.exact}
    assert again.items() <= compared.items()
    if row.compared is not None:
        (first, *_) = next(iter(compared.values()))
        assert [first["wanted"], first["found"]] == row.compared
    assert row.fix in report.fix(next(iter(row.exact)))
    assert report.status == row.status


@pytest.mark.mutant("a denial with several possible causes is reported as exact", case="role ARN misspelt")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_of_the_possible_causes_without_iam_read_access(doctor_setup: DoctorSetup, name: str) -> None:
    row = FAULTS[name]
    row.fault(doctor_setup)
    report = doctor_setup.run()
    wanted = row.possible or row.exact
    assert report.causes() == wanted
    for check in wanted:
        causes = report.checks[check]["causes"]
        assert report.checks[check]["exact"] is (len(causes) == 1)
        # Each of several possible causes has the command that confirms it.
        assert len(causes) == 1 or all(cause["to_confirm"] for cause in causes)
        # No text has a placeholder in place of a fact that only IAM has.
        assert not [cause for cause in causes if re.search("<[a-z-]+>", cause["what"] + cause["fix"])]


def test_a_token_file_may_be_relative_to_the_current_directory(doctor_setup: DoctorSetup) -> None:
    doctor_setup.patch.chdir(doctor_setup.token_file.parent)
    report = doctor_setup.run("--token-file", doctor_setup.token_file.name)
    assert report.causes() == {}
    assert report.checks["token_file"]["evidence"].startswith(f"{doctor_setup.token_file}: ")
