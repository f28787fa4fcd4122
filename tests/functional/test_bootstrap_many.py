"""``bootstrap aws`` with files, chains, two issuers, and as a script of the AWS CLI."""

import json
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from examples.local.issuer import Issuer
from examples.local.moto_backend import CLIENT_CONFIG
from examples.local.world import World
from sidecar.bootstrap.file import ROLE_KEYS, TOP_KEYS
from tests.functional.bootstrapping import PROVIDER_ARN, ROLE, USUAL, bootstrap, exchange, good, iam_now, variables

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
    """Return the ARN of the session that a token of First gets of Second, with a tag."""
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


def test_the_example_is_what_it_says(fresh_world: World) -> None:
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


def test_the_example_has_every_key() -> None:
    text = _EXAMPLE.read_text()
    assert [key for key in (*TOP_KEYS, *ROLE_KEYS) if f"{key} = " not in text and f"{key}]" not in text] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("issuer = 1", "roles.toml: issuer: not a text"),
        ('issuer = "https://issuer.test"\nrole = []\nbucket = 1', "roles.toml: bucket: not known"),
        ('issuer = "https://issuer.test"\n[[role]]\nname = "A"\narn = "x"', "roles.toml: role 1 (A): arn: not known"),
        ("issuer =", "roles.toml: not TOML"),
        ('[[role]]\nname = "A"', "roles.toml: issuer: missing"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line(fresh_world: World, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "roles.toml").write_text(text)
    done = bootstrap(fresh_world, "--file", str(tmp_path / "roles.toml"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"aws-oidc-sidecar: {tmp_path}/{told}")


# --- chains ---


def test_a_role_of_a_chain_is_assumed_by_the_first_and_not_by_tokens(fresh_world: World, tmp_path: Path) -> None:
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


def test_a_chain_that_is_given_up_leaves_no_right_behind(fresh_world: World, tmp_path: Path) -> None:
    file = tmp_path / "roles.toml"
    file.write_text(_CHAIN)
    good(bootstrap(fresh_world, "--file", str(file)))
    file.write_text(_CHAIN[: _CHAIN.index("[[role]]")] + _CHAIN[_CHAIN.rindex("[[role]]") :])
    good(bootstrap(fresh_world, "--file", str(file)))
    assert iam_now(fresh_world)["roles"]["First"]["inline"] == {}


# --- two issuers ---


def test_one_moves_from_one_issuer_to_another_without_an_interruption(fresh_world: World) -> None:
    world = fresh_world
    with Issuer("https://managed.test/projects/p/shoots/s/issuer", clock=world.clock) as new:
        world.aws.connect_to.update(new.connect_to)
        role = USUAL[2:]
        good(bootstrap(world, *USUAL))
        good(bootstrap(world, "--issuer", new.url, "--also-trust", world.issuer.url, *role))
        assert ROLE in exchange(world, world.issuer.mint())
        assert ROLE in exchange(world, new.mint())
        # No token of the old issuer is left, and it may be gone already.
        good(bootstrap(world, "--issuer", new.url, *role))
        assert exchange(world, world.issuer.mint()) == "AccessDenied"
        assert ROLE in exchange(world, new.mint())
        shown = good(bootstrap(world, "--issuer", world.issuer.url, *role, "--destroy"))
        assert f"role {ROLE} stays: others made it, or another set-up" in shown
        assert list(iam_now(world)["providers"]) == [
            "arn:aws:iam::123456789012:oidc-provider/managed.test/projects/p/shoots/s/issuer"
        ]
        assert ROLE in exchange(world, new.mint())


def test_the_old_issuer_may_be_down_but_not_unknown(fresh_world: World) -> None:
    world = fresh_world
    with Issuer("https://managed.test", clock=world.clock) as new:
        world.aws.connect_to.update(new.connect_to)
        both = ("--issuer", new.url, "--also-trust", world.issuer.url, *USUAL[2:])
        world.issuer.down = True
        refused = bootstrap(world, *both)
        assert refused.returncode in {3, 5}, "a connection is cut during the handshake, or before it"
        assert iam_now(world) == {"providers": {}, "roles": {}}
        world.issuer.down = False
        good(bootstrap(world, *USUAL))
        world.issuer.down = True
        done = bootstrap(world, *both)
        assert "its thumbprints stay as they are" in done.stderr
        good(done)
        world.issuer.down = False
        assert ROLE in exchange(world, world.issuer.mint())
        assert ROLE in exchange(world, new.mint())


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("advertised_issuer", "https://managed.test"), ("anonymous", False), ("jwks_uri", "https://issuer.test/none")],
)
def test_the_old_issuer_may_answer_wrongly_but_not_the_first(fresh_world: World, attribute: str, value: object) -> None:
    world = fresh_world
    with Issuer("https://managed.test", clock=world.clock) as new:
        world.aws.connect_to.update(new.connect_to)
        good(bootstrap(world, *USUAL))
        before = iam_now(world)["providers"][PROVIDER_ARN]
        setattr(world.issuer, attribute, value)
        done = bootstrap(world, "--issuer", new.url, "--also-trust", world.issuer.url, *USUAL[2:])
        good(done)
        assert done.stderr.startswith("warning: https://issuer.test")
        assert done.stderr.endswith("; its thumbprints stay as they are\n")
        assert iam_now(world)["providers"][PROVIDER_ARN] == before
        assert ROLE in exchange(world, new.mint())
        assert bootstrap(world, *USUAL).returncode == 5


# --- --emit cli ---


def test_where_no_script_can_be_made_nothing_is_printed_for_a_shell(fresh_world: World) -> None:
    fresh_world.issuer.advertised_issuer = "https://other.test"
    done = bootstrap(fresh_world, *USUAL, "--emit", "cli")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (5, "", 1)


def _run_script(world: World, script: str) -> None:
    environment = variables(world)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["sh"], input=script, env=environment, capture_output=True, text=True, check=False, timeout=55
    )
    assert done.returncode == 0, done.stderr


def test_the_script_makes_the_same(fresh_world: World, tmp_path: Path) -> None:
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
        _run_script(world, script)
        by_script = iam_now(world)
        assert bootstrap(world, *arguments, "--check").returncode == 0
        good(bootstrap(world, *arguments, "--destroy"))
        good(bootstrap(world, *arguments))
        assert iam_now(world) == by_script
        good(bootstrap(world, *arguments, "--destroy"))


def test_the_script_needs_no_credentials_where_the_account_is_given(fresh_world: World) -> None:
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    account = ("--emit", "cli", "--account-id", "210987654321", "--partition", "aws-cn")
    usual = (*USUAL[:-2], *account)
    script = good(bootstrap(fresh_world, *usual, environment=none))
    assert "arn:aws-cn:iam::210987654321:oidc-provider/issuer.test" in script
    assert fresh_world.aws.calls() == ()
    refused = bootstrap(fresh_world, *USUAL, *account, environment=none)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "is of another partition" in refused.stderr
