"""``bootstrap aws`` takes nothing over that others made unless it is told to, and removes only what it made."""

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


def test_what_others_made_needs_no_flag_where_nothing_has_to_change(fresh_world: World) -> None:
    fresh_world.set_up_trust()
    before = iam_now(fresh_world)
    assert good(bootstrap(fresh_world, *USUAL)).endswith("nothing to do\n")
    assert bootstrap(fresh_world, *USUAL, "--check").returncode == 0
    assert iam_now(fresh_world) == before


def test_a_role_of_others_is_shown_and_not_touched(fresh_world: World) -> None:
    fresh_world.set_up_trust(service_account="other")
    before = iam_now(fresh_world)
    done = bootstrap(fresh_world, *USUAL)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"role {ROLE}: made by others" in done.stderr
    assert "--adopt" in done.stderr
    assert f"needs-adopt: ~ role {ROLE}: trust policy" in done.stdout
    assert '-           "issuer.test:sub": "system:serviceaccount:default:other"' in done.stdout
    assert iam_now(fresh_world) == before
    planned = bootstrap(fresh_world, *USUAL, "--plan")
    assert (planned.returncode, bootstrap(fresh_world, *USUAL, "--check").returncode) == (0, 7)
    assert "needs-adopt" in planned.stdout


def test_a_program_is_told_what_needs_the_flag(fresh_world: World) -> None:
    fresh_world.set_up_trust(service_account="other")
    done = bootstrap(fresh_world, *USUAL, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"], told["result"]) == (2, 2, "stopped: nothing was changed")
    assert [(change["kind"], change["status"]) for change in told["changes"]] == [
        ("update-assume-role-policy", "needs-adopt")
    ]


def test_a_provider_of_others_is_not_given_a_client_id(fresh_world: World) -> None:
    fresh_world.set_up_trust(audience="vault", role="Vault")
    before = iam_now(fresh_world)
    done = bootstrap(fresh_world, *USUAL)
    assert done.returncode == 2
    assert "provider issuer.test: made by others" in done.stderr
    assert iam_now(fresh_world) == before, "the role neither: nothing is done by halves"


def test_adopt_takes_both_over_and_marks_them(fresh_world: World) -> None:
    world = fresh_world
    world.set_up_trust(audience="vault", service_account="other")
    good(bootstrap(world, *USUAL, "--adopt"))
    found = iam_now(world)
    assert found["providers"][PROVIDER_ARN]["client_ids"] == ["sts.amazonaws.com", "vault"]
    assert found["providers"][PROVIDER_ARN]["tags"] == found["roles"][ROLE]["tags"] == _ADOPTED_TAGS
    assert ROLE in exchange(world, world.issuer.mint())
    assert good(bootstrap(world, *USUAL)).endswith("nothing to do\n"), "from then on without the flag"


def test_a_role_that_is_ours_for_another_issuer_is_not_taken_over(fresh_world: World) -> None:
    with Issuer("https://other.test", clock=fresh_world.clock) as other:
        fresh_world.aws.connect_to.update(other.connect_to)
        good(bootstrap(fresh_world, "--issuer", "https://other.test", *USUAL[2:]))
        before = iam_now(fresh_world)
        assert bootstrap(fresh_world, *USUAL).returncode == 2
        assert iam_now(fresh_world) == before


def test_two_set_ups_with_tags_of_their_own_share_a_provider_in_peace(fresh_world: World) -> None:
    world = fresh_world
    one, other = (*USUAL, "--tag", "team=a"), (*USUAL[:3], "Other", *USUAL[4:], "--tag", "team=b")
    good(bootstrap(world, *one))
    good(bootstrap(world, *other))
    assert [bootstrap(world, *usual, "--check").returncode for usual in (one, other)] == [0, 0]
    found = iam_now(world)
    assert found["providers"][PROVIDER_ARN]["tags"]["team"] == "a", "as it was made"
    assert [found["roles"][role]["tags"]["team"] for role in (ROLE, "Other")] == ["a", "b"]


def test_a_tag_of_ours_is_no_reason_to_take_a_provider_over(fresh_world: World) -> None:
    fresh_world.set_up_trust(role="Theirs")
    good(bootstrap(fresh_world, *USUAL, "--tag", "team=a"))
    assert iam_now(fresh_world)["providers"][PROVIDER_ARN]["tags"] == {}


# --- destroy ---


def test_destroy_removes_all_that_was_made(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    planned = good(bootstrap(fresh_world, *USUAL, "--destroy", "--plan"))
    assert planned.endswith("planned: 3 changes; nothing was changed\n")
    assert ROLE in iam_now(fresh_world)["roles"]
    good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert iam_now(fresh_world) == {"providers": {}, "roles": {}}
    assert good(bootstrap(fresh_world, *USUAL, "--destroy")).endswith("nothing to do\n")


def test_one_role_of_a_chain_is_removed_by_a_file_that_has_it_alone(fresh_world: World, tmp_path: Path) -> None:
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
    good(bootstrap(fresh_world, "--file", str(file)))
    assert iam_now(fresh_world)["roles"]["First"]["inline"] == {}, "nor is the right to assume it left"


def test_destroy_does_not_need_the_issuer(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    fresh_world.issuer.down = True
    good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert iam_now(fresh_world) == {"providers": {}, "roles": {}}


def test_a_role_to_which_others_gave_something_stays_without_ours(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    iam = fresh_world.admin_client("iam")
    iam.attach_role_policy(RoleName=ROLE, PolicyArn=_OTHER_POLICY)
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
    iam.put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=json.dumps(policy))
    shown = good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert f"role {ROLE} stays: others gave it {_OTHER_POLICY}, theirs" in shown
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


def test_a_provider_with_client_ids_of_others_stays(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    fresh_world.admin_client("iam").add_client_id_to_open_id_connect_provider(
        OpenIDConnectProviderArn=PROVIDER_ARN, ClientID="vault"
    )
    shown = good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert "provider issuer.test stays: others gave it the client ids vault\n" in shown
    assert iam_now(fresh_world)["providers"][PROVIDER_ARN]["client_ids"] == ["sts.amazonaws.com", "vault"]


def test_what_was_adopted_or_never_ours_stays(fresh_world: World) -> None:
    fresh_world.set_up_trust(service_account="other")
    untouched = iam_now(fresh_world)
    shown = good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert f"role {ROLE} stays: others made it" in shown
    assert iam_now(fresh_world) == untouched
    good(bootstrap(fresh_world, *USUAL, "--adopt"))
    adopted = iam_now(fresh_world)
    shown = good(bootstrap(fresh_world, *USUAL, "--destroy"))
    assert f"role {ROLE} stays: it was adopted" in shown
    assert iam_now(fresh_world) == adopted


def test_a_provider_stays_where_roles_cannot_be_listed(fresh_world: World) -> None:
    world = fresh_world
    good(bootstrap(world, *USUAL))
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iam:ListRoles", "Resource": "*"},
    ]
    keys = keys_that_may(world, statements)
    shown = good(bootstrap(world, *USUAL, "--destroy", environment=keys))
    assert "provider issuer.test stays: whether other roles trust it cannot be seen without iam:ListRoles\n" in shown
    assert ROLE not in iam_now(world)["roles"]
    assert PROVIDER_ARN in iam_now(world)["providers"]


def test_destroy_of_an_issuer_alone_removes_its_provider(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    issuer = ("--issuer", "https://issuer.test", "--destroy")
    assert f"stays: trusted by role {ROLE}" in good(bootstrap(fresh_world, *issuer))
    iam = fresh_world.admin_client("iam")
    iam.detach_role_policy(RoleName=ROLE, PolicyArn=READ_ONLY)
    iam.delete_role(RoleName=ROLE)
    good(bootstrap(fresh_world, *issuer))
    assert iam_now(fresh_world) == {"providers": {}, "roles": {}}
