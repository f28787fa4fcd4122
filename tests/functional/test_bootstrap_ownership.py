"""``bootstrap aws`` changes foreign objects only with --adopt, and removes only what it created."""

import json
from pathlib import Path

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
    keys_that_may,
)

_OTHER_POLICY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
_ADOPTED_TAGS = {**OWN_TAGS, "aws-oidc-sidecar/adopted": "true"}


# --- adopt ---


def test_objects_of_others_need_no_flag_if_nothing_changes(fresh_world: World) -> None:
    fresh_world.set_up_trust()
    before = iam_now(fresh_world)
    assert good(bootstrap(fresh_world, *USUAL)).endswith("nothing to do\n")
    assert bootstrap(fresh_world, *USUAL, "--check").returncode == 0
    assert iam_now(fresh_world) == before


def test_the_change_of_a_foreign_role_is_shown_and_not_made(fresh_world: World) -> None:
    fresh_world.set_up_trust(service_account="other")
    before = iam_now(fresh_world)
    done = bootstrap(fresh_world, *USUAL)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"role {ROLE}: not created by this command for this issuer" in done.stderr
    assert "--adopt" in done.stderr
    assert f"needs-adopt: ~ role {ROLE}: trust policy" in done.stdout
    assert '-           "issuer.test:sub": "system:serviceaccount:default:other"' in done.stdout
    assert iam_now(fresh_world) == before
    planned = bootstrap(fresh_world, *USUAL, "--plan")
    assert (planned.returncode, bootstrap(fresh_world, *USUAL, "--check").returncode) == (0, 7)
    assert planned.stdout.endswith("planned: 1 change, 1 needs --adopt; nothing was changed\n")
    assert "--adopt" not in good(bootstrap(fresh_world, *USUAL, "--plan", "--adopt"))


