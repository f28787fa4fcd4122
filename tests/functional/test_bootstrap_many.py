"""``bootstrap aws`` with files, role chains, two issuers, and as a script of AWS CLI commands."""

import json
from pathlib import Path

import boto3
import pytest

from examples.local.issuer import Issuer
from examples.local.moto_backend import CLIENT_CONFIG
from examples.local.world import World
from sidecar.bootstrap.file import ROLE_KEYS, TOP_KEYS
from tests.functional.bootstrapping import PROVIDER_ARN, ROLE, USUAL, bootstrap, exchange, good, iam_now, run_script

_EXAMPLE = Path(__file__).parents[2] / "examples" / "bootstrap" / "roles.toml"
_HERE = ("--file", str(_EXAMPLE), "--issuer", "https://issuer.test")
_CHAIN = """
issuer = "https://issuer.test"

[[role]]
name = "Second"
assumed_by = ["First"]
session_tags = true

[[role]]
name = "First"
path = "/team/"
service_accounts = ["default/aws-parameter-reader"]
"""


def _assume_second(world: World) -> str:
    """Return the ARN of the session of Second that a token gets through First, with a session tag."""
    first = world.admin_client("sts").assume_role_with_web_identity(
        RoleArn="arn:aws:iam::123456789012:role/team/First",
        RoleSessionName="test",
        WebIdentityToken=world.issuer.mint(),
    )["Credentials"]
    session = boto3.Session(
        first["AccessKeyId"], first["SecretAccessKey"], first["SessionToken"], region_name="eu-central-1"
    )
    sts = session.client("sts", endpoint_url=world.aws.url, config=CLIENT_CONFIG)
    try:
        return sts.assume_role(
            RoleArn="arn:aws:iam::123456789012:role/Second",
            RoleSessionName="test",
            Tags=[{"Key": "pod", "Value": "aws-test"}],
        )["AssumedRoleUser"]["Arn"]
    finally:
        sts.close()


# --- files ---


def test_the_example_file_works(fresh_world: World) -> None:
    world = fresh_world
    good(bootstrap(world, *_HERE))
    assert good(bootstrap(world, *_HERE)).endswith("nothing to do\n")
    for namespace, account, role in (
        ("default", "aws-parameter-reader", ROLE),
        ("payments", "worker", "kubernetes/ParameterReader"),
        ("reports", "worker", "kubernetes/ParameterReader"),
        ("preview-7", "web", "Preview"),
    ):
        token = world.issuer.mint(namespace=namespace, service_account=account)
        assert exchange(world, token, role).endswith(f"{role.rpartition('/')[2]}/test")
    assert exchange(world, world.issuer.mint(namespace="preview-7", service_account="db"), "Preview") == "AccessDenied"
    assert exchange(world, world.issuer.mint(namespace="reports", service_account="nightly")) == "AccessDenied"
    found = iam_now(world)
    assert found["providers"][PROVIDER_ARN]["client_ids"] == ["preview", "sts.amazonaws.com"]
    assert found["roles"]["ParameterReader"]["tags"].items() >= {"cluster": "prod", "team": "payments"}.items()
    assert set(found["roles"]["Deployer"]["inline"]) == {"aws-oidc-sidecar-assume-DeployTarget"}
    good(bootstrap(world, *_HERE, "--destroy"))
    assert iam_now(world) == {"providers": {}, "roles": {}}


def test_the_example_file_has_all_keys() -> None:
    text = _EXAMPLE.read_text()
    assert [key for key in (*TOP_KEYS, *ROLE_KEYS) if f"{key} = " not in text and f"{key}]" not in text] == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("issuer = 1", "roles.toml: issuer: not a string"),
        ('issuer = "https://issuer.test"\nrole = []\nbucket = 1', "roles.toml: bucket: unknown key"),
        ('issuer = "https://issuer.test"\n[[role]]\nname = "A"\narn = "x"', "roles.toml: role 1 (A): arn: unknown key"),
        ("issuer =", "roles.toml: not TOML"),
        ('[[role]]\nname = "A"', "roles.toml: issuer: missing"),
    ],
)
def test_an_invalid_file_is_rejected_in_one_line(fresh_world: World, tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "roles.toml").write_text(text)
    done = bootstrap(fresh_world, "--file", str(tmp_path / "roles.toml"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"aws-oidc-sidecar: {tmp_path}/{error}")


# --- chains ---


def test_a_chained_role_is_assumed_by_its_source_role_and_not_by_tokens(fresh_world: World, tmp_path: Path) -> None:
    world = fresh_world
    (tmp_path / "roles.toml").write_text(_CHAIN)
    good(bootstrap(world, "--file", str(tmp_path / "roles.toml")))
    assert _assume_second(world) == "arn:aws:sts::123456789012:assumed-role/Second/test"
    assert exchange(world, world.issuer.mint(), "Second") == "AccessDenied"
    found = iam_now(world)["roles"]
    assert found["First"]["inline"]["aws-oidc-sidecar-assume-Second"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Resource": "arn:aws:iam::123456789012:role/Second",
        }
    ]
    assert found["Second"]["trust"]["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::123456789012:role/team/First"}


def test_replace_removes_the_policy_of_a_removed_role_chain(fresh_world: World, tmp_path: Path) -> None:
    file = tmp_path / "roles.toml"
    file.write_text(_CHAIN)
    good(bootstrap(fresh_world, "--file", str(file)))
    file.write_text(_CHAIN[: _CHAIN.index("[[role]]")] + _CHAIN[_CHAIN.rindex("[[role]]") :])
    before = iam_now(fresh_world)
    shown = good(bootstrap(fresh_world, "--file", str(file)))
    assert "role First also has aws-oidc-sidecar-assume-Second, which is not changed without --replace\n" in shown
    assert iam_now(fresh_world) == before, "another team may need it"
    good(bootstrap(fresh_world, "--file", str(file), "--replace"))
    assert iam_now(fresh_world)["roles"]["First"]["inline"] == {}


