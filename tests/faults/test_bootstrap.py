"""``bootstrap aws`` when something outside fails: one line that says what and whose, and a rerun that ends well."""

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
from sidecar.bootstrap.failure import Stopped
from sidecar.bootstrap.iam import Iam
from sidecar.bootstrap.state import Change
from sidecar.bootstrap.trust import for_roles, trust_policy
from tests.functional.bootstrapping import (
    COMMAND,
    READ_ONLY,
    ROLE,
    USUAL,
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


def test_without_credentials_it_says_how_to_give_some(fresh_world: World) -> None:
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    assert "set AWS_PROFILE" in stopped(bootstrap(fresh_world, *USUAL, environment=none), 2)


def test_a_profile_that_is_not_there_is_a_setting(fresh_world: World) -> None:
    told = stopped(bootstrap(fresh_world, *USUAL, environment={"AWS_PROFILE": "nobody"}), 2)
    assert "ProfileNotFound" in told


def test_keys_that_aws_does_not_take_are_told_without_its_text(fresh_world: World) -> None:
    told = stopped(bootstrap(fresh_world, *USUAL, environment={"AWS_SECRET_ACCESS_KEY": "no-such-key"}), 4)
    assert "SignatureDoesNotMatch" in told
    assert "no-such-key" not in told
    assert "signature we calculated" not in told


def test_aws_where_nobody_listens_is_unreachable(fresh_world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        told = stopped(bootstrap(fresh_world, *USUAL, environment={"AWS_ENDPOINT_URL": url}), 3)
    assert "AWS cannot be reached" in told


@pytest.mark.parametrize(("kind", "exit_code"), [(FaultKind.THROTTLE, 3), (FaultKind.REFUSE_5XX, 3)])
def test_what_comes_back_by_itself_is_to_be_tried_again(fresh_world: World, kind: FaultKind, exit_code: int) -> None:
    fresh_world.aws.faults.set(kind, scope=Scope.ALL)
    assert "run it again" in stopped(bootstrap(fresh_world, *USUAL), exit_code)


def test_so_is_an_answer_of_a_load_balancer(fresh_world: World) -> None:
    page = HttpResponse(503, {"Content-Type": "text/html"}, b"<html><body>Service Unavailable</body></html>")
    with Line(fresh_world, 1, instead=page) as line:
        told = stopped(bootstrap(fresh_world, *USUAL, environment={"AWS_ENDPOINT_URL": line.url}), 3)
    assert told == "aws-oidc-sidecar: GetCallerIdentity: AWS refuses (503); run it again later\n"


def test_a_profile_whose_role_cannot_be_assumed_is_named(fresh_world: World, tmp_path: Path) -> None:
    admin = fresh_world.aws.admin
    (tmp_path / "config").write_text(
        "[profile ops]\nrole_arn = arn:aws:iam::123456789012:role/None\n"
        "source_profile = own\n"
        f"[profile own]\naws_access_key_id = {admin.access_key_id}\naws_secret_access_key = {admin.secret_access_key}\n"
    )
    profile = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "ops"}
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    told = stopped(bootstrap(fresh_world, *USUAL, environment=profile | none), 6)
    assert told.startswith("aws-oidc-sidecar: AssumeRole for the AWS profile ops: AWS refuses (AccessDenied); mend")
    assert "AWS_PROFILE" in told


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
def test_a_right_that_is_missing_is_named(fresh_world: World, denied: str, named: str) -> None:
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": denied, "Resource": "*"},
    ]
    keys = keys_that_may(fresh_world, statements)
    told = stopped(bootstrap(fresh_world, *USUAL, environment=keys), 6)
    assert f"these credentials have no right to {named}; " in told
    assert "not authorized" not in told, "that is AWS's text"


def test_a_policy_that_does_not_exist_is_refused_half_way_and_told_so(fresh_world: World) -> None:
    usual = (*USUAL[:-1], "arn:aws:iam::aws:policy/NoSuchPolicy", "--policy-arn", READ_ONLY)
    done = bootstrap(fresh_world, *usual)
    assert "AttachRolePolicy: AWS refuses (NoSuchEntity)" in stopped(done, 4)
    assert done.stdout.index(f"+ role {ROLE}  [create-role]") < done.stdout.index(f"failed: + role {ROLE}: policy")
    assert f"not-done: + role {ROLE}: policy {READ_ONLY}" in done.stdout
    assert done.stdout.endswith("stopped: 2 done, 1 failed, 1 not done; run it again, it goes on from there\n")
    good(bootstrap(fresh_world, *USUAL))


