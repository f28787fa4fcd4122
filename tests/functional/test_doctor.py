"""The doctor names each fault of the chain to AWS, set up for real, and raises no false alarm."""

import datetime as dt
from typing import NamedTuple

import pytest

from examples.local.faults import FaultKind, Scope
from examples.local.pki import Authority
from tests.functional.doctoring import Ill, Patient

ROLE = "KubernetesParameterStoreRole"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/issuer.test"
DENIED = ["role_missing", "trust_namespace", "trust_service_account", "trust_audience", "trust_principal",
          "trust_denied", "propagation"]  # fmt: skip
NO_PROVIDER = ["provider_missing", "role_in_other_account", "provider_url", "propagation"]
AUDIENCE = ["client_id_missing", "token_audience", "propagation"]
THUMBPRINT = ["thumbprint_of_leaf", "ca_rotated", "propagation"]


def misspell(patient: Patient) -> None:
    patient.environment["AWS_ROLE_ARN"] += "x"


def move_role(patient: Patient) -> None:
    patient.environment["AWS_ROLE_ARN"] = f"arn:aws:iam::210987654321:role/{ROLE}"


def forget_audience(patient: Patient) -> None:
    iam = patient.world.admin_client("iam")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER, ClientID="sts.amazonaws.com")


def forget_provider(patient: Patient) -> None:
    patient.world.admin_client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER)


def of_issuer(suffix: str) -> Ill:
    def fault(patient: Patient) -> None:
        issuer = patient.world.issuer
        claims = issuer.claims(namespace="default", service_account="aws-parameter-reader", pod="aws-test", node="n")
        now = int(patient.world.clock())
        claims |= {"iss": issuer.url + suffix, "aud": ["sts.amazonaws.com"], "iat": now, "nbf": now, "exp": now + 3600}
        issuer.advertised_issuer = issuer.url + suffix
        patient.project(issuer.sign(claims))

    return fault


def register_leaf(patient: Patient) -> None:
    iam, issuer = patient.world.admin_client("iam"), patient.world.issuer
    leaf = issuer.thumbprints[0]
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=PROVIDER, ThumbprintList=[leaf])
    issuer.reissue_certificate()


def rotate_ca(patient: Patient) -> None:
    born = dt.datetime.now(dt.UTC)  # noqa: TID251 - not a part of us reads it
    patient.world.issuer.replace_authority(Authority("new CA", not_before=born))


def hide_keys(patient: Patient) -> None:
    patient.world.issuer.jwks_uri = "https://keys.test/openid/v1/jwks"
    patient.world.aws.connect_to["keys.test", 443] = ("127.0.0.1", 1)


def rotate_key_unseen(patient: Patient) -> None:
    issuer = patient.world.issuer
    issuer.stale_jwks = True
    issuer.rotate_key()
    patient.mint()


def setting(name: str, value: object) -> Ill:
    def fault(patient: Patient) -> None:
        setattr(patient.world.issuer, name, value)

    return fault


def trust(**changes: str) -> Ill:
    def fault(patient: Patient) -> None:
        patient.world.set_up_trust(**changes)  # type: ignore[arg-type]

    return fault


def token(**changes: object) -> Ill:
    return lambda patient: patient.mint(**changes)


def variable(name: str, value: str) -> Ill:
    return lambda patient: patient.environment.update({name: value})


def told(kind: FaultKind, scope: Scope = Scope.STS) -> Ill:
    return lambda patient: patient.world.aws.faults.set(kind, scope=scope)


def move_time(seconds: float) -> Ill:
    def fault(patient: Patient) -> None:
        # The world's time is right, and ours is not.
        patient.world.clock.advance(seconds)
        patient.mint()

    return fault


class Row(NamedTuple):
    """A fault, and what the doctor has to say.

    Attributes:
        fault: sets it up.
        exact: {check: causes} of all broken links for whoever may read IAM.
        possible: the same for whoever may not; None where it is the same.
        mend: a part of the first mend.
        status: the exit code with rights.
    """

    fault: Ill
    exact: dict[str, list[str]]
    possible: dict[str, list[str]] | None
    mend: str
    status: int = 4


def iam(cause: str, possible: list[str], mend: str, fault: Ill, status: int = 4) -> Row:
    return Row(fault, {"iam": [cause], "exchange": [cause]}, {"exchange": possible}, mend, status)


