"""SIGTERM ends the daemon within 2 s at any moment, and no child is left (I10)."""

import os
import random
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from examples.local.process import COMMAND
from tests.faults.case import Case
from tests.faults.relay import Mode
from tests.faults.watch import CLOCK, Addresses

END_SECONDS = 2.0
AFTER_SPAWN_MILLISECONDS = (0, 2, 5, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 250, 300, 400, 600)

pytestmark = pytest.mark.timeout(120)


def _end(case: Case) -> None:
    """Send SIGTERM, and check the exit status, the time and the children of the daemon."""
    case.watch.close()
    children = set(case.sidecar.children())
    status, seconds = case.sidecar.terminate()
    assert seconds < END_SECONDS
    assert status == 0
    assert case.sidecar.count("stopping") == 1
    assert case.sidecar.lines[-1]["event"] == "stopped"
    for child in children | case.children.seen:
        assert not _runs(child), f"child {child} still runs after the daemon has ended"


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in {"Z", "X"}


def _catches_sigterm(pid: int) -> bool:
    """Return whether the process has a handler for SIGTERM now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    mask = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt")), 0)
    return bool(mask >> (signal.SIGTERM - 1) & 1)


def _spawn(case: Case) -> subprocess.Popen[bytes]:
    return subprocess.Popen(COMMAND, env=case.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_it_ends_at_any_moment_of_its_start(case: Case) -> None:
    (case.runtime / "profiles" / "default").mkdir(parents=True)
    for delay in AFTER_SPAWN_MILLISECONDS:
        began = CLOCK.now().mono
        process = _spawn(case)
        while CLOCK.now().mono - began < delay / 1000:
            pass  # a sleep would end too late
        caught = _catches_sigterm(process.pid)
        sent = CLOCK.now().mono
        process.send_signal(signal.SIGTERM)
        process.communicate()
        status = process.returncode
        assert CLOCK.now().mono - sent < END_SECONDS, f"{delay} ms after its start"
        # Before Python runs the program's first line, the kernel ends the process; after that its handler does.
        assert status in ({0} if caught else {0, -signal.SIGTERM}), f"{delay} ms after its start"


def test_the_handler_is_installed_before_the_imports(case: Case, figure: Callable[[str], None]) -> None:
    (case.runtime / "profiles" / "default").mkdir(parents=True)
    handled, listening = [], []
    for _ in range(5):
        began = CLOCK.now().mono
        process = _spawn(case)
        while not _catches_sigterm(process.pid) and CLOCK.now().mono - began < 10.0:
            pass  # as above
        handled.append(CLOCK.now().mono - began)
        assert process.stderr is not None
        assert b'"started"' in process.stderr.readline()
        listening.append(CLOCK.now().mono - began)
        process.send_signal(signal.SIGTERM)
        _, lines = process.communicate()
        assert process.returncode == 0, lines
    handled.sort()
    listening.sort()
    figure(
        f"SIGTERM is handled {1000 * handled[2]:.0f} ms after the start of the process, "
        f"and the daemon listens after {1000 * listening[2]:.0f} ms (medians of 5)"
    )
    assert handled[2] < listening[2] / 2


@pytest.mark.parametrize("seed", range(3))
def test_it_ends_during_the_imports_of_a_child(case: Case, seed: int) -> None:
    draw = random.Random(seed)
    case.start_with_credentials()
    case.refresh()
    case.children.wait_for_child(set(case.children.seen))
    case.sidecar.wait(draw.uniform(0.0, 0.25))
    _end(case)


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.DRIP], ids=lambda mode: mode.name)
def test_it_ends_during_an_exchange_that_hangs(case: Case, mode: Mode) -> None:
    case.use_relay()
    case.start_with_credentials()
    case.relay.set_mode(mode)
    case.refresh()
    case.children.wait_for_child(set(case.children.seen))
    assert case.relay.reached.wait(20)
    _end(case)


def test_it_ends_while_a_child_is_stopped(case: Case) -> None:
    case.start_with_credentials()
    case.children.signal_each(signal.SIGSTOP)
    case.refresh()
    case.children.wait_for_stopped()
    _end(case)


@pytest.fixture
def connections(case: Case) -> Iterator[Callable[[int, bytes], list[socket.socket]]]:
    """Open connections to the endpoint, and send something on each."""
    with ExitStack() as stack:

        def connect(count: int, sent: bytes) -> list[socket.socket]:
            made = []
            for _ in range(count):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", case.sidecar.port)))
                sock.sendall(sent)
                made.append(sock)
            return made

        yield connect


def _request(addresses: Addresses) -> bytes:
    return (
        f"GET /v1/credentials/default HTTP/1.1\r\nHost: 127.0.0.1:{addresses.port}\r\n"
        f"Authorization: {addresses.auth_token}\r\n\r\n"
    ).encode()


def test_it_ends_with_200_open_connections(
    case: Case, connections: Callable[[int, bytes], list[socket.socket]]
) -> None:
    case.start_with_credentials()
    whole = _request(case.addresses)
    connections(50, b"")
    connections(50, whole[:30])
    connections(50, whole)
    connections(50, whole * 200)
    case.watch.more(2)
    _end(case)


def test_it_ends_while_requests_wait_for_the_first_credentials(
    case: Case, connections: Callable[[int, bytes], list[socket.socket]]
) -> None:
    case.kubelet.volume.publish({})
    case.hold_token()
    case.start()
    waiting = connections(20, _request(case.addresses))
    _end(case)
    for sock in waiting:
        assert sock.recv(65_536).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("where", ["state", "token"])
def test_it_ends_while_a_disk_hangs(case: Case, where: str) -> None:
    stuck = case.switch("stuck")
    case.start_with_credentials()
    stuck.write_text(str(case.state if where == "state" else case.kubelet.path.parent))
    refreshed = case.sidecar.count("credentials_refreshed")
    case.refresh()
    case.sidecar.wait_for("credentials_refreshed", refreshed + 1)
    case.kubelet.rotate_now()
    case.watch.more(10)
    _end(case)


def test_a_second_sigterm_has_no_effect(case: Case) -> None:
    case.start_with_credentials()
    case.watch.close()
    case.sidecar.process.send_signal(signal.SIGTERM)
    case.sidecar.wait_for("stopping")
    status, seconds = case.sidecar.terminate()
    assert status == 0
    assert seconds < END_SECONDS


def test_it_ends_when_it_is_continued_after_sigstop(case: Case) -> None:
    case.start_with_credentials()
    with case.watch.silence_ignored():
        os.kill(case.sidecar.process.pid, signal.SIGSTOP)
        case.sidecar.process.send_signal(signal.SIGTERM)
        case.watch.more(2)
        os.kill(case.sidecar.process.pid, signal.SIGCONT)
        assert case.sidecar.process.wait(END_SECONDS) == 0
        case.watch.close()