def test_json_output_marks_changes_that_need_adopt(fresh_world: World) -> None:
    fresh_world.set_up_trust(service_account="other")
    done = bootstrap(fresh_world, *USUAL, "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["exit_code"], report["result"]) == (2, 2, "stopped: nothing was changed")
    assert [(change["kind"], change["status"]) for change in report["changes"]] == [
        ("update-assume-role-policy", "needs-adopt")
    ]


def test_a_foreign_provider_gets_no_client_id(fresh_world: World) -> None:
    fresh_world.set_up_trust(audience="vault", role="Vault")
    before = iam_now(fresh_world)
    done = bootstrap(fresh_world, *USUAL)
    assert done.returncode == 2
    assert "provider issuer.test: not created by this command for this issuer" in done.stderr
    assert iam_now(fresh_world) == before, "the role is not created either"


def test_adopt_changes_and_tags_both_objects(fresh_world: World) -> None:
    world = fresh_world
    world.set_up_trust(audience="vault", service_account="other")
    good(bootstrap(world, *USUAL, "--adopt"))
    found = iam_now(world)
    assert found["providers"][PROVIDER_ARN]["client_ids"] == ["sts.amazonaws.com", "vault"]
    assert found["providers"][PROVIDER_ARN]["tags"] == found["roles"][ROLE]["tags"] == _ADOPTED_TAGS
    assert ROLE in exchange(world, world.issuer.mint())
    assert ROLE in exchange(world, world.issuer.mint(audience="vault", service_account="other")), (
        "existing access stays"
    )
    assert good(bootstrap(world, *USUAL)).endswith("nothing to do\n"), "later runs do not need the flag"


def test_a_role_that_was_created_for_another_issuer_is_not_changed(fresh_world: World) -> None:
    with Issuer("https://other.test", clock=fresh_world.clock) as other:
        fresh_world.aws.connect_to.update(other.connect_to)
        good(bootstrap(fresh_world, "--issuer", "https://other.test", *USUAL[2:]))
        before = iam_now(fresh_world)
        assert bootstrap(fresh_world, *USUAL).returncode == 2
        assert iam_now(fresh_world) == before


def test_two_teams_with_their_own_tags_can_share_a_provider(fresh_world: World) -> None:
    world = fresh_world
    one, other = (*USUAL, "--tag", "team=a"), (*USUAL[:3], "Other", *USUAL[4:], "--tag", "team=b")
    good(bootstrap(world, *one))
    good(bootstrap(world, *other))
    assert [bootstrap(world, *usual, "--check").returncode for usual in (one, other)] == [0, 0]
    found = iam_now(world)
    assert found["providers"][PROVIDER_ARN]["tags"]["team"] == "a", "the tag of the first run stays"
    assert [found["roles"][role]["tags"]["team"] for role in (ROLE, "Other")] == ["a", "b"]


def test_a_tag_alone_does_not_change_a_foreign_provider(fresh_world: World) -> None:
    fresh_world.set_up_trust(role="Theirs")
    good(bootstrap(fresh_world, *USUAL, "--tag", "team=a"))
    assert iam_now(fresh_world)["providers"][PROVIDER_ARN]["tags"] == {}


# --- destroy ---


def test_destroy_removes_everything_that_was_created(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    planned = good(bootstrap(fresh_world, *USUAL, "--destroy", "--plan"))
    assert planned.endswith("planned: 3 changes; nothing was changed\n")
    assert ROLE in iam_now(fresh_world)["roles"]
    good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert iam_now(fresh_world) == {"providers": {}, "roles": {}}
    assert good(bootstrap(fresh_world, *USUAL, "--destroy")).endswith("nothing to do\n")


def test_one_role_of_a_chain_is_removed_by_a_file_with_only_this_role(fresh_world: World, tmp_path: Path) -> None:
    file = tmp_path / "roles.toml"
    head = 'issuer = "https://issuer.test"\n'
    first = '[[role]]\nname = "First"\nservice_accounts = ["a/b"]\n'
    second = '[[role]]\nname = "Second"\nassumed_by = ["First"]\n'
    file.write_text(head + first + second)
    good(bootstrap(fresh_world, "--file", str(file)))
    file.write_text(head + second)
    good(bootstrap(fresh_world, "--file", str(file), "--destroy"))
    assert list(iam_now(fresh_world)["roles"]) == ["First"]
    file.write_text(head + first)
    good(bootstrap(fresh_world, "--file", str(file), "--replace"))
    assert iam_now(fresh_world)["roles"]["First"]["inline"] == {}, "the permission to assume it is removed too"


def test_destroy_does_not_need_the_issuer(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    fresh_world.issuer.down = True
    good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert iam_now(fresh_world) == {"providers": {}, "roles": {}}


def test_a_role_with_other_policies_stays_without_the_configured_ones(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    iam = fresh_world.admin_client("iam")
    iam.attach_role_policy(RoleName=ROLE, PolicyArn=_OTHER_POLICY)
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
    iam.put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=json.dumps(policy))
    shown = good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert f"role {ROLE} stays: other policies were added to it ({_OTHER_POLICY}, theirs)" in shown
    assert f"provider issuer.test stays: trusted by role {ROLE}" in shown
    found = iam_now(fresh_world)
    assert found["roles"][ROLE]["attached"] == [_OTHER_POLICY]
    assert found["roles"][ROLE]["inline"] == {"theirs": policy}
    assert PROVIDER_ARN in found["providers"]


def test_a_provider_that_another_role_trusts_stays(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    other = (*USUAL[:3], "Other", *USUAL[4:])
    good(bootstrap(fresh_world, *other))
    assert "provider issuer.test stays: trusted by role Other\n" in good(bootstrap(fresh_world, *USUAL, "--destroy"))
    found = iam_now(fresh_world)
    assert (list(found["roles"]), list(found["providers"])) == (["Other"], [PROVIDER_ARN])
    good(bootstrap(fresh_world, *other, "--destroy"))
    assert iam_now(fresh_world) == {"providers": {}, "roles": {}}


def test_a_provider_with_other_client_ids_stays(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    fresh_world.admin_client("iam").add_client_id_to_open_id_connect_provider(
        OpenIDConnectProviderArn=PROVIDER_ARN, ClientID="vault"
    )
    shown = good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert "provider issuer.test stays: other client ids were added to it (vault)\n" in shown
    assert iam_now(fresh_world)["providers"][PROVIDER_ARN]["client_ids"] == ["sts.amazonaws.com", "vault"]


def test_adopted_and_foreign_objects_stay(fresh_world: World) -> None:
    fresh_world.set_up_trust(service_account="other")
    untouched = iam_now(fresh_world)
    shown = good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert f"role {ROLE} stays: this command did not create it" in shown
    assert iam_now(fresh_world) == untouched
    good(bootstrap(fresh_world, *USUAL, "--adopt"))
    adopted = iam_now(fresh_world)
    shown = good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert f"role {ROLE} stays: it was adopted" in shown
    assert iam_now(fresh_world) == adopted


def test_a_provider_stays_if_roles_cannot_be_listed(fresh_world: World) -> None:
    world = fresh_world
    good(bootstrap(world, *USUAL))
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iam:ListRoles", "Resource": "*"},
    ]
    keys = keys_that_may(world, statements)
    shown = good(bootstrap(world, *USUAL, "--destroy", environment=keys))
    assert "provider issuer.test stays: without iam:ListRoles this command cannot find out whether other" in shown
    assert ROLE not in iam_now(world)["roles"]
    assert PROVIDER_ARN in iam_now(world)["providers"]


def test_destroy_with_only_an_issuer_removes_its_provider(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    issuer = ("--issuer", "https://issuer.test", "--destroy")
    assert f"stays: trusted by role {ROLE}" in good(bootstrap(fresh_world, *issuer))
    iam = fresh_world.admin_client("iam")
    iam.detach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY)
    iam.delete_role(RoleName=ROLE)
    good(bootstrap(fresh_world, *issuer))
    assert iam_now(fresh_world) == {"providers": {}, "roles": {}}