# --- two issuers ---


def test_a_migration_between_issuers_has_no_interruption(fresh_world: World) -> None:
    world = fresh_world
    with Issuer("https://managed.test/projects/p/shoots/s/issuer", clock=world.clock) as new:
        world.aws.connect_to.update(new.connect_to)
        role = USUAL[2:]
        good(bootstrap(world, *USUAL))
        good(bootstrap(world, "--issuer", new.url, "--also-trust", world.issuer.url, *role))
        assert ROLE in exchange(world, world.issuer.mint())
        assert ROLE in exchange(world, new.mint())
        # All tokens of the old issuer have expired, and it may no longer exist.
        shown = good(bootstrap(world, "--issuer", new.url, *role, "--replace"))
        subject = "system:serviceaccount:default:aws-parameter-reader"
        assert f"  - role {ROLE}: trust policy: sub {subject} of issuer.test\n" in shown
        assert exchange(world, world.issuer.mint()) == "AccessDenied"
        assert ROLE in exchange(world, new.mint())
        shown = good(bootstrap(world, "--issuer", world.issuer.url, *role, "--destroy"))
        assert f"role {ROLE} stays: this command did not create it, or created it for another issuer" in shown
        assert list(iam_now(world)["providers"]) == [
            "arn:aws:iam::123456789012:oidc-provider/managed.test/projects/p/shoots/s/issuer"
        ]
        assert ROLE in exchange(world, new.mint())


def test_the_old_issuer_may_be_down_if_its_provider_exists(fresh_world: World) -> None:
    world = fresh_world
    with Issuer("https://managed.test", clock=world.clock) as new:
        world.aws.connect_to.update(new.connect_to)
        both = ("--issuer", new.url, "--also-trust", world.issuer.url, *USUAL[2:])
        world.issuer.down = True
        failed = bootstrap(world, *both)
        assert failed.returncode in {3, 5}, "the connection is closed during the handshake, or before it"
        assert iam_now(world) == {"providers": {}, "roles": {}}
        world.issuer.down = False
        good(bootstrap(world, *USUAL))
        world.issuer.down = True
        done = bootstrap(world, *both)
        assert "its thumbprints are not changed" in done.stderr
        good(done)
        world.issuer.down = False
        assert ROLE in exchange(world, world.issuer.mint())
        assert ROLE in exchange(world, new.mint())


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("advertised_issuer", "https://managed.test"), ("anonymous", False), ("jwks_uri", "https://issuer.test/none")],
)
def test_the_old_issuer_may_serve_wrong_documents_and_the_first_may_not(
    fresh_world: World, attribute: str, value: object
) -> None:
    world = fresh_world
    with Issuer("https://managed.test", clock=world.clock) as new:
        world.aws.connect_to.update(new.connect_to)
        good(bootstrap(world, *USUAL))
        before = iam_now(world)["providers"][PROVIDER_ARN]
        setattr(world.issuer, attribute, value)
        done = bootstrap(world, "--issuer", new.url, "--also-trust", world.issuer.url, *USUAL[2:])
        good(done)
        assert done.stderr.startswith("warning: issuer: ")
        assert "https://issuer.test" in done.stderr
        assert done.stderr.endswith("; its thumbprints are not changed\n")
        assert iam_now(world)["providers"][PROVIDER_ARN] == before
        assert ROLE in exchange(world, new.mint())
        assert bootstrap(world, *USUAL).returncode == 5


# --- --emit cli ---


def test_after_an_error_emit_prints_nothing_to_stdout(fresh_world: World) -> None:
    fresh_world.issuer.advertised_issuer = "https://other.test"
    done = bootstrap(fresh_world, *USUAL, "--emit", "cli")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (5, "", 1)


@pytest.mark.rule("Kubernetes D10")
def test_the_script_has_the_same_result_as_the_command(fresh_world: World, tmp_path: Path) -> None:
    world = fresh_world
    (tmp_path / "roles.toml").write_text(_CHAIN)
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*",
              "Condition": {"StringEquals": {"aws:PrincipalTag/it's": 'a "b" $c'}}}}  # fmt: skip
    (tmp_path / "p.json").write_text(json.dumps(policy))
    usual = (*USUAL, "--inline-policy", f"p={tmp_path / 'p.json'}", "--audience", "https://kubernetes.default.svc",
             "--tag", "owner=team a")  # fmt: skip
    for arguments in (usual, ("--file", str(tmp_path / "roles.toml"))):
        script = good(bootstrap(world, *arguments, "--emit", "cli"))
        assert iam_now(world) == {"providers": {}, "roles": {}}
        run_script(world, script)
        by_script = iam_now(world)
        assert bootstrap(world, *arguments, "--check").returncode == 0
        good(bootstrap(world, *arguments, "--destroy"))
        good(bootstrap(world, *arguments))
        assert iam_now(world) == by_script
        good(bootstrap(world, *arguments, "--destroy"))


def test_with_an_account_id_the_script_needs_no_credentials(fresh_world: World) -> None:
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    account = ("--emit", "cli", "--account-id", "210987654321", "--partition", "aws-cn")
    usual = (*USUAL[:-2], *account)
    script = good(bootstrap(fresh_world, *usual, environment=none))
    assert "arn:aws-cn:iam::210987654321:oidc-provider/issuer.test" in script
    assert fresh_world.aws.calls() == ()
    rejected = bootstrap(fresh_world, *USUAL, *account, environment=none)
    assert (rejected.returncode, rejected.stderr.count("\n")) == (2, 1)
    assert "is in another partition" in rejected.stderr
