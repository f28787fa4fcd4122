"""After a restart the application gets the same or newer credentials: kill -9 at any moment, STS up or down (I2)."""

import json
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.faults import FaultKind
from tests.faults.case import Case
from tests.faults.watch import CLOCK, Answer, ask

STARTUP_SECONDS = 5.0
"""From the start of the process to its first response, on a busy machine."""
ROUNDS = 4
PATH = "/v1/credentials/default"

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def port(case: Case) -> int:
    """The port of the endpoint, the same after each restart, because the application has it in its environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    case.environment["AWS_OIDC_SIDECAR_ENDPOINT_PORT"] = str(free)
    return free


def first_answer(case: Case, port: int, token: str) -> tuple[Answer, float]:
    """Start a daemon; return its first response, and the seconds from the start of the process."""
    began = CLOCK.now().mono
    case.launch()
    answer = Answer(0, b"", 0.0, 0.0)
    while answer.status == 0 and CLOCK.now().mono - began < 20.0:
        case.sidecar.wait(0.005)
        answer = ask(port, PATH, token)
    return answer, CLOCK.now().mono - began


def key_of(answer: Answer) -> str:
    return str(json.loads(answer.body)["AccessKeyId"]) if answer.status == 200 else ""


@pytest.mark.parametrize("seed", range(5))
def test_kill_9_at_a_random_moment_loses_no_credentials(
    case: Case, port: int, figure: Callable[[str], None], seed: int
) -> None:
    draw = random.Random(seed)
    case.start_with_credentials()
    token = case.sidecar.auth_token
    slowest = 0.0
    for number in range(ROUNDS):
        case.sidecar.wait_for("credentials_refreshed")
        case.settle()
        moment = ("at rest", "exchange in flight", "just refreshed", "shortly after")[(seed + number) % 4]
        good = {next(reversed([sample.key for sample in case.watch.samples if sample.key]))}
        if moment != "at rest":
            refreshed = case.sidecar.count("credentials_refreshed")
            case.refresh()
            if moment == "exchange in flight":
                case.children.wait_for_child(set(case.children.seen))
                case.sidecar.wait(draw.uniform(0.0, 0.3))
            else:
                case.sidecar.wait_for("credentials_refreshed", refreshed + 1)
                if moment == "shortly after":
                    case.watch.more(1)
        case.kill()
        # Credentials that STS issued just before the kill may be lost; the credentials before those may not.
        good |= {keys.access_key_id for keys in case.world.aws.issued()[-2:]}
        case.world.aws.faults.set(FaultKind.DOWN)
        answer, seconds = first_answer(case, port, token)
        slowest = max(slowest, seconds)
        assert answer.status == 200, f"{moment}: {answer.body!r}"
        assert key_of(answer) in good, moment
        assert seconds < STARTUP_SECONDS
        case.follow()
        assert case.sidecar.auth_token == token
        case.watch.more(3)
        case.wait_for_line("token_read")
        if draw.random() < 0.5:
            case.refresh()
            case.wait_for_line("exchange_failed")
        case.world.aws.faults.clear()
        case.refresh()
        case.watch.until(lambda sample: sample.key not in good, "a refresh after the restart")  # noqa: B023 - waited for here
    figure(f"restart with STS down: the first response is 200 after at most {slowest:.2f} s in {ROUNDS} rounds")


def test_after_a_restart_without_a_refresh_credentials_and_auth_token_are_the_same(case: Case, port: int) -> None:
    key = case.start_with_credentials()
    token = case.sidecar.auth_token
    case.settle()
    promise = case.kill()
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert key_of(answer) == key
    case.follow(promise)
    case.wait_for_line("token_read")
    case.refresh()
    case.wait_for_line("exchange_failed")
    case.watch.more(5)
    assert case.watch.keys() == {key}


def test_a_kill_while_the_state_is_written_leaves_the_previous_credentials(case: Case, port: int) -> None:
    stuck = case.switch("stuck")
    key = case.start_with_credentials()
    token = case.sidecar.auth_token
    case.settle()
    stuck.write_text(str(case.state))
    case.refresh()
    case.watch.until(lambda sample: sample.key not in {"", key}, "a refresh")
    case.kill()
    stuck.unlink()
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert key_of(answer) == key


def test_the_endpoint_responds_while_the_state_volume_hangs(case: Case, port: int) -> None:
    case.start_with_credentials()
    token = case.sidecar.auth_token
    case.kill()
    case.switch("stuck").write_text(str(case.state))
    answer, seconds = first_answer(case, port, token)
    (case.directory / "stuck").unlink()
    assert answer.status in {200, 503}
    assert seconds < STARTUP_SECONDS


def test_files_of_an_interrupted_write_are_ignored(case: Case, port: int) -> None:
    key = case.start_with_credentials()
    token = case.sidecar.auth_token
    case.settle()
    case.kill()
    whole = (case.state / "default.json").read_bytes()
    for number, cut in enumerate((0, 1, len(whole) // 2, len(whole) - 1)):
        leftover = case.state / f".default.json.{number:016x}"
        leftover.write_bytes(whole[:cut])
        leftover.chmod(0o600)
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert key_of(answer) == key


def _edit(**changes: object) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        content = json.loads(path.read_text())
        for name, value in changes.items():
            (content["credentials"] if name in content["credentials"] else content)[name] = value
        path.write_text(json.dumps(content))

    return edit


def _replace(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        path.rename(path.with_name("renamed"))
        make(path)

    return replace


DAMAGED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "cut before its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "random bytes": lambda path: path.write_bytes(bytes(range(256))),
    "a list": lambda path: path.write_text("[1]"),
    "nested deeply": lambda path: path.write_text("[" * 60_000),
    "endless": lambda path: path.write_bytes(b" " * 5_000_000),
    "of another version": _edit(version=2),
    "without settings": _edit(fingerprint=""),
    "with an empty secret": _edit(secret_access_key=""),
    "with a number for a token": _edit(session_token=7),
    "that has expired": _edit(expires_at=1_000_000_000),
    "with an infinite lifetime": _edit(lifetime_seconds=float("inf")),
    "with a lifetime that is not a number": _edit(lifetime_seconds=float("nan")),
    "with an unknown field": _edit(credentials={"access_key_id": "x", "more": 1}),
    "readable by others": lambda path: path.chmod(0o644),
    "writable by a group": lambda path: path.chmod(0o620),
    "a link": _replace(lambda path: path.symlink_to("renamed")),
    "a directory": _replace(lambda path: path.mkdir()),
    "a FIFO": _replace(lambda path: os.mkfifo(path, 0o600)),
}
if os.geteuid() == 0:
    DAMAGED["of another user"] = lambda path: os.chown(path, 65_534, 65_534)


@pytest.mark.parametrize("how", DAMAGED, ids=lambda how: how.replace(" ", "_"))
def test_a_damaged_state_file_is_ignored(case: Case, port: int, how: str) -> None:
    case.start_with_credentials()
    token = case.sidecar.auth_token
    case.settle()
    case.kill()
    DAMAGED[how](case.state / "default.json")
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert answer.status == 503
    case.follow()
    case.world.aws.faults.clear()
    case.watch.until(lambda sample: sample.status == 200, "new credentials")
    if how != "a directory":  # a file cannot replace a directory
        case.settle()
    assert not case.sidecar.count("crashed")


def test_credentials_that_expired_while_no_daemon_ran_are_not_served(case: Case, port: int) -> None:
    case.world.aws.max_lifetime_seconds = 33
    case.start_with_credentials()
    token = case.sidecar.auth_token
    promise = case.watch.promise
    case.settle()
    case.kill()
    assert promise is not None
    time.sleep(max(0.0, promise.expires_at - 30 - CLOCK.now().wall))  # no process runs that could report the time
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert answer.status == 503


@pytest.mark.parametrize(("on_change", "status"), [("keep", 200), ("withdraw-on-role-change", 503)])
def test_the_setting_on_change_decides_whether_credentials_of_another_role_are_served(
    case: Case, port: int, on_change: str, status: int
) -> None:
    case.start_with_credentials()
    token = case.sidecar.auth_token
    case.settle()
    case.kill()
    previous, other = case.environment["AWS_ROLE_ARN"], case.world.set_up_trust(role="AnotherRole")
    case.environment |= {"AWS_ROLE_ARN": other, "AWS_OIDC_SIDECAR_ON_CHANGE": on_change}
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert answer.status == status
    assert answer.status != 200 or json.loads(answer.body)["RoleArn"] == previous
    case.follow()
    case.world.aws.faults.clear()
    case.wait_for_line("credentials_refreshed")
    assert case.sidecar.get().json()["RoleArn"] == other


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 43 + b"\n", b"\xff" * 43, b"x" * 5000])
def test_a_malformed_auth_token_is_replaced(case: Case, port: int, content: bytes) -> None:
    case.start_with_credentials()
    case.settle()
    case.kill()
    case.sidecar.profile_directory.joinpath("auth-token").write_bytes(content)
    case.world.aws.faults.set(FaultKind.DOWN)
    case.launch()
    case.sidecar.wait_for("started")
    made = case.sidecar.auth_token
    assert len(made) == 43
    assert ask(port, PATH, made).status == 200
    assert ask(port, PATH, content.decode("latin-1").strip() or "x").status in {400, 401, 403, 431}
