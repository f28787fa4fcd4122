"""``bootstrap aws`` when AWS or the connection fails: an error of one line, and the next run completes."""

import json
import os
import pty
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.faults import FaultKind, Scope
from examples.local.wire import HttpResponse
from examples.local.world import World
from sidecar.bootstrap.failure import BootstrapError
from sidecar.bootstrap.iam import Iam
from sidecar.bootstrap.state import Change
from sidecar.iam.trust import for_roles, trust_policy
from tests.functional.bootstrapping import (
    COMMAND,
    READ_ONLY,
    ROLE,
    USUAL,
    Done,
    Line,
    bootstrap,
    connect_to,
    exchange,
    good,
    iam_now,
    keys_that_may,
    stopped,
    variables,
)

_INVALID_PRINCIPAL = b"""<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>
<Code>MalformedPolicyDocument</Code><Message>Invalid principal in policy</Message></Error></ErrorResponse>"""
_ROLE_WITHOUT_JSON = b"""<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role>
<RoleName>KubernetesParameterStoreRole</RoleName><Path>/</Path><CreateDate>2026-11-24T00:00:00Z</CreateDate>
<Arn>arn:aws:iam::123456789012:role/KubernetesParameterStoreRole</Arn><RoleId>AROA123456789EXAMPLE</RoleId>
<AssumeRolePolicyDocument>none</AssumeRolePolicyDocument>
</Role></GetRoleResult></GetRoleResponse>"""
_CHAINED = """
issuer = "https://issuer.test"
tags = { team = "payments" }

[[role]]
name = "KubernetesParameterStoreRole"
service_accounts = ["default/aws-parameter-reader"]
policy_arns = ["arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"]

[[role]]
name = "Second"
assumed_by = ["KubernetesParameterStoreRole"]
"""


# --- AWS ---


def test_missing_credentials_are_reported_with_the_fix(fresh_world: World) -> None:
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    assert "set AWS_PROFILE" in stopped(bootstrap(fresh_world, *USUAL, environment=none), 2)


def test_an_unknown_profile_is_exit_code_2(fresh_world: World) -> None:
    error = stopped(bootstrap(fresh_world, *USUAL, environment={"AWS_PROFILE": "unknown"}), 2)
    assert "ProfileNotFound" in error


def test_an_error_for_invalid_access_keys_does_not_quote_aws(fresh_world: World) -> None:
    error = stopped(bootstrap(fresh_world, *USUAL, environment={"AWS_SECRET_ACCESS_KEY": "no-such-key"}), 4)
    assert "SignatureDoesNotMatch" in error
    assert "no-such-key" not in error
    assert "signature we calculated" not in error


def test_an_aws_endpoint_that_refuses_connections_is_unreachable(fresh_world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = stopped(bootstrap(fresh_world, *USUAL, environment={"AWS_ENDPOINT_URL": url}), 3)
    assert "AWS is unreachable" in error


@pytest.mark.parametrize(("kind", "exit_code"), [(FaultKind.THROTTLE, 3), (FaultKind.SERVICE_UNAVAILABLE, 3)])
def test_a_temporary_error_of_aws_is_to_be_retried(fresh_world: World, kind: FaultKind, exit_code: int) -> None:
    fresh_world.aws.faults.set(kind, scope=Scope.ALL)
    assert "run it again" in stopped(bootstrap(fresh_world, *USUAL), exit_code)


def test_an_error_page_of_a_load_balancer_is_to_be_retried(fresh_world: World) -> None:
    page = HttpResponse(503, {"Content-Type": "text/html"}, b"<html><body>Service Unavailable</body></html>")
    with Line(fresh_world, 1, instead=page) as line:
        error = stopped(bootstrap(fresh_world, *USUAL, environment={"AWS_ENDPOINT_URL": line.url}), 3)
    assert error == "aws-oidc-sidecar: GetCallerIdentity: AWS returned an error (503); run it again later\n"


def test_a_profile_whose_role_cannot_be_assumed_is_named(fresh_world: World, tmp_path: Path) -> None:
    admin = fresh_world.aws.admin
    (tmp_path / "config").write_text(
        "[profile ops]\nrole_arn = arn:aws:iam::123456789012:role/None\n"
        "source_profile = own\n"
        f"[profile own]\naws_access_key_id = {admin.access_key_id}\naws_secret_access_key = {admin.secret_access_key}\n"
    )
    profile = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "ops"}
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    error = stopped(bootstrap(fresh_world, *USUAL, environment=profile | none), 6)
    assert error.startswith(
        "aws-oidc-sidecar: AssumeRole for the AWS profile ops: AWS returned an error (AccessDenied); fix"
    )
    assert "AWS_PROFILE" in error