FAULTS = {
    "role ARN misspelt": iam("role_missing", DENIED, f"--role {ROLE}x", misspell),
    "role in another account than the provider": iam(
        "role_in_other_account", NO_PROVIDER, "make the provider in 210987654321", move_role
    ),
    "trust policy for another namespace": iam(
        "trust_namespace", DENIED, "system:serviceaccount:default:aws-parameter-reader", trust(namespace="other")
    ),
    "trust policy for another ServiceAccount": iam(
        "trust_service_account", DENIED, "serviceAccountName", trust(service_account="writer")
    ),
    "trust policy for another audience": iam(
        "trust_audience", DENIED, "put sts.amazonaws.com into", trust(audience="another")
    ),
    "audience not among the client ids": iam(
        "client_id_missing", AUDIENCE, "add-client-id-to-open-id-connect-provider --client-id sts.amaz", forget_audience
    ),
    "audience wrong in the token": Row(
        token(audience="vault"),
        {"iam": ["token_audience", "trust_audience"], "exchange": ["token_audience", "trust_audience"]},
        {"exchange": AUDIENCE},
        "set audience: sts.amazonaws.com in the projected volume",
    ),
    "no provider": iam("provider_missing", NO_PROVIDER, "--issuer https://issuer.test", forget_provider),
    "issuer with a trailing slash": Row(
        of_issuer("/"),
        {"token_claims": ["issuer_form"], "iam": ["provider_url"], "exchange": ["provider_url"]},
        {"token_claims": ["issuer_form"], "exchange": NO_PROVIDER},
        "--service-account-issuer",
        5,
    ),
    "issuer with a port": Row(
        of_issuer(":443"),
        {"token_claims": ["issuer_form"], "iam": ["provider_url"], "exchange": ["provider_url"]},
        {"token_claims": ["issuer_form"], "exchange": NO_PROVIDER},
        "--service-account-issuer",
        5,
    ),
    "thumbprint of a leaf that was issued anew": iam(
        "thumbprint_of_leaf", THUMBPRINT, "register the last certificate's", register_leaf, 5
    ),
    "CA rotated": iam("ca_rotated", THUMBPRINT, "beside the old one", rotate_ca, 5),
    "key set out of reach": Row(
        hide_keys,
        {"keys": ["jwks_unreachable"], "exchange": ["jwks_unreachable"]},
        None,
        "--service-account-jwks-uri to https://issuer.test/openid/v1/jwks",
        3,
    ),
    "issuer out of reach": Row(
        setting("down", True),  # noqa: FBT003 - of setattr
        {"discovery": ["issuer_unreachable"], "exchange": ["issuer_unreachable"]},
        None,
        "open port 443",
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
        setting("bearer", "somebody's"),
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
        lambda patient: patient.mint(now=patient.world.clock() - 7200),
        {"token_file": ["token_expired"], "exchange": ["token_expired_at_aws"]},
        None,
        "kubelet",
        1,
    ),
    "clock ten minutes behind": Row(move_time(600), {"clock": ["clock_behind"]}, None, "NTP", 1),
    # The token has expired by our clock, and AWS takes it.
    "clock two hours ahead": Row(move_time(-7200), {"clock": ["clock_ahead"]}, None, "NTP", 1),
    "clock ten minutes ahead": Row(move_time(-600), {"clock": ["clock_ahead"]}, None, "NTP", 1),
    "STS off in the region": Row(
        told(FaultKind.REGION_DISABLED), {"exchange": ["region_disabled"]}, None, "activate it"
    ),
    "wrong partition": Row(
        variable("AWS_ROLE_ARN", f"arn:aws-cn:iam::123456789012:role/{ROLE}"),
        {"role": ["wrong_partition"]},
        None,
        "write the role's ARN with aws,",
        2,
    ),
    "duration above the role's maximum": Row(
        variable("AWS_OIDC_SIDECAR_DURATION", "7200"),
        {"iam": ["duration_over_maximum"], "exchange": ["duration_over_maximum"]},
        {"exchange": ["duration_over_maximum"]},
        f"--role-name {ROLE} --max-session-duration 7200",
    ),
    "session policy too large": Row(
        told(FaultKind.POLICY_TOO_LARGE), {"exchange": ["session_policy_too_large"]}, None, "shorten `policy`"
    ),
    "STS down": Row(
        told(FaultKind.DOWN, Scope.ALL),
        {"sts_path": ["sts_connection"], "exchange": ["sts_no_answer"]},
        None,
        "allow egress to 127.0.0.1 on port ",
        3,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_exactly_by_who_may_read_iam(patient: Patient, name: str) -> None:
    row = FAULTS[name]
    row.fault(patient)
    report = patient.ask(rights=True)
    assert report.causes() == row.exact
    assert all(report.checks[check]["exact"] for check in row.exact)
    assert row.mend in report.mend(next(iter(row.exact)))
    assert report.status == row.status


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_of_a_set_for_who_may_not(patient: Patient, name: str) -> None:
    row = FAULTS[name]
    row.fault(patient)
    report = patient.ask()
    wanted = row.possible or row.exact
    assert report.causes() == wanted
    for check in wanted:
        causes = report.checks[check]["causes"]
        assert report.checks[check]["exact"] is (len(causes) == 1)
        # Where it is not known, each has the command that decides it.
        assert len(causes) == 1 or all(cause["decide"] for cause in causes)
