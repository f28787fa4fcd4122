"""An issuer that ends with a slash, as those of AKS, Auth0 and Entra: commands and the strict AWS keep the slash."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.local.issuer import Issuer
from examples.local.world import World
from tests.functional.bootstrapping import ROLE, bootstrap, exchange, good, iam_now
from tests.functional.doctoring import DoctorSetup
from tests.functional.published import setup

ISSUERS = ["https://aks.test/00000000-0000-0000-0000-000000000000/", "https://auth.test/", "https://path.test/a/b"]


@contextmanager
def serving(world: World, url: str) -> Iterator[Issuer]:
    with Issuer(url, clock=world.clock) as issuer:
        world.aws.connect_to.update(issuer.connect_to)
        yield issuer


def set_up(world: World, url: str) -> None:
    account = ("--role", ROLE, "--service-account", "default/aws-parameter-reader")
    good(bootstrap(world, "--issuer", url, *account))


def sibling(url: str) -> str:
    """Return an issuer's URL with a slash at the end if it has none, or without its slash."""
    return url.removesuffix("/") if url.endswith("/") else url + "/"


def of_sibling(world: World, issuer: Issuer) -> str:
    """Return a token of the same key whose `iss` is the sibling of the issuer's URL."""
    claims = issuer.claims(namespace="default", service_account="aws-parameter-reader", pod="aws-test", node="n")
    now = int(world.clock())
    times = {"aud": ["sts.amazonaws.com"], "iat": now, "nbf": now, "exp": now + 3600}
    return issuer.sign(claims | times | {"iss": sibling(issuer.url)})


@pytest.mark.parametrize("url", ISSUERS)
def test_bootstrap_keeps_the_slash_in_provider_and_condition_keys_and_aws_accepts_the_token(
    fresh_world: World, url: str
) -> None:
    name = url.removeprefix("https://")
    with serving(fresh_world, url) as issuer:
        set_up(fresh_world, url)
        assert exchange(fresh_world, issuer.mint()).endswith(f":assumed-role/{ROLE}/test")
    there = iam_now(fresh_world)
    (arn,) = there["providers"]
    assert arn == f"arn:aws:iam::123456789012:oidc-provider/{name}"
    (statement,) = there["roles"][ROLE]["trust"]["Statement"]
    assert statement["Principal"] == {"Federated": arn}
    assert sorted(statement["Condition"]["StringEquals"]) == [f"{name}:aud", f"{name}:sub"]
    assert "nothing to do" in good(
        bootstrap(fresh_world, "--issuer", url, "--role", ROLE, "--service-account", "default/aws-parameter-reader",
                  "--thumbprint", there["providers"][arn]["thumbprints"][0])
    )  # fmt: skip


@pytest.mark.mutant("the local STS treats issuers with and without the last slash as equal", case="https://auth.test/")
@pytest.mark.parametrize("url", ISSUERS)
def test_for_the_strict_sts_the_slash_makes_another_issuer(fresh_world: World, url: str) -> None:
    with serving(fresh_world, url) as issuer:
        set_up(fresh_world, url)
        assert exchange(fresh_world, of_sibling(fresh_world, issuer)) == "InvalidIdentityToken"


@pytest.mark.mutant("the slash at the end of an issuer stays in its documents' URLs", case="https://auth.test/")
@pytest.mark.parametrize("url", ISSUERS)
def test_the_doctor_passes_for_an_issuer_with_a_slash(doctor_setup: DoctorSetup, url: str) -> None:
    with serving(doctor_setup.world, url) as issuer:
        doctor_setup.world.admin_client("iam").detach_role_policy(
            RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"
        )
        doctor_setup.world.admin_client("iam").delete_role(RoleName=ROLE)
        set_up(doctor_setup.world, url)
        doctor_setup.project(issuer.mint())
        report = doctor_setup.run(rights=True)
        assert report.causes("broken", "advice", "unknown") == {}
        discovery = url.removesuffix("/") + "/.well-known/openid-configuration"
        assert report.checks["discovery"]["evidence"] == f"{discovery} has this issuer"


