"""A thousand stuck connections, and floods of both ports: a live client does not feel them (I5, I8)."""

import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.case import Case
from tests.faults.watch import CLOCK, ask

STUCK = 1_000
REQUESTS = 400
P99_SECONDS = 0.1
FLOOD_LEAST = 100
ROUNDS = 3
"""A real delay is there in every round; one that comes from what else this machine does is not."""

Figure = Callable[[str], None]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def many_descriptors() -> Iterator[None]:
    """Allow this process as many connections as the tests hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, 3 * STUCK)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _latencies(case: Case, path: str = "/v1/credentials/default") -> list[float]:
    """Return the seconds of each of many requests, each on a connection of its own, all answered 200."""
    credentials = path.startswith("/v1/")
    port = case.addresses.port if credentials else case.addresses.admin_port
    token = case.addresses.auth_token if credentials else ""
    found = []
    for _ in range(REQUESTS):
        answer = ask(port, path, token)
        assert answer.status == 200, answer.body
        found.append(answer.seconds)
    return sorted(found)


def _judge(case: Case, figure: Figure, what: str, path: str = "/v1/credentials/default") -> None:
    """Measure, print, and compare with the bound; the best of some rounds counts."""
    rounds = [_latencies(case, path) for _ in range(ROUNDS)]
    best = min(rounds, key=lambda found: found[int(0.99 * REQUESTS)])
    p50, p99, worst = (1_000 * best[index] for index in (REQUESTS // 2, int(0.99 * REQUESTS), -1))
    figure(f"{what}: a live client's p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms of {REQUESTS}")
    assert best[int(0.99 * REQUESTS)] < P99_SECONDS


@contextmanager
def _flood(port: int, path: str, what: str) -> Iterator[None]:
    script = Path(__file__).with_name("flooder.py")
    command = [sys.executable, "-I", str(script), str(port), path, what]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield
    finally:
        done, _ = process.communicate()
    assert int(done) > FLOOD_LEAST, "that was no flood"


def _stuck(stack: ExitStack, case: Case, sent: Callable[[int], bytes]) -> None:
    for number in range(STUCK):
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", case.sidecar.port)))
        sock.sendall(sent(number))


def test_a_live_client_alone(case: Case, figure: Figure) -> None:
    case.start_with_set()
    _judge(case, figure, "nobody else")


def test_a_live_client_beside_1000_stuck_connections(case: Case, figure: Figure) -> None:
    case.start_with_set()
    whole = (
        f"GET /v1/credentials/default HTTP/1.1\r\nHost: 127.0.0.1:{case.sidecar.port}\r\n"
        f"Authorization: {case.sidecar.auth_token}\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        # Silent, in the middle of a request, and asking without ever reading.
        _stuck(stack, case, lambda number: (b"", whole[: number % len(whole)], whole * 50)[number % 3])
        _judge(case, figure, f"{STUCK} stuck connections")
    assert case.sidecar.metric("http_connections_refused_total", which="idle") > 0


@pytest.mark.parametrize("what", ["requests", "connections", "half"])
def test_a_live_client_beside_a_flood_of_the_admin_port(case: Case, figure: Figure, what: str) -> None:
    case.start_with_set()
    case.watch.close()  # it asks the admin port too, and that is full
    with _flood(case.sidecar.admin_port, "/metrics", what):
        case.sidecar.wait(0.3)
        _judge(case, figure, f"admin port flooded with {what}")
        held = len(list(Path(f"/proc/{case.sidecar.process.pid}/fd").iterdir()))
    # 16 connections of the flood, and what every daemon has open.
    assert held < 16 + 24


@pytest.mark.parametrize("what", ["requests", "connections", "half"])
def test_a_live_client_beside_a_flood_without_the_auth_token(case: Case, figure: Figure, what: str) -> None:
    case.start_with_set()
    with _flood(case.sidecar.port, "/v1/credentials/default", what):
        case.sidecar.wait(0.3)
        _judge(case, figure, f"endpoint flooded with {what}")


def test_a_set_is_renewed_beside_a_flood_of_both_ports(case: Case) -> None:
    first = case.start_with_set()
    case.watch.close()
    with (
        _flood(case.sidecar.port, "/v1/credentials/default", "requests"),
        _flood(case.sidecar.admin_port, "/metrics", "requests"),
    ):
        began = CLOCK.now().mono
        case.renew()
        case.sidecar.wait_for("credentials_renewed", 2)
        assert CLOCK.now().mono - began < 20.0
        assert case.sidecar.get().json()["AccessKeyId"] != first