@pytest.mark.parametrize(
    ("denied", "named"),
    [
        ("iam:GetOpenIDConnectProvider", "iam:GetOpenIDConnectProvider"),
        ("iam:CreateOpenIDConnectProvider", "iam:CreateOpenIDConnectProvider and iam:TagOpenIDConnectProvider"),
        ("iam:GetRole", "iam:GetRole"),
        ("iam:CreateRole", "iam:CreateRole and iam:TagRole"),
        ("iam:AttachRolePolicy", "iam:AttachRolePolicy"),
    ],
)
def test_a_missing_permission_is_named(fresh_world: World, denied: str, named: str) -> None:
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": denied, "Resource": "*"},
    ]
    keys = keys_that_may(fresh_world, statements)
    error = stopped(bootstrap(fresh_world, *USUAL, environment=keys), 6)
    assert f"these credentials have no permission for {named}; " in error
    assert "not authorized" not in error, "the error does not quote AWS"


def test_an_unknown_policy_stops_the_run_and_the_open_changes_are_listed(fresh_world: World) -> None:
    usual = (*USUAL[:-1], "arn:aws:iam::aws:policy/NoSuchPolicy", "--policy-arn", READ_ONLY)
    done = bootstrap(fresh_world, *usual)
    assert "AttachRolePolicy: AWS returned an error (NoSuchEntity)" in stopped(done, 4)
    assert done.stdout.index(f"+ role {ROLE}  [create-role]") < done.stdout.index(f"failed: + role {ROLE}: policy")
    assert f"not-done: + role {ROLE}: policy {READ_ONLY}" in done.stdout
    assert done.stdout.endswith("stopped: 2 done, 1 failed, 1 not done; run it again to continue\n")
    good(bootstrap(fresh_world, *USUAL))


def test_an_unreadable_trust_policy_is_not_treated_as_empty(fresh_world: World) -> None:
    good(bootstrap(fresh_world, *USUAL))
    before = iam_now(fresh_world)
    page = HttpResponse(200, {"Content-Type": "text/xml"}, _ROLE_WITHOUT_JSON)
    with Line(fresh_world, 3, once=True, instead=page) as line:
        done = bootstrap(fresh_world, *USUAL, environment={"AWS_ENDPOINT_URL": line.url})
    fix = "write the policy document as a JSON object"
    error = f"aws-oidc-sidecar: role {ROLE}: trust policy: not a JSON object; {fix}\n"
    assert (line.calls[2], stopped(done, 4)) == ("GetRole", error)
    assert iam_now(fresh_world) == before


def test_json_output_has_the_same_result(fresh_world: World) -> None:
    planned = json.loads(good(bootstrap(fresh_world, *USUAL, "--plan", "--json")))
    assert [change["status"] for change in planned["changes"]] == ["planned"] * 3
    with Line(fresh_world, 7) as line:
        done = bootstrap(fresh_world, *USUAL, "--json", environment={"AWS_ENDPOINT_URL": line.url})
    report = json.loads(done.stdout)
    assert (done.returncode, report["exit_code"], report["account"]) == (3, 3, "123456789012")
    assert [change["kind"] for change in report["changes"]] == [change["kind"] for change in planned["changes"]]
    assert [change["status"] for change in report["changes"]] == ["done", "failed", "not-done"]
    assert report["changes"][1]["after"]["max session seconds"] == 3_600


def test_output_on_a_terminal_is_coloured(fresh_world: World) -> None:
    main, side = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [*COMMAND, *USUAL, "--plan", *connect_to(fresh_world)],
            env=variables(fresh_world, TERM="xterm-256color"), stdout=side, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(side)
        shown = b""
        try:
            while part := screen.read(4096):
                shown += part
        except OSError:  # on Linux, the error of a closed other side
            pass
        assert process.wait(timeout=20) == 0
    assert b"\x1b[32m+ provider issuer.test" in shown
    assert f"role {ROLE}".encode() in shown


