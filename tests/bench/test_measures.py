"""The measurements of processes, memory, rest and scale are right."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pytest

from examples.local.faults import FaultKind
from examples.local.process import Sidecar
from examples.local.world import World
from tests.bench.daemons import (
    Bench,
    ClientProcess,
    Context,
    connections_of,
    cores,
    group,
    memory_of,
    no_group,
    on_core,
    settle,
)
from tests.bench.memory import watched
from tests.bench.process_start import Command, WrongOutputError, is_process_output, timed
from tests.bench.rest import cpu_seconds, voluntary_switches

ANSWER = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "Token": "token", "Expiration": "later"}
OUTPUT = b'{"Version": 1, "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "SessionToken": "token"}'
SLEEP = "for _ in range(50): time.sleep(0.002)"
WORK = "while time.process_time() < 0.3: pass"


def in_a_thread(line: str) -> str:
    # The thread does not end, because the kernel has no counters of ended threads.
    return f"""
over = threading.Event()
def run():
    {line}
    over.set()
    threading.Event().wait()
threading.Thread(target=run, daemon=True).start()
over.wait()
"""


class Program:
    """A process that runs ``code`` on `run`, and then waits until `close`."""

    def __init__(self, code: str) -> None:
        text = f"import sys, time, threading\nprint(1, flush=True)\ninput()\n{code}\nprint(2, flush=True)\ninput()"
        self._process = subprocess.Popen(
            (sys.executable, "-I", "-S", "-c", text), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self._read_line()

    def _read_line(self) -> None:
        assert cast("IO[str]", self._process.stdout).readline()

    def run(self) -> None:
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write("\n")
        stdin.flush()
        self._read_line()

    def close(self) -> None:
        self._process.communicate("\n")


@pytest.fixture
def bench(fresh_world: World, tmp_path: Path) -> Bench:
    return Bench(fresh_world, Context(1, quick=True, folder=tmp_path, report=lambda _: None))


@pytest.fixture
def daemon(bench: Bench) -> Iterator[Sidecar]:
    with bench.token() as token, bench.daemon(token) as sidecar:
        sidecar.wait_for("credentials_refreshed")
        yield sidecar


@pytest.mark.parametrize(
    ("code", "least", "most"),
    [
        (SLEEP, 50, 60),
        (WORK, 0, 10),
        (in_a_thread(SLEEP), 51, 70),
    ],
    ids=["sleeps", "works", "sleeps in a thread"],
)
def test_a_switch_is_counted_each_time_when_a_thread_sleeps(code: str, least: int, most: int) -> None:
    process = Program(code)
    before = voluntary_switches(process.pid)
    process.run()
    counted = voluntary_switches(process.pid) - before
    process.close()
    assert least <= counted <= most


@pytest.mark.parametrize(
    ("code", "least", "most"),
    [
        (WORK, 0.2, 0.32),
        (in_a_thread(WORK), 0.2, 0.32),
        ("time.sleep(0.3)", 0, 0.05),
    ],
    ids=["works", "works in a thread", "sleeps"],
)
def test_cpu_is_counted_for_all_threads(code: str, least: float, most: float) -> None:
    process = Program(code)
    before = cpu_seconds(process.pid)
    process.run()
    counted = cpu_seconds(process.pid) - before
    process.close()
    assert least <= counted <= most


def test_memory_grows_by_the_bytes_that_a_process_allocates() -> None:
    process = Program("held = bytearray(50_000_000)\nfor at in range(0, len(held), 4096): held[at] = 1")
    before = memory_of(process.pid)
    process.run()
    after = memory_of(process.pid)
    process.close()
    for grown in (after[0] - before[0], after[1] - before[1]):
        assert grown == pytest.approx(50_000_000, rel=0.02)


@pytest.mark.skipif(bool(no_group()), reason="no control group can be made here")
def test_a_short_peak_of_a_group_is_recorded() -> None:
    code = "import time; held = b'x' * 50_000_000; time.sleep(0.2); del held; time.sleep(0.2)"
    with group("test") as inside, watched(inside) as seen:
        subprocess.run(inside.command([sys.executable, "-I", "-S", "-c", code]), check=True)
    assert 50_000_000 < max(seen) < 65_000_000
    assert seen[-1] < 10_000_000


def test_processes_that_are_started_in_the_block_run_on_the_core() -> None:
    before = os.sched_getaffinity(0)
    code = "import os; print(os.sched_getaffinity(0))"
    for core in cores():
        with on_core(core):
            assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == str({core})
    assert os.sched_getaffinity(0) == before


def test_the_daemons_environment_has_only_the_packages_of_the_image(bench: Bench) -> None:
    code = "import structlog, boto3, sidecar, importlib.util; print(importlib.util.find_spec('rich'))"
    assert subprocess.check_output([bench.python, "-I", "-c", code], text=True) == "None\n"


def test_clients_get_as_many_responses_as_they_report(daemon: Sidecar) -> None:
    settle(daemon)  # the connection that waited for the credentials may not be closed yet
    with ClientProcess(sys.executable) as clients:
        result = clients.send(daemon, connections=20, requests=1_000, in_flight=7)
        held = connections_of(daemon)
    settle(daemon)
    assert held == 20
    assert connections_of(daemon) == 0
    assert result["statuses"] == {"200": 1_000}
    assert daemon.metric("http_requests_total", code="200") == 1_000
    assert 0 < result["p99"] < result["seconds"]


def test_rejected_requests_of_clients_are_an_error(daemon: Sidecar) -> None:
    daemon.wait_for("started")
    (daemon.profile_directory / "auth-token").write_text("x" * 43)
    with ClientProcess(sys.executable) as clients, pytest.raises(RuntimeError, match="'403': 10"):
        clients.send(daemon, connections=2, requests=10, in_flight=2)


def test_new_clients_send_requests_until_each_has_credentials(bench: Bench) -> None:
    bench.world.aws.faults.set(FaultKind.SLOW, seconds=0.6)
    with ClientProcess(sys.executable) as clients, bench.token() as token, bench.daemon(token) as daemon:
        result = clients.arrive(daemon, 50)
        served = daemon.metric("http_requests_total", code="200")
        early = daemon.metric("http_requests_total", code="503", reason="no_credentials")
        key = daemon.get().json()["AccessKeyId"]
    assert result["served"] == served == 50
    assert result["keys"] == [key]
    assert result["refused"] == {"503": early}
    assert early >= 50


def test_output_with_the_credentials_of_the_endpoint_is_right() -> None:
    assert is_process_output(OUTPUT, ANSWER)


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"[]",
        b"not JSON",
        OUTPUT[:-1],
        OUTPUT.replace(b"secret", b"Secret"),
        OUTPUT.replace(b"1", b"2"),
        OUTPUT.replace(b"SessionToken", b"Token"),
        OUTPUT.replace(b"ASIAEXAMPLE", b"ASIAOTHER"),
    ],
)
def test_other_output_of_a_credential_process_is_wrong(output: bytes) -> None:
    assert not is_process_output(output, ANSWER)


@pytest.mark.parametrize("code", ["print('wrong')", "print('right'); raise SystemExit(1)", "pass"])
def test_a_command_with_a_wrong_result_raises_an_error(code: str) -> None:
    command = Command("test", (sys.executable, "-c", code), {}, lambda output: output == b"right\n")
    with pytest.raises(WrongOutputError, match="test ended with"):
        timed(command)


def test_the_time_of_a_command_is_its_duration() -> None:
    code = "import time; time.sleep(0.3); print('right')"
    assert 0.3 < timed(Command("test", (sys.executable, "-c", code), {}, lambda output: output == b"right\n")) < 1.5
