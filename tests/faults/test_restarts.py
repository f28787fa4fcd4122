"""A restart changes nothing for the application: kill -9 at any moment, STS up or down (I2)."""

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
"""From the start of the process to its first answer, on a machine that does six other things."""
ROUNDS = 4
PATH = "/v1/credentials/default"

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def port(case: Case) -> int:
    """The port of the endpoint, the same after each restart, as the application knows it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    case.environment["AWS_OIDC_SIDECAR_ENDPOINT_PORT"] = str(free)
    return free


def first_answer(case: Case, port: int, token: str) -> tuple[Answer, float]:
    """Start a daemon; return the first answer of all, and how long it took from the start of the process."""
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
def test_kill_9_at_a_random_moment_loses_no_set(
    case: Case, port: int, figure: Callable[[str], None], seed: int
) -> None:
    draw = random.Random(seed)
    case.start_with_set()
    token = case.sidecar.auth_token
    slowest = 0.0
    for number in range(ROUNDS):
        case.sidecar.wait_for("credentials_renewed")
        case.settle()
        moment = ("at rest", "exchange in flight", "just renewed", "shortly after")[(seed + number) % 4]
        good = {next(reversed([sample.key for sample in case.watch.samples if sample.key]))}
        if moment != "at rest":
            renewed = case.sidecar.count("credentials_renewed")
            case.renew()
            if moment == "exchange in flight":
                case.children.wait_for_child(set(case.children.seen))
                case.sidecar.wait(draw.uniform(0.0, 0.3))
            else:
                case.sidecar.wait_for("credentials_renewed", renewed + 1)
                if moment == "shortly after":
                    case.watch.more(1)
        case.kill()
        # A set that STS gave in the last moment may be lost with the process, the one before it not.
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
        case.told("token_read")
        if draw.random() < 0.5:
            case.renew()
            case.told("exchange_failed")
        case.world.aws.faults.clear()
        case.renew()
        case.watch.until(lambda sample: sample.key not in good, "a renewal after the restart")  # noqa: B023 - waited for here
    figure(f"restart with STS down: first answer is 200 after {slowest:.2f} s at most in {ROUNDS} rounds")


def test_at_rest_exactly_the_same_set_comes_back_with_the_same_token(case: Case, port: int) -> None:
    key = case.start_with_set()
    token = case.sidecar.auth_token
    case.settle()
    promise = case.kill()
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert key_of(answer) == key
    case.follow(promise)
    case.told("token_read")
    case.renew()
    case.told("exchange_failed")
    case.watch.more(5)
    assert case.watch.keys() == {key}


def test_a_kill_while_the_state_is_written_leaves_the_former_set(case: Case, port: int) -> None:
    stuck = case.switch("stuck")
    key = case.start_with_set()
    token = case.sidecar.auth_token
    case.settle()
    stuck.write_text(str(case.state))
    case.renew()
    case.watch.until(lambda sample: sample.key not in {"", key}, "a renewal")
    case.kill()
    stuck.unlink()
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert key_of(answer) == key


def test_a_state_volume_that_hangs_does_not_keep_the_endpoint_from_answering(case: Case, port: int) -> None:
    case.start_with_set()
    token = case.sidecar.auth_token
    case.kill()
    case.switch("stuck").write_text(str(case.state))
    answer, seconds = first_answer(case, port, token)
    (case.directory / "stuck").unlink()
    assert answer.status in {200, 503}
    assert seconds < STARTUP_SECONDS


def test_leftovers_of_a_write_that_was_cut_do_not_matter(case: Case, port: int) -> None:
    key = case.start_with_set()
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
        path.rename(path.with_name("kept"))
        make(path)

    return replace


SPOILED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "cut before its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "random bytes": lambda path: path.write_bytes(bytes(range(256))),
    "a list": lambda path: path.write_text("[1]"),
    "nested deeply": lambda path: path.write_text("[" * 60_000),
    "endless": lambda path: path.write_bytes(b" " * 5_000_000),
    "of another version": _edit(version=2),
    "of other settings": _edit(fingerprint="0" * 64),
    "with an empty secret": _edit(secret_access_key=""),
    "with a number for a token": _edit(session_token=7),
    "that has expired": _edit(expires_at=1_000_000_000),
    "of an endless life": _edit(life_seconds=float("inf")),
    "of no life": _edit(life_seconds=float("nan")),
    "with a field too many": _edit(credentials={"access_key_id": "x", "more": 1}),
    "readable by others": lambda path: path.chmod(0o644),
    "writable by a group": lambda path: path.chmod(0o620),
    "a link": _replace(lambda path: path.symlink_to("kept")),
    "a directory": _replace(lambda path: path.mkdir()),
    "a FIFO": _replace(lambda path: os.mkfifo(path, 0o600)),
}
if os.geteuid() == 0:
    SPOILED["of another user"] = lambda path: os.chown(path, 65_534, 65_534)


@pytest.mark.parametrize("how", SPOILED, ids=lambda how: how.replace(" ", "_"))
def test_a_state_file_that_is_not_as_written_is_ignored(case: Case, port: int, how: str) -> None:
    case.start_with_set()
    token = case.sidecar.auth_token
    case.settle()
    case.kill()
    SPOILED[how](case.state / "default.json")
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert answer.status == 503
    case.follow()
    case.world.aws.faults.clear()
    case.watch.until(lambda sample: sample.status == 200, "a set of its own")
    if how != "a directory":  # which no file can be put in the place of
        case.settle()
    assert not case.sidecar.count("crashed")


def test_a_set_that_ran_out_while_nobody_ran_is_not_served(case: Case, port: int) -> None:
    case.world.aws.grant_seconds = 33
    case.start_with_set()
    token = case.sidecar.auth_token
    promise = case.watch.promise
    case.settle()
    case.kill()
    assert promise is not None
    time.sleep(max(0.0, promise.expires_at - 30 - CLOCK.now().wall))  # nothing runs that could tell when
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert answer.status == 503


def test_a_set_of_another_role_is_not_served(case: Case, port: int) -> None:
    case.start_with_set()
    token = case.sidecar.auth_token
    case.settle()
    case.kill()
    other = case.world.set_up_trust(role="AnotherRole")
    case.environment["AWS_ROLE_ARN"] = other
    case.world.aws.faults.set(FaultKind.DOWN)
    answer, _ = first_answer(case, port, token)
    assert answer.status == 503
    case.follow()
    case.world.aws.faults.clear()
    case.watch.until(lambda sample: sample.status == 200, "a set of the other role")
    assert case.sidecar.get().json()["RoleArn"] == other


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 43 + b"\n", b"\xff" * 43, b"x" * 5000])
def test_an_auth_token_that_is_none_of_ours_is_replaced(case: Case, port: int, content: bytes) -> None:
    case.start_with_set()
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