# --- killed and disconnected ---


@pytest.fixture
def chained(tmp_path: Path) -> tuple[str, ...]:
    """Arguments for two roles with role chaining."""
    (tmp_path / "roles.toml").write_text(_CHAINED)
    return ("--file", str(tmp_path / "roles.toml"))


def _ends(world: World, arguments: tuple[str, ...]) -> tuple[object, int]:
    """Return the state of IAM after a run without a fault, and its number of calls."""
    with Line(world) as line:
        good(bootstrap(world, *arguments, environment={"AWS_ENDPOINT_URL": line.url}))
    assert line.calls.index("CreateOpenIDConnectProvider") < line.calls.index("CreateRole")
    return iam_now(world), len(line.calls)


def _killed(world: World, arguments: tuple[str, ...], at: int, *, answered: bool) -> None:
    with Line(world, at, answered=answered) as line:
        process = subprocess.Popen(
            [*COMMAND, *arguments, *connect_to(world)],
            env=variables(world, AWS_ENDPOINT_URL=line.url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        line.then = process.kill
        assert process.wait(timeout=30) == -9


def _cut(world: World, arguments: tuple[str, ...], at: int, *, answered: bool) -> None:
    with Line(world, at, answered=answered) as line:
        done = bootstrap(world, *arguments, environment={"AWS_ENDPOINT_URL": line.url})
    stopped(done, 3)


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("stop", [_killed, _cut], ids=["killed", "cut"])
@pytest.mark.timeout(300)
def test_after_a_stop_at_any_call_a_second_run_has_the_same_result(
    fresh_world: World, chained: tuple[str, ...], stop: Callable[..., None], *, answered: bool
) -> None:
    world = fresh_world
    wanted, calls = _ends(world, chained)
    for at in range(1, calls + 1):
        world.reset()
        stop(world, chained, at, answered=answered)
        good(bootstrap(world, *chained))
        assert iam_now(world) == wanted, f"stopped at call {at} of {calls}"
    assert ROLE in exchange(world, world.issuer.mint())


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.timeout(300)
def test_a_killed_removal_completes_in_the_next_run(
    fresh_world: World, chained: tuple[str, ...], *, answered: bool
) -> None:
    world = fresh_world
    good(bootstrap(world, *chained))
    with Line(world) as line:
        good(bootstrap(world, *chained, "--destroy", environment={"AWS_ENDPOINT_URL": line.url}))
    for at in range(1, len(line.calls) + 1):
        good(bootstrap(world, *chained))
        _killed(world, (*chained, "--destroy"), at, answered=answered)
        good(bootstrap(world, *chained, "--destroy"))
        assert iam_now(world) == {"providers": {}, "roles": {}}, f"stopped at call {at}"


@pytest.mark.parametrize(
    ("number", "at", "done", "not_done"),
    [(signal.SIGINT, 6, 0, 2), (signal.SIGINT, 7, 1, 1), (signal.SIGTERM, 7, 1, 1)],
)
def test_an_interrupt_reports_the_number_of_changes(
    fresh_world: World, number: int, at: int, done: int, not_done: int
) -> None:
    world = fresh_world
    with Line(world, at, answered=True) as line:
        process = subprocess.Popen(
            [*COMMAND, *USUAL, *connect_to(world)],
            env=variables(world, AWS_ENDPOINT_URL=line.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

        def interrupt() -> None:
            process.send_signal(number)
            process.wait(timeout=20)  # the response never comes: the interrupt ends the wait

        line.then = interrupt
        out, err = process.communicate(timeout=30)
    result = f"{done} done, 1 unknown, {not_done} not done; run it again to continue\n"
    name = signal.Signals(number).name
    assert (process.returncode, err) == (128 + number, f"aws-oidc-sidecar: interrupted by {name}; {result}")
    assert out.endswith(f"interrupted: {result}"), "AWS received the interrupted call, which the command cannot know"


def test_a_retry_after_a_lost_response_is_no_error(fresh_world: World) -> None:
    world = fresh_world
    with Line(world, 7, answered=True, once=True) as line:
        url = {"AWS_ENDPOINT_URL": line.url, "AWS_MAX_ATTEMPTS": "2"}
        shown = good(bootstrap(world, *USUAL, environment=url))
    assert [call for call in line.calls if call == "CreateRole"] == ["CreateRole"] * 2, "the second call finds the role"
    assert shown.count(f"+ role {ROLE}  [create-role]\n") == 1
    assert "done: 3 changes. " in shown
    assert exchange(world, world.issuer.mint()).endswith(f"{ROLE}/test")


def test_a_new_role_that_is_not_a_principal_yet_is_waited_for(
    fresh_world: World, chained: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh_world
    good(bootstrap(world, *chained))
    world.admin_client("iam").delete_role(RoleName="Second")
    rejected = HttpResponse(400, {"Content-Type": "text/xml"}, _INVALID_PRINCIPAL)
    arn = f"arn:aws:iam::123456789012:role/{ROLE}"
    document = json.dumps(trust_policy(for_roles([arn])), separators=(",", ":"))
    change = Change("CreateRole", "role Second", {"RoleName": "Second", "AssumeRolePolicyDocument": document})
    pauses: list[float] = []
    with Line(world, 1, once=True, instead=rejected) as line:
        for name, value in variables(world, AWS_ENDPOINT_URL=line.url).items():
            monkeypatch.setenv(name, value)
        Iam(pause=pauses.append).apply(change)
    assert (line.calls, pauses) == (["CreateRole"] * 2, [2.0])
    with Line(world, 1, instead=rejected) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.url)
        with pytest.raises(BootstrapError, match=r"AWS returned an error \(MalformedPolicyDocument\)") as caught:
            Iam(pause=pauses.append).apply(change)
    assert (caught.value.exit_code, sum(pauses)) == (4, 32.0), "the wait is limited"


# --- a role that AWS does not delete ---


@pytest.fixture
def with_inline(tmp_path: Path) -> tuple[str, ...]:
    """Flags of a role with an attached and an inline policy."""
    policy = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}}'
    (tmp_path / "p.json").write_text(policy)
    return (*USUAL, "--inline-policy", f"read={tmp_path / 'p.json'}")


def _destroy_while_another_client_attaches(world: World, arguments: tuple[str, ...], **environment: str) -> Done:
    """Run --destroy; another client attaches a policy before the role is deleted, and after its last read."""
    real = Iam.apply

    def apply(self: Iam, change: Change) -> None:
        if change.operation == "DeleteRole":
            iam = world.admin_client("iam")
            iam.attach_role_policy(RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
        real(self, change)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Iam, "apply", apply)
        return bootstrap(world, *arguments, "--destroy", environment=environment)


def test_a_role_that_aws_does_not_delete_gets_its_policies_back(
    fresh_world: World, with_inline: tuple[str, ...]
) -> None:
    good(bootstrap(fresh_world, *with_inline))
    before = iam_now(fresh_world)
    done = _destroy_while_another_client_attaches(fresh_world, with_inline)
    stopped(done, 4)
    assert f". role {ROLE} still exists, and its policies were restored\n" in done.stdout
    fresh_world.admin_client("iam").detach_role_policy(
        RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess"
    )
    assert iam_now(fresh_world) == before


def test_without_the_permission_to_restore_the_result_names_what_the_role_has_lost(
    fresh_world: World, with_inline: tuple[str, ...]
) -> None:
    good(bootstrap(fresh_world, *with_inline))
    deny = {"Effect": "Deny", "Action": ["iam:AttachRolePolicy", "iam:PutRolePolicy"], "Resource": "*"}
    keys = keys_that_may(fresh_world, [{"Effect": "Allow", "Action": "*", "Resource": "*"}, deny])
    done = _destroy_while_another_client_attaches(fresh_world, with_inline, **keys)
    stopped(done, 4)
    assert f". role {ROLE} still exists and has lost: policy {READ_ONLY}, inline policy read\n" in done.stdout


def test_a_role_in_an_instance_profile_keeps_its_policies(fresh_world: World, with_inline: tuple[str, ...]) -> None:
    good(bootstrap(fresh_world, *with_inline))
    before = iam_now(fresh_world)
    iam = fresh_world.admin_client("iam")
    iam.create_instance_profile(InstanceProfileName="nodes")
    iam.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName=ROLE)
    shown = good(bootstrap(fresh_world, *with_inline, "--destroy"))
    assert f"role {ROLE} stays: it is in the instance profile nodes; its policies are not changed\n" in shown
    assert iam_now(fresh_world) == before