@pytest.mark.mutant(
    "a provider without the last slash of the iss is reported as the right one", case="https://auth.test/"
)
@pytest.mark.parametrize("url", ISSUERS)
def test_the_doctor_shows_iss_and_provider_url_if_only_the_slash_differs(doctor_setup: DoctorSetup, url: str) -> None:
    with serving(doctor_setup.world, url) as issuer:
        iam = doctor_setup.world.admin_client("iam")
        iam.create_open_id_connect_provider(
            Url=url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=[issuer.thumbprints[-1]]
        )
        issuer.advertised_issuer = sibling(url)
        doctor_setup.project(of_sibling(doctor_setup.world, issuer))
        report = doctor_setup.run(rights=True)
    assert report.causes() == {"iam": ["provider_url"], "exchange": ["provider_url"]}
    what = report.checks["iam"]["causes"][0]["what"]
    assert f"the token's iss, {sibling(url)}, but one for {url}: " in what


@pytest.mark.parametrize("url", ISSUERS[:2])
def test_the_doctor_shows_the_discovery_documents_issuer_and_the_iss(doctor_setup: DoctorSetup, url: str) -> None:
    with serving(doctor_setup.world, url) as issuer:
        issuer.advertised_issuer = url.removesuffix("/")
        doctor_setup.project(issuer.mint())
        report = doctor_setup.run()
    assert report.causes()["discovery"] == ["issuer_differs"]
    assert report.checks["discovery"]["evidence"].endswith(f"has issuer {issuer.advertised_issuer}, not {url}")


def test_the_doctor_names_condition_keys_and_a_principal_without_the_slash(doctor_setup: DoctorSetup) -> None:
    url = ISSUERS[0]
    name = url.removeprefix("https://")
    with serving(doctor_setup.world, url) as issuer:
        iam = doctor_setup.world.admin_client("iam")
        arn = iam.create_open_id_connect_provider(
            Url=url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=[issuer.thumbprints[-1]]
        )["OpenIDConnectProviderArn"]
        doctor_setup.project(issuer.mint())
        found = {}
        for cause, principal in (("trust_key", arn), ("trust_principal", arn.removesuffix("/"))):
            statement = {
                "Effect": "Allow",
                "Principal": {"Federated": principal},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{principal.split('provider/')[1].removesuffix('/')}:sub": "x"}},
            }
            if cause == "trust_principal":
                del statement["Condition"]
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=document)
            report = doctor_setup.run(rights=True)
            assert report.causes() == {"iam": [cause], "exchange": [cause]}
            found[cause] = report.checks["iam"]["causes"][0]["what"]
    bare = name.removesuffix("/")
    assert f"the condition key {bare}:sub," in found["trust_key"]
    assert f"the keys are {name}:aud and {name}:sub," in found["trust_key"]
    assert (
        f"the OIDC provider of this issuer, {name}, as its principal; "
        f"found: arn:aws:iam::123456789012:oidc-provider/{bare} (" in found["trust_principal"]
    )


@pytest.mark.parametrize(
    "url", ["https://published.test/", "https://published.test/prod/", "https://published.test/prod"]
)
def test_publish_keeps_the_slash_in_the_document_and_aws_reads_the_files_below_the_path(
    fresh_world: World, tmp_path: Path, url: str
) -> None:
    with setup(fresh_world, tmp_path, url) as publish_setup:
        publish_setup.trust()
        assert publish_setup.publish().code == 0
        document = json.loads((publish_setup.directory / ".well-known/openid-configuration").read_bytes())
        below = url.removesuffix("/")
        assert (document["issuer"], document["jwks_uri"]) == (url, f"{below}/openid/v1/jwks")
        assert (publish_setup.directory / "openid/v1/jwks").is_file()
        assert publish_setup.exchange(publish_setup.cluster.mint()) == ""
        assert publish_setup.check().code == 0