def test_a_program_is_told_the_same(fresh_world: World) -> None:
    planned = json.loads(good(bootstrap(fresh_world, *USUAL, "--plan", "--json")))
    assert [change["status"] for change in planned["changes"]] == ["planned"] * 3
    with Line(fresh_world, 5) as line:
        done = bootstrap(fresh_world, *USUAL, "--json", environment={"AWS_ENDPOINT_URL": line.url})
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit_code"], told["account"]) == (3, 3, "123456789012")
    assert [change["kind"] for change in told["changes"]] == [change["kind"] for change in planned["changes"]]
    assert [change["status"] for change in told["changes"]] == ["done", "failed", "not-done"]
    assert told["changes"][1]["after"]["max session seconds"] == 3_600


def test_on_a_terminal_it_is_shown_in_colour(fresh_world: World) -> None:
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
        except OSError:  # how Linux says that the other side is closed
            pass
        assert process.wait(timeout=20) == 0
    assert b"\x1b[32m+ provider issuer.test" in shown
    assert f"role {ROLE}".encode() in shown


# --- killed and cut ---


@pytest.fixture
def chained(tmp_path: Path) -> tuple[str, ...]:
    """A set-up of two roles with a chain."""
    (tmp_path / "roles.toml").write_text(_CHAINED)
    return ("--file", str(tmp_path / "roles.toml"))


def _ends(world: World, arguments: tuple[str, ...]) -> tuple[object, int]:
    """Return how IAM is after an undisturbed run, and in how many calls."""
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
def test_stopped_at_any_call_and_run_again_it_ends_the_same(
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
def test_a_removal_that_is_killed_goes_on_when_it_is_run_again(
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


@pytest.mark.parametrize(("at", "done", "not_done"), [(4, 0, 2), (5, 1, 1)])
def test_a_person_who_interrupts_it_is_told_how_far_it_came(
    fresh_world: World, at: int, done: int, not_done: int
) -> None:
    world = fresh_world
    with Line(world, at, answered=True) as line:
        process = subprocess.Popen(
            [*COMMAND, *USUAL, *connect_to(world)],
            env=variables(world, AWS_ENDPOINT_URL=line.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

        def interrupt() -> None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)  # the answer never comes: the interrupt is what ends the wait

        line.then = interrupt
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    told = f"interrupted: {done} done, 1 perhaps, {not_done} not done; run it again, it goes on from there\n"
    assert out.endswith(told), "the call that was under way came through here, and may not have"


def test_an_answer_that_is_lost_and_asked_for_again_is_no_error(fresh_world: World) -> None:
    world = fresh_world
    with Line(world, 5, answered=True, once=True) as line:
        url = {"AWS_ENDPOINT_URL": line.url, "AWS_MAX_ATTEMPTS": "2"}
        shown = good(bootstrap(world, *USUAL, environment=url))
    assert [call for call in line.calls if call == "CreateRole"] == ["CreateRole"] * 2, "the second finds it there"
    assert shown.count(f"+ role {ROLE}  [create-role]\n") == 1
    assert "done: 3 changes. " in shown
    assert exchange(world, world.issuer.mint()).endswith(f"{ROLE}/test")


def test_a_role_that_is_no_principal_yet_is_waited_for(
    fresh_world: World, chained: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh_world
    good(bootstrap(world, *chained))
    world.admin_client("iam").delete_role(RoleName="Second")
    refused = HttpResponse(400, {"Content-Type": "text/xml"}, _INVALID_PRINCIPAL)
    arn = f"arn:aws:iam::123456789012:role/{ROLE}"
    document = json.dumps(trust_policy(for_roles([arn])), separators=(",", ":"))
    change = Change("CreateRole", "role Second", {"RoleName": "Second", "AssumeRolePolicyDocument": document})
    pauses: list[float] = []
    with Line(world, 1, once=True, instead=refused) as line:
        for name, value in variables(world, AWS_ENDPOINT_URL=line.url).items():
            monkeypatch.setenv(name, value)
        Iam(pause=pauses.append).apply(change)
    assert (line.calls, pauses) == (["CreateRole"] * 2, [2.0])
    with Line(world, 1, instead=refused) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL", line.url)
        with pytest.raises(Stopped, match=r"AWS refuses the policy|MalformedPolicyDocument") as caught:
            Iam(pause=pauses.append).apply(change)
    assert (caught.value.exit_code, sum(pauses)) == (4, 32.0), "but not for ever"
