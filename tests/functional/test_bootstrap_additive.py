"""``bootstrap aws`` only adds: other parts of a provider and a role stay, also if a fix of the doctor is pasted."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.local.world import World
from sidecar.doctor.checks.iam import CHECK
from tests.functional import test_doctor as faults
from tests.functional.bootstrapping import (
    PROVIDER_ARN,
    READ_ONLY,
    ROLE,
    USUAL,
    bootstrap,
    exchange,
    good,
    iam_now,
    run_script,
)
from tests.functional.doctoring import DoctorSetup, Fault

_TEAMS = ("default/aws-parameter-reader", "payments/worker", "reports/nightly")
_TWELVE_HOURS = 43_200
_ACTION = "sts:AssumeRoleWithWebIdentity"
_OTHERS: tuple[dict[str, Any], ...] = (
    {
        "Sid": "Instances",
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
    {
        "Effect": "Deny",
        "Principal": {"Federated": PROVIDER_ARN},
        "Action": _ACTION,
        "Condition": {"StringEquals": {"issuer.test:sub": "system:serviceaccount:default:leaked"}},
    },
    {
        "Effect": "Allow",
        "Principal": {"Federated": [PROVIDER_ARN]},
        "Action": [_ACTION],
        "Condition": {
            "StringEquals": {"issuer.test:aud": "sts.amazonaws.com", "issuer.test:sub": "system:serviceaccount:a:b"},
            "IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]},
        },
    },
)


def _shared(world: World, *accounts: str) -> None:
    """Create a role that several teams share, with parts from each team and from others."""
    flags = [part for account in accounts for part in ("--service-account", account)]
    good(bootstrap(world, *USUAL[:4], *flags, *USUAL[6:], "--max-session-seconds", str(_TWELVE_HOURS), "--adopt"))
    iam = world.admin_client("iam")
    trust: Any = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
    trust["Statement"] += _OTHERS
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(trust))
    iam.update_role(RoleName=ROLE, Description="of three teams", MaxSessionDuration=_TWELVE_HOURS)
    iam.attach_role_policy(RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
    iam.put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=json.dumps(policy))
    iam.tag_role(RoleName=ROLE, Tags=[{"Key": "team", "Value": "platform"}])
    named: Any = {"OpenIDConnectProviderArn": PROVIDER_ARN}
    iam.add_client_id_to_open_id_connect_provider(**named, ClientID="vault")


def _of(account: str) -> tuple[str, ...]:
    return (*USUAL[:5], account, *USUAL[6:])


def _token(world: World, account: str) -> str:
    namespace, name = account.split("/")
    return world.issuer.mint(namespace=namespace, service_account=name)


# --- fixes of the doctor ---


def _printed(fix: str) -> list[str]:
    """Return the arguments of the command in a fix, parsed as in a shell."""
    _, found, command = fix.partition("aws-oidc-sidecar bootstrap aws ")
    assert found, fix
    return shlex.split(command)


@pytest.mark.mutant(
    "a fix that the doctor prints shortens the sessions of others",
    "a fix that the doctor prints replaces the trust policy",
)
def test_a_pasted_fix_for_a_new_ca_leaves_three_service_accounts_and_sessions_of_12_hours(
    doctor_setup: DoctorSetup,
) -> None:
    world = doctor_setup.world
    _shared(world, *_TEAMS)
    before = iam_now(world)
    faults.rotate_ca(doctor_setup)
    doctor_setup.mint()
    report = doctor_setup.run(rights=True)
    assert report.causes()["iam"] == ["ca_rotated"]
    good(bootstrap(world, *_printed(report.fix("iam"))))
    after = iam_now(world)
    assert doctor_setup.run(rights=True).causes() == {}, "the fault is gone"
    provider = before["providers"][PROVIDER_ARN]
    provider["thumbprints"] = [world.issuer.thumbprints[-1], *provider["thumbprints"]]
    assert after == before, "the thumbprint is the only change"
    assert after["roles"][ROLE]["max_session_seconds"] == _TWELVE_HOURS
    for account in _TEAMS:
        assert exchange(world, _token(world, account)).endswith(f"{ROLE}/test")


def _trust_changed(change: Callable[[list[dict[str, Any]]], object]) -> Fault:
    """Change the statements; the first one allows the token."""

    def fault(doctor_setup: DoctorSetup) -> None:
        iam = doctor_setup.world.admin_client("iam")
        trust: Any = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
        change(trust["Statement"])
        iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(trust))

    return fault


def _first_has(key: str, *values: str) -> Fault:
    return _trust_changed(lambda found: found[0]["Condition"]["StringEquals"].update({f"issuer.test:{key}": values}))


_FAULTS: dict[str, Callable[[DoctorSetup], object]] = {
    "role_missing": lambda doctor_setup: doctor_setup.environment.update(
        {"AWS_ROLE_ARN": f"arn:aws:iam::123456789012:role/{ROLE}2"}
    ),
    "trust_namespace": _first_has("sub", "system:serviceaccount:other:aws-parameter-reader"),
    "trust_service_account": _first_has("sub", "system:serviceaccount:default:writer"),
    "trust_subject": _first_has("sub", "deployer", "system:serviceaccount:payments:worker"),
    "trust_audience": _first_has("aud", "vault"),
    "trust_wildcard": _first_has("sub", "system:serviceaccount:default:aws-*"),
    "trust_principal": _trust_changed(
        lambda found: found.__setitem__(slice(None), [one for one in found if "Service" in one["Principal"]])
    ),
    "trust_key": _trust_changed(
        lambda found: found[0].update({"Condition": {"StringEquals": {"https://issuer.test:sub": "system:any"}}})
    ),
    "trust_action": _trust_changed(lambda found: found[0].update({"Action": "sts:TagSession"})),
    "provider_missing": faults.remove_provider,
    "thumbprint_of_leaf": faults.register_leaf,
    "ca_rotated": faults.rotate_ca,
    "thumbprint_is_leaf": lambda doctor_setup: doctor_setup.world.admin_client(
        "iam"
    ).update_open_id_connect_provider_thumbprint(
        OpenIDConnectProviderArn=PROVIDER_ARN, ThumbprintList=[doctor_setup.world.issuer.thumbprints[0]]
    ),
}


def test_the_faults_are_all_those_whose_fix_is_a_bootstrap_command() -> None:
    with_command = {cause.name for cause in CHECK.causes if "aws-oidc-sidecar bootstrap aws " in cause.fix}
    # For provider_url, IAM has a provider of another issuer, so none of this issuer. The next test has trust_condition.
    assert set(_FAULTS) == with_command - {"provider_url", "trust_condition"}


def test_the_fix_for_an_unevaluated_condition_without_sub_adds_a_statement(
    doctor_setup: DoctorSetup,
) -> None:
    world = doctor_setup.world
    _shared(world, *_TEAMS)
    _trust_changed(lambda found: found[0].update({"Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}}))(
        doctor_setup
    )
    before = iam_now(world)
    report = doctor_setup.run(rights=True)
    assert report.causes()["exchange"][0] == "trust_condition"
    good(bootstrap(world, *_printed(report.fix("exchange"))))
    assert doctor_setup.run(rights=True).causes() == {}
    _contains(iam_now(world), before)


@pytest.mark.parametrize("fault", _FAULTS.values(), ids=_FAULTS.keys())
def test_each_fix_with_a_bootstrap_command_ends_the_fault_and_removes_nothing(
    doctor_setup: DoctorSetup, fault: Callable[[DoctorSetup], object], request: pytest.FixtureRequest
) -> None:
    world = doctor_setup.world
    _shared(world, *_TEAMS)
    fault(doctor_setup)
    before = iam_now(world)
    report = doctor_setup.run(rights=True)
    cause = request.node.callspec.id
    assert report.causes("broken", "advice")["iam"][0] == cause
    good(bootstrap(world, *_printed(report.fix("iam"))))
    assert "iam" not in doctor_setup.run(rights=True).causes("broken", "advice")
    _contains(iam_now(world), before)


def _contains(after: Any, before: Any) -> None:  # noqa: ANN401 - of JSON
    """Assert that `after` has every part of `before`, and that no statement has lost a value."""
    for arn, provider in before["providers"].items():
        found = after["providers"][arn]
        assert set(provider["client_ids"]) <= set(found["client_ids"])
        assert set(provider["thumbprints"]) <= set(found["thumbprints"])
        assert provider["tags"].items() <= found["tags"].items()
    for name, role in before["roles"].items():
        found = after["roles"][name]
        same = ("arn", "max_session_seconds", "description")
        assert [found[key] for key in same] == [role[key] for key in same]
        assert role["tags"].items() <= found["tags"].items()
        assert role["inline"].items() <= found["inline"].items()
        assert set(role["attached"]) <= set(found["attached"])
        for statement in role["trust"]["Statement"]:
            assert any(_has(one, statement) for one in found["trust"]["Statement"]), statement


def _has(one: dict[str, Any], statement: dict[str, Any]) -> bool:
    subjects = [each["Condition"]["StringEquals"].get("issuer.test:sub", []) if "Condition" in each else []
                for each in (one, statement)]  # fmt: skip
    more, fewer = ([each] if isinstance(each, str) else each for each in subjects)
    bare = [json.dumps(each, sort_keys=True).replace(json.dumps(found), "") for each, found
            in zip((one, statement), subjects, strict=True)]  # fmt: skip
    return set(fewer) <= set(more) and bare[0] == bare[1]


# --- teams ---


@pytest.mark.mutant(
    "a fix that the doctor prints replaces the trust policy",
    "a statement of others is extended even if it then allows more",
)
def test_teams_that_configure_one_role_in_turn_converge(fresh_world: World) -> None:
    world = fresh_world
    teams = [
        (*_of("a/one"), "--tag", "team=one", "--tag", "cost=1", "--max-session-seconds", "7200"),
        (*_of("b/two"), "--tag", "team=two", "--audience", "vault"),
        (*_of("c/three"), "--subject-like", "system:serviceaccount:preview-*:web", "--max-session-seconds", "3600"),
    ]
    for usual in teams:
        good(bootstrap(world, *usual))
    rest = iam_now(world)
    for usual in teams * 2:
        assert good(bootstrap(world, *usual)).endswith("nothing to do\n")
        assert bootstrap(world, *usual, "--check").returncode == 0
    assert iam_now(world) == rest
    assert rest["roles"][ROLE]["max_session_seconds"] == 7_200
    assert rest["roles"][ROLE]["tags"].items() >= {"team": "one", "cost": "1"}.items()
    assert exchange(world, _token(world, "a/one")).endswith("/test")
    assert exchange(world, world.issuer.mint(namespace="b", service_account="two", audience="vault")).endswith("/test")
    assert exchange(world, world.issuer.mint(namespace="a", service_account="one", audience="vault")) == "AccessDenied"
    assert exchange(world, _token(world, "preview-7/web")).endswith("/test")


def test_files_of_two_teams_with_role_chains_do_not_change_each_other(fresh_world: World, tmp_path: Path) -> None:
    head = 'issuer = "https://issuer.test"\n[[role]]\nname = "Shared"\npath = "/team/"\n'
    files = []
    for team in ("one", "two"):
        path = tmp_path / f"{team}.toml"
        path.write_text(
            f'{head}service_accounts = ["{team}/a", "{team}/b"]\n'
            f"[role.inline_policies]\nread = '''"
            f'{{"Version": "2012-10-17", "Statement": {{"Sid": "Read", "Effect": "Allow", "Action": "s3:Get*", '
            f'"Resource": "arn:aws:s3:::{team}/*"}}}}\'\'\'\n'
            f'[[role]]\nname = "Target{team}"\nassumed_by = ["Shared"]\n'
        )
        files.append(("--file", str(path)))
    for file in files:
        good(bootstrap(fresh_world, *file))
    rest = iam_now(fresh_world)
    for file in files:
        assert good(bootstrap(fresh_world, *file)).endswith("nothing to do\n")
    assert iam_now(fresh_world) == rest
    shared = rest["roles"]["Shared"]
    assert set(shared["inline"]) == {"read", "aws-oidc-sidecar-assume-Targetone", "aws-oidc-sidecar-assume-Targettwo"}
    assert len(shared["inline"]["read"]["Statement"]) == 2


# --- adding and replacing ---


def test_adopt_adds_and_removes_nothing(fresh_world: World) -> None:
    world = fresh_world
    world.set_up_trust(service_account="other", audience="vault")
    world.admin_client("iam").update_role(RoleName=ROLE, Description="theirs", MaxSessionDuration=_TWELVE_HOURS)
    before = iam_now(world)
    good(bootstrap(world, *USUAL, "--adopt"))
    _contains(iam_now(world), before)
    assert exchange(world, world.issuer.mint()).endswith("/test")


def test_a_longer_session_keeps_the_description_when_it_is_lengthened(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    fresh_world.admin_client("iam").update_role(RoleName=ROLE, Description="theirs", MaxSessionDuration=3_600)
    good(bootstrap(fresh_world, *USUAL, "--max-session-seconds", "7200"))
    role = iam_now(fresh_world)["roles"][ROLE]
    assert (role["max_session_seconds"], role["description"]) == (7_200, "theirs")


def test_the_removals_of_replace_are_listed_first_in_each_output(fresh_world: World) -> None:
    world = fresh_world
    _shared(world, *_TEAMS)
    before = iam_now(world)
    lines = [
        f"role {ROLE}: trust policy: sub system:serviceaccount:payments:worker of issuer.test",
        f"role {ROLE}: trust policy: sub system:serviceaccount:reports:nightly of issuer.test",
        f"role {ROLE}: trust policy: statement 2 (Sid Instances): Allow sts:AssumeRole for ec2.amazonaws.com",
        f"role {ROLE}: trust policy: statement 3: Deny {_ACTION} for {PROVIDER_ARN}, under StringEquals",
        f"role {ROLE}: trust policy: statement 4: Allow {_ACTION} for {PROVIDER_ARN}, under StringEquals, IpAddress",
        f"role {ROLE}: max session seconds 43200 -> 3600",
    ]
    listed = "to be removed or shortened:\n" + "".join(f"  - {line}\n" for line in lines)
    replace = (*USUAL, "--replace")
    for flag, exit_code in (("--plan", 0), ("--check", 7)):
        done = bootstrap(world, *replace, flag)
        assert (done.returncode, listed in done.stdout) == (exit_code, True)
    assert json.loads(good(bootstrap(world, *replace, "--plan", "--json")))["removes"] == lines
    script = good(bootstrap(world, *replace, "--emit", "cli"))
    commented = "".join(f"# removes: {line}\n" for line in lines)
    assert script.index(commented) < script.index("aws iam ")
    assert iam_now(world) == before
    shown = good(bootstrap(world, *replace))
    assert shown.index(listed) < shown.index("~ role ")
    replaced = iam_now(world)
    assert exchange(world, _token(world, _TEAMS[1])) == "AccessDenied"
    assert replaced["roles"][ROLE]["description"] == "of three teams"
    assert replaced["roles"][ROLE]["attached"] == [READ_ONLY, "arn:aws:iam::aws:policy/ReadOnlyAccess"]
    assert replaced["providers"][PROVIDER_ARN]["client_ids"] == ["sts.amazonaws.com", "vault"]
    iam = world.admin_client("iam")
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(before["roles"][ROLE]["trust"]))
    iam.update_role(RoleName=ROLE, Description="of three teams", MaxSessionDuration=_TWELVE_HOURS)
    assert iam_now(world) == before
    run_script(world, script)
    assert iam_now(world) == replaced, "the script does the same"


def test_a_deny_that_blocks_the_service_account_stays_and_is_drift(fresh_world: World) -> None:
    world = fresh_world
    _shared(world, _TEAMS[1])
    leaked = _of("default/leaked")
    for _ in range(2):
        done = bootstrap(world, *leaked)
        assert done.returncode == 7
        subject = "sub system:serviceaccount:default:leaked of issuer.test"
        assert f"warning: role {ROLE}: trust policy: statement 3 denies {subject}; this" in done.stderr
        assert "but a Deny statement blocks the tokens that the warning names" in done.stdout
        assert list(_OTHERS) == iam_now(world)["roles"][ROLE]["trust"]["Statement"][1:4]
    assert bootstrap(world, *leaked, "--check").returncode == 7
    assert exchange(world, _token(world, "default/leaked")) == "AccessDenied"


@pytest.mark.mutant("a subject under a condition of others gets a statement without it")
def test_a_service_account_under_an_existing_condition_gets_no_access_without_it(fresh_world: World) -> None:
    world = fresh_world
    _shared(world, _TEAMS[0])
    before = iam_now(world)
    done = bootstrap(world, *_of("a/b"))
    assert "provider issuer.test also has the client id vault, which is not changed\n" in good(done)
    line = "sub system:serviceaccount:a:b of issuer.test is allowed under IpAddress only; "
    assert done.stderr == f"warning: role {ROLE}: trust policy: {line}this does not change without --replace\n"
    assert iam_now(world) == before


def test_the_path_of_an_existing_role_needs_no_flag(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL, "--path", "/team/"))
    good(bootstrap(fresh_world, *_of("a/b")))
    assert fresh_world.admin_client("iam").get_role(RoleName=ROLE)["Role"]["Path"] == "/team/"
    assert bootstrap(fresh_world, *_of("a/b"), "--path", "/").returncode == 2


def test_a_trust_policy_over_the_quota_is_reported_and_not_changed(fresh_world: World) -> None:
    world = fresh_world
    accounts = [f"namespace-{number}/service-account-with-a-long-name-{number}" for number in range(8)]
    _shared(world, *accounts)
    before = iam_now(world)
    flags = [part for number in range(15) for part in ("--service-account", f"another-{number}/service-account")]
    done = bootstrap(world, *USUAL, *flags)
    assert done.returncode == 4
    assert (
        "UpdateAssumeRolePolicy: AWS returned an error (LimitExceeded); a quota is reached, such as the 2048 char"
        in done.stderr
    )
    assert 'the account\'s quota is 2048: raise "Role trust policy length" in Service Quotas (to at' in done.stderr
    assert iam_now(world) == before
    many = [part for number in range(200) for part in ("--service-account", f"another-{number}/service-account")]
    rejected = bootstrap(world, *USUAL, *many)
    assert rejected.returncode == 2
    assert "characters, and IAM allows at most 8192; use a pattern of --subject-like" in rejected.stderr
