"""``bootstrap aws`` creates and repairs what the strict AWS needs: each test exchanges a real token."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.local.issuer import Issuer
from examples.local.world import World
from tests.functional.bootstrapping import (
    OWN_TAGS,
    PROVIDER_ARN,
    READ_ONLY,
    ROLE,
    USUAL,
    bootstrap,
    exchange,
    good,
    iam_now,
)

_SESSION = f"arn:aws:sts::123456789012:assumed-role/{ROLE}/test"


def test_from_an_empty_account_a_token_gets_the_role(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    assert exchange(fresh_world, fresh_world.issuer.mint()) == _SESSION


@pytest.mark.mutant("a trust policy without its aud condition is good enough")
def test_tokens_of_other_service_accounts_do_not_get_the_role(fresh_world: World) -> None:
    world = fresh_world
    good(bootstrap(world, *USUAL, "--audience", "sts.amazonaws.com"))
    assert exchange(world, world.issuer.mint(service_account="other")) == "AccessDenied"
    assert exchange(world, world.issuer.mint(namespace="other")) == "AccessDenied"
    world.admin_client("iam").add_client_id_to_open_id_connect_provider(
        OpenIDConnectProviderArn=PROVIDER_ARN, ClientID="vault"
    )
    assert exchange(world, world.issuer.mint(audience="vault")) == "AccessDenied", "the aud is not in the trust policy"


def test_created_objects_are_tagged(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL, "--tag", "team=payments"))
    found = iam_now(fresh_world)
    assert found["providers"][PROVIDER_ARN]["tags"] == {**OWN_TAGS, "team": "payments"}
    assert found["roles"][ROLE]["tags"] == {**OWN_TAGS, "team": "payments"}


def test_all_flags_of_a_role_are_applied(fresh_world: World, tmp_path: Path) -> None:
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
    (tmp_path / "p.json").write_text(json.dumps(policy))
    good(
        bootstrap(
            fresh_world, *USUAL, "--max-session-seconds", "7200", "--path", "/team/", "--audience", "a",
            "--audience", "b", "--service-account", "jobs/nightly", "--inline-policy", f"read={tmp_path / 'p.json'}",
        )
    )  # fmt: skip
    found = iam_now(fresh_world)
    role = found["roles"][ROLE]
    assert role["arn"] == f"arn:aws:iam::123456789012:role/team/{ROLE}"
    assert (role["max_session_seconds"], role["attached"]) == (7_200, [READ_ONLY])
    assert role["inline"] == {"read": policy}
    assert found["providers"][PROVIDER_ARN]["client_ids"] == ["a", "b"]
    assert role["trust"]["Statement"][0]["Condition"] == {
        "StringEquals": {
            "issuer.test:aud": ["a", "b"],
            "issuer.test:sub": [
                "system:serviceaccount:default:aws-parameter-reader",
                "system:serviceaccount:jobs:nightly",
            ],
        }
    }


def test_a_pattern_needs_the_flag_for_patterns(fresh_world: World) -> None:
    world = fresh_world
    pattern = "system:serviceaccount:jobs:*"
    rejected = bootstrap(world, *USUAL, "--subject", pattern)
    assert (rejected.returncode, rejected.stderr.count("\n")) == (2, 1)
    assert "--subject: has * or ?" in rejected.stderr
    good(bootstrap(world, *USUAL, "--subject-like", pattern))
    assert exchange(world, world.issuer.mint()) == _SESSION
    assert exchange(world, world.issuer.mint(namespace="jobs", service_account="any")) == _SESSION
    assert exchange(world, world.issuer.mint(namespace="jobs2", service_account="any")) == "AccessDenied"


def test_a_second_run_changes_nothing(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    before = iam_now(fresh_world)
    assert good(bootstrap(fresh_world, *USUAL)).endswith("nothing to do\n")
    assert good(bootstrap(fresh_world, *USUAL, "--check")).endswith("no drift; nothing was changed\n")
    assert iam_now(fresh_world) == before


def test_the_delay_of_sts_is_reported_and_not_waited_for(fresh_world: World) -> None:
    fresh_world.aws.propagation_seconds = 10
    assert "STS can need about 10 seconds" in good(bootstrap(fresh_world, *USUAL))
    assert exchange(fresh_world, fresh_world.issuer.mint()) == "InvalidIdentityToken"
    fresh_world.clock.advance(11)
    assert exchange(fresh_world, fresh_world.issuer.mint()) == _SESSION


# --- drift ---


def _trust(iam: Any, **changed: object) -> None:  # noqa: ANN401 - of boto3
    policy = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
    policy["Statement"][0] |= changed
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(policy))


_NAMED = {"OpenIDConnectProviderArn": PROVIDER_ARN}
_DRIFTS: dict[str, Callable[[Any], object]] = {
    "a client id is gone": lambda iam: iam.remove_client_id_from_open_id_connect_provider(
        **_NAMED, ClientID="sts.amazonaws.com"
    ),
    "another thumbprint": lambda iam: iam.update_open_id_connect_provider_thumbprint(
        **_NAMED, ThumbprintList=["0" * 40]
    ),
    "the provider is gone": lambda iam: iam.delete_open_id_connect_provider(**_NAMED),
    "a tag of the provider": lambda iam: iam.untag_open_id_connect_provider(**_NAMED, TagKeys=["team"]),
    "a policy is detached": lambda iam: iam.detach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY),
    "an inline policy is gone": lambda iam: iam.delete_role_policy(RoleName=ROLE, PolicyName="read"),
}


_MORE: dict[str, Callable[[Any], object]] = {
    "no sub in the trust policy": lambda iam: _trust(
        iam, Condition={"StringEquals": {"issuer.test:aud": "sts.amazonaws.com"}}
    ),
    "a statement more": lambda iam: iam.update_assume_role_policy(
        RoleName=ROLE,
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    *iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]["Statement"],
                    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
                ],
            }
        ),
    ),
    "another session length": lambda iam: iam.update_role(RoleName=ROLE, MaxSessionDuration=7200),
    "an inline policy allows more": lambda iam: iam.put_role_policy(
        RoleName=ROLE,
        PolicyName="read",
        PolicyDocument='{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
    ),
    "a tag of the role": lambda iam: iam.tag_role(RoleName=ROLE, Tags=[{"Key": "team", "Value": "else"}]),
}


@pytest.mark.parametrize("drift", _DRIFTS.values(), ids=_DRIFTS.keys())
def test_each_drift_is_found_shown_and_fixed(
    fresh_world: World, tmp_path: Path, drift: Callable[[Any], object]
) -> None:
    world = fresh_world
    (tmp_path / "p.json").write_text(
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "*"}]}'
    )
    usual = (*USUAL, "--inline-policy", f"read={tmp_path / 'p.json'}", "--tag", "team=payments")
    good(bootstrap(world, *usual))
    wanted = iam_now(world)
    drift(world.admin_client("iam"))
    drifted = iam_now(world)
    assert drifted != wanted
    checked, planned = bootstrap(world, *usual, "--check"), bootstrap(world, *usual, "--plan")
    assert (checked.returncode, planned.returncode) == (7, 0)
    assert checked.stdout.split("\n")[:-2] == planned.stdout.split("\n")[:-2], "both show the same changes"
    assert iam_now(world) == drifted, "neither changes anything"
    good(bootstrap(world, *usual))
    fixed = iam_now(world)
    fixed["providers"][PROVIDER_ARN]["thumbprints"] = fixed["providers"][PROVIDER_ARN]["thumbprints"][:1]
    assert fixed == wanted
    assert bootstrap(world, *usual, "--check").returncode == 0
    assert exchange(world, world.issuer.mint()) == _SESSION


@pytest.mark.parametrize("more", _MORE.values(), ids=_MORE.keys())
def test_other_parts_are_reported_and_replace_lists_and_removes_them(
    fresh_world: World, tmp_path: Path, more: Callable[[Any], object]
) -> None:
    world = fresh_world
    (tmp_path / "p.json").write_text(
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "*"}]}'
    )
    usual = (*USUAL, "--inline-policy", f"read={tmp_path / 'p.json'}", "--tag", "team=payments")
    good(bootstrap(world, *usual))
    wanted = iam_now(world)
    more(world.admin_client("iam"))
    with_more = iam_now(world)
    assert with_more != wanted
    assert f"role {ROLE} also has " in good(bootstrap(world, *usual, "--check"))
    assert good(bootstrap(world, *usual)).endswith("nothing to do\n")
    assert iam_now(world) == with_more
    checked = bootstrap(world, *usual, "--check", "--replace")
    assert (checked.returncode, iam_now(world)) == (7, with_more)
    shown = good(bootstrap(world, *usual, "--replace"))
    assert shown.index("to be removed or shortened:\n  - ") < shown.index("\n~ role ")
    assert iam_now(world) == wanted


def test_an_equivalent_trust_policy_is_no_drift(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    _trust(
        fresh_world.admin_client("iam"),
        Action=["sts:AssumeRoleWithWebIdentity"],
        Principal={"Federated": [PROVIDER_ARN]},
        Condition={
            "StringEquals": {
                "issuer.test:SUB": ["system:serviceaccount:default:aws-parameter-reader"],
                "issuer.test:AUD": ["sts.amazonaws.com"],
            }
        },
    )
    assert bootstrap(fresh_world, *USUAL, "--check").returncode == 0


def test_other_attached_policies_are_reported_and_stay(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    other = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    fresh_world.admin_client("iam").attach_role_policy(RoleName=ROLE, PolicyArn=other)
    assert f"role {ROLE} also has {other}, which is not changed\n" in good(bootstrap(fresh_world, *USUAL))
    assert iam_now(fresh_world)["roles"][ROLE]["attached"] == [READ_ONLY, other]


# --- thumbprints ---


def _thumbprints(world: World) -> list[str]:
    found = iam_now(world)["providers"][PROVIDER_ARN]["thumbprints"]
    assert isinstance(found, list)
    return found


def test_the_thumbprint_of_the_ca_is_registered_and_stays_valid_after_a_new_leaf(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    assert _thumbprints(fresh_world) == [fresh_world.issuer.thumbprints[-1]]
    fresh_world.issuer.reissue_certificate()
    assert exchange(fresh_world, fresh_world.issuer.mint()) == _SESSION
    assert bootstrap(fresh_world, *USUAL, "--check").returncode == 0


def test_a_leaf_without_its_ca_is_registered_with_a_warning(fresh_world: World) -> None:
    fresh_world.issuer.leaf_only = True
    done = bootstrap(fresh_world, *USUAL)
    assert "warning: issuer.test sends its own certificate without a CA" in done.stderr
    assert _thumbprints(fresh_world) == [fresh_world.issuer.thumbprints[0]]
    assert exchange(fresh_world, fresh_world.issuer.mint()) == _SESSION


def test_a_public_ca_needs_no_thumbprint(fresh_world: World, tmp_path: Path) -> None:
    world = fresh_world
    (tmp_path / "ca.pem").write_text(world.issuer.ca_pem)
    world.aws.identity_providers.public_cas = (world.issuer.ca_pem,)
    shown = good(bootstrap(world, *USUAL, environment={"SSL_CERT_FILE": str(tmp_path / "ca.pem")}))
    assert "issuer.test: publicly trusted certificate" in shown
    assert _thumbprints(world) == []
    assert exchange(world, world.issuer.mint()) == _SESSION


def test_the_host_of_the_key_set_gets_a_thumbprint_too(fresh_world: World) -> None:
    world = fresh_world
    with Issuer("https://keys.test", clock=world.clock) as keys:
        keys._keys = world.issuer._keys
        world.aws.connect_to.update(keys.connect_to)
        world.issuer.jwks_uri = "https://keys.test/openid/v1/jwks"
        good(bootstrap(world, *USUAL))
        assert _thumbprints(world) == [world.issuer.thumbprints[-1], keys.thumbprints[-1]]
        assert exchange(world, world.issuer.mint()) == _SESSION


def test_a_ca_is_rotated_without_an_interruption(fresh_world: World) -> None:
    world = fresh_world
    good(bootstrap(world, *USUAL))
    old = world.issuer.thumbprints[-1]
    before = world.issuer.authority
    world.issuer.replace_authority()
    new_authority, new = world.issuer.authority, world.issuer.thumbprints[-1]
    world.issuer.replace_authority(before)
    # Prepared: the old CA still signs, the new one is known and not served.
    good(bootstrap(world, *USUAL, "--thumbprint", new))
    assert _thumbprints(world) == [new, old]
    assert exchange(world, world.issuer.mint()) == _SESSION
    # Completed.
    world.issuer.replace_authority(new_authority)
    assert exchange(world, world.issuer.mint()) == _SESSION
    assert bootstrap(world, *USUAL, "--check").returncode == 0
    good(bootstrap(world, *USUAL, "--prune-thumbprints"))
    assert _thumbprints(world) == [world.issuer.thumbprints[-1]]


def test_the_oldest_of_five_thumbprints_is_removed_only_with_replace_and_is_named(fresh_world: World) -> None:
    prints = [str(number) * 40 for number in range(1, 6)]
    for one in prints:
        good(bootstrap(fresh_world, *USUAL, "--thumbprint", one))
    sixth = (*USUAL, "--thumbprint", "6" * 40)
    rejected = bootstrap(fresh_world, *sixth)
    assert (rejected.returncode, rejected.stderr.count("\n")) == (2, 1)
    assert f"give --replace to remove {prints[0]}, or --prune-thumbprints" in rejected.stderr
    assert _thumbprints(fresh_world) == prints[::-1]
    shown = good(bootstrap(fresh_world, *sixth, "--replace"))
    assert f"  - provider issuer.test: thumbprint {prints[0]}\n" in shown
    assert _thumbprints(fresh_world) == ["6" * 40, *prints[:0:-1]]


def test_a_pinned_ca_has_to_verify_the_issuer_with_any_root_store(fresh_world: World, tmp_path: Path) -> None:
    (tmp_path / "right.pem").write_text(fresh_world.issuer.ca_pem)
    (tmp_path / "wrong.pem").write_text(fresh_world.aws.ca_pem)
    for store in ("wrong.pem", "right.pem"):
        of_machine = {"SSL_CERT_FILE": str(tmp_path / store)}
        wrong = bootstrap(fresh_world, *USUAL, "--issuer-ca", str(tmp_path / "wrong.pem"), environment=of_machine)
        assert (wrong.returncode, iam_now(fresh_world)["providers"]) == (5, {})
    good(bootstrap(fresh_world, *USUAL, "--issuer-ca", str(tmp_path / "right.pem")))
    assert exchange(fresh_world, fresh_world.issuer.mint()) == _SESSION
