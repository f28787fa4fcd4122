"""The invariants with the real process: saved credentials, secrets, requests to AWS, shutdown."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.local.faults import FaultKind
from examples.local.kubelet import Kubelet, Misbehaviour
from examples.local.process import Sidecar
from examples.local.world import World

Run = Callable[..., Sidecar]


def refresh(sidecar: Sidecar) -> None:
    """Make it exchange the token now."""
    sidecar.process.send_signal(signal.SIGHUP)


# --- credentials are not lost ---


@pytest.mark.rule("SDK 21", "Kubernetes D5")
@pytest.mark.mutant("a failed refresh withdraws the credentials")
def test_a_failed_refresh_keeps_the_credentials(fresh_world: World, run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    before = sidecar.get().body
    for number, fault in enumerate((FaultKind.DOWN, FaultKind.EMPTY_SECRET, FaultKind.GARBAGE), start=1):
        fresh_world.aws.faults.set(fault)
        refresh(sidecar)
        sidecar.wait_for("exchange_failed", count=number)
        answer = sidecar.get()
        assert (answer.status, answer.body) == (200, before)
        fresh_world.aws.faults.clear()
        refresh(sidecar)
        sidecar.wait_for("credentials_refreshed", count=number + 1)
        before = sidecar.get().body


@pytest.mark.rule("SDK 9")
@pytest.mark.mutant("saved credentials are not loaded after a restart", "a restart creates a new auth token")
def test_kill_9_with_sts_down_changes_nothing_for_the_application(
    fresh_world: World, run_sidecar: Run, tmp_path: Path
) -> None:
    state = tmp_path / "run" / "state"
    state.mkdir(parents=True, exist_ok=True)
    first = run_sidecar()
    first.wait_for("credentials_refreshed")
    token, body = first.auth_token, first.get().body
    while not (state / "default.json").exists():
        first.wait(0.05)
    fresh_world.aws.faults.set(FaultKind.DOWN)
    first.kill()
    second = run_sidecar()
    second.wait_for("credentials_loaded")
    answer = second.get(token=token)
    assert (answer.status, answer.body) == (200, body)
    assert second.admin("/readyz").status == 200
    assert second.admin("/startupz").status == 200


@pytest.mark.rule("Kubernetes D2")
def test_an_invalid_token_file_leaves_the_last_valid_token_in_use(
    fresh_world: World, run_sidecar: Run, kubelet: Kubelet
) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    for number, how in enumerate(
        (Misbehaviour.EMPTY, Misbehaviour.TRUNCATED, Misbehaviour.DIRECTORY, Misbehaviour.MISSING), start=1
    ):
        kubelet.misbehave(how)
        sidecar.wait_for("token_unusable", count=number)
        refresh(sidecar)
        sidecar.wait_for("credentials_refreshed", count=number + 1)
    assert len(fresh_world.aws.issued()) == 5


# --- secrets are not disclosed ---


def process_texts(process_id: int) -> list[bytes]:
    # A non-dumpable process hides its environment from all users but root: as another user nothing is there to search.
    names = ("cmdline", "environ") if os.geteuid() == 0 else ("cmdline",)
    return [Path(f"/proc/{process_id}/{name}").read_bytes() for name in names]


@pytest.mark.rule("SDK 16", "SDK 25", "Kubernetes D6")
def test_no_secret_is_in_logs_metrics_errors_or_the_process_list(
    fresh_world: World, run_sidecar: Run, kubelet: Kubelet
) -> None:
    sidecar = run_sidecar()  # at the level debug
    sidecar.wait_for("credentials_refreshed")
    served, auth_token, tokens = sidecar.get().json(), sidecar.auth_token, [kubelet.path.read_text()]
    seen = [sidecar.get(token=token).body for token in (None, "x" * 43, auth_token + "x")]
    seen += [sidecar.get("/elsewhere").body, sidecar.get(Origin="null").body]
    for reason in ("authorization_missing", "authorization_wrong", "path", "origin"):
        sidecar.wait_for("request_rejected", reason=reason)
    assert sidecar.count("request_rejected") == 4, "two requests with a wrong token are one line"
    fresh_world.aws.faults.set(FaultKind.THROTTLE)
    refresh(sidecar)
    sidecar.wait_for("exchange_failed")
    fresh_world.aws.faults.set(FaultKind.SLOW, seconds=2.0)
    fresh_world.aws.faults.clear(FaultKind.THROTTLE)
    tokens.append(kubelet.rotate_now())
    sidecar.wait_for("exchange_started", count=3)
    while not (children := sidecar.children()):
        sidecar.wait(0.01)
    for process_id in (sidecar.process.pid, *children):
        seen += process_texts(process_id)
    sidecar.wait_for("credentials_refreshed", count=2)
    seen += [sidecar.admin(path).body for path in ("/metrics", "/readyz", "/livez", "/startupz", "/v1/credentials")]
    served_again = sidecar.get().json()
    sidecar.terminate()
    texts = b"\n".join(seen) + "".join(sidecar.raw).encode()
    for secret in (
        auth_token,
        *(part for token in tokens for part in token.split(".")),
        *(answer[key] for answer in (served, served_again) for key in ("AccessKeyId", "SecretAccessKey", "Token")),
    ):
        assert secret.encode() not in texts


@pytest.mark.mutant("a core file may be written")
def test_core_files_are_disabled(run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("started")
    (limit,) = [
        line
        for line in Path(f"/proc/{sidecar.process.pid}/limits").read_text().splitlines()
        if line.startswith("Max core file size")
    ]
    assert limit.split()[4:6] == ["0", "0"]


# --- it answers, independent of AWS ---


@pytest.mark.rule("SDK 11", "SDK 24", "Kubernetes D6")
@pytest.mark.mutant("a first request waits 5 s", "liveness depends on credentials", "ready without credentials")
def test_without_credentials_it_answers_within_a_second_is_alive_and_not_ready(
    fresh_world: World, run_sidecar: Run
) -> None:
    fresh_world.aws.faults.set(FaultKind.SLOW, seconds=8.0)
    sidecar = run_sidecar()
    token = sidecar.auth_token

    def ask(_: int) -> tuple[int, float]:
        began = time.monotonic()  # noqa: TID251 - a measurement of real time
        status = sidecar.get(token=token).status
        return status, time.monotonic() - began  # noqa: TID251 - as above

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(ask, range(3)))
    assert [status for status, _ in answers] == [503] * 3
    # The minimum: the machine that runs the tests may be busy, and the daemon waits 0.4 s for each request.
    assert min(seconds for _, seconds in answers) < 1.0
    assert sidecar.admin("/livez").status == 200
    assert sidecar.admin("/readyz").status == 503
    assert sidecar.admin("/startupz").status == 503


# --- AWS gets one request ---


@pytest.mark.rule("SDK 18")
def test_clients_however_many_make_no_call_to_sts(fresh_world: World, run_sidecar: Run) -> None:
    # Longer than the role allows: a refusal that is tried again after a minute at the earliest.
    sidecar = run_sidecar(duration="43200")
    sidecar.wait_for("exchange_failed")
    token = sidecar.auth_token
    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: sidecar.get(token=token).status, range(64)))
    assert statuses == [503] * 64
    assert len(fresh_world.aws.calls()) == 1
    fresh_world.set_up_trust(max_session_seconds=43_200)
    refresh(sidecar)
    sidecar.wait_for("credentials_refreshed")
    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: sidecar.get(token=token).status, range(256)))
    assert statuses == [200] * 256
    assert len(fresh_world.aws.calls()) == 2


@pytest.mark.rule("SDK 28")
@pytest.mark.mutant("botocore retries by itself")
@pytest.mark.parametrize("fault", [FaultKind.THROTTLE, FaultKind.SERVICE_UNAVAILABLE, FaultKind.DOWN])
def test_one_attempt_is_one_request_for_each_answer_of_sts(
    fresh_world: World, run_sidecar: Run, fault: FaultKind
) -> None:
    fresh_world.aws.faults.set(fault)
    sidecar = run_sidecar()
    sidecar.wait_for("exchange_failed", count=2)
    fresh_world.aws.faults.clear()
    sidecar.wait_for("credentials_refreshed")
    failed = [call for call in fresh_world.aws.calls() if call.outcome != "ok"]
    assert len(failed) == sidecar.count("exchange_failed")


@pytest.mark.rule("SDK 10", "SDK 18")
def test_a_hundred_requests_write_no_log_line_and_as_many_rejected_ones_write_one(run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    token = sidecar.auth_token
    before = len(sidecar.raw)
    for _ in range(100):
        assert sidecar.get(token=token).status == 200
        assert sidecar.get(token=None).status == 403
    assert [json.loads(line)["event"] for line in sidecar.raw[before:]] == ["request_rejected"]


@pytest.mark.mutant("the child process has the priority of the server")
def test_the_child_yields_the_processor_to_the_server(fresh_world: World, run_sidecar: Run) -> None:
    fresh_world.aws.faults.set(FaultKind.SLOW, seconds=5.0)
    sidecar = run_sidecar()
    sidecar.wait_for("exchange_started")
    while not (children := sidecar.children()):
        sidecar.wait(0.01)
    assert nice(sidecar.process.pid) == os.nice(0)
    while nice(children[0]) != min(os.nice(0) + 10, 19):
        sidecar.wait(0.01)


def nice(pid: int) -> int:
    # proc(5): it is the 19th field, and the second can contain spaces.
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])


# --- shutdown ---

# The import of this module hangs, as with an exhausted CPU quota.
_SLOW_IMPORT = """
import sys, time
slow = sys.argv[1]
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == slow:
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Finder())
from sidecar.__main__ import main
sys.argv[1:] = ["run"]
sys.exit(main())
"""


def test_sighup_during_the_start_does_not_end_it(run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    status = Path(f"/proc/{sidecar.process.pid}/status")
    # From the time when SIGTERM, the later of the two, has its handler (proc(5); bit 14).
    while not int(re.findall("SigCgt:\t([0-9a-f]+)", status.read_text())[0], 16) & 1 << 14:
        pass
    while not sidecar.count("credentials_refreshed"):
        sidecar.process.send_signal(signal.SIGHUP)
        sidecar.wait(0.01)
    assert sidecar.get().status == 200


@pytest.mark.rule("Kubernetes D8")
@pytest.mark.mutant("SIGTERM during imports is not handled")
@pytest.mark.parametrize("module", ["sidecar.cli", "asyncio", "structlog", "watchdog.observers"])
def test_sigterm_also_ends_it_during_imports(module: str) -> None:
    environment = {"PATH": os.environ["PATH"], "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/R"}
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _SLOW_IMPORT, module], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        began = time.monotonic()  # noqa: TID251 - a measurement of real time
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()
        assert time.monotonic() - began < 2.0  # noqa: TID251 - as above


@pytest.mark.rule("Kubernetes D8")
@pytest.mark.mutant("the end waits 5 s for clients with open requests")
def test_sigterm_does_not_wait_for_clients_that_are_not_done(run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    ports = (sidecar.port, sidecar.admin_port)
    stuck = [socket.create_connection(("127.0.0.1", port)) for port in ports for _ in range(8)]
    for connection in stuck:
        connection.sendall(b"GET /v1/credentials/default HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert sidecar.get().status == 200
    status, seconds = sidecar.terminate()
    for connection in stuck:
        connection.close()
    assert status == 0
    assert seconds < 2.0


def test_the_last_answer_before_the_end_is_complete(run_sidecar: Run) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    request = (
        f"GET /v1/credentials/default HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {sidecar.auth_token}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", sidecar.port)) as connection:
        connection.sendall(request[:20])
        assert sidecar.get().status == 200
        sidecar.process.send_signal(signal.SIGTERM)
        sidecar.wait_for("stopping")
        connection.sendall(request[20:])
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in head
    assert json.loads(body)["AccessKeyId"]
