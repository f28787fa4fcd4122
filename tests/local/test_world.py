"""The World: start, reset, TLS, and that no thread, socket or file is left after it is closed."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

from examples.local.clock import MovableClock
from examples.local.faults import FaultKind
from examples.local.loopback import LoopbackHandler, LoopbackServer
from examples.local.pki import thumbprint
from examples.local.wire import HttpRequest, Operation
from examples.local.world import World
from tests.local.calls import IDENTITY, issued, query, send, signed, web_identity

_ROOT = Path(__file__).parents[2]
_LEAVES_NOTHING = """
import os, threading, time
started = time.perf_counter()
from examples.local import World
world = World()
with world:
    world.set_up_trust()
    took = time.perf_counter() - started
    directory = world.ca_file.parent
    world.aws.faults.set("slow", seconds=60)
    caller = threading.Thread(target=lambda: world.admin_client("sts").get_caller_identity())
    threading.excepthook = lambda _: None
    caller.start()
    while not world.aws.faults.active():
        pass
    time.sleep(0.1)
caller.join()
assert not directory.exists()
assert threading.active_count() == 1, threading.enumerate()
sockets = [fd for fd in os.listdir("/proc/self/fd") if "socket" in os.path.realpath(f"/proc/self/fd/{fd}")]
assert sockets == [], sockets
print(took)
"""


def test_a_world_starts_within_10_s_and_leaves_no_thread_socket_or_file() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", _LEAVES_NOTHING],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        timeout=50,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert float(result.stdout) < 10


def test_a_second_world_at_the_same_time_raises_an_error(fresh_world: World) -> None:
    assert fresh_world.aws.url
    second = World()
    with pytest.raises(RuntimeError, match="one local AWS per process"):
        second.__enter__()


def test_the_repr_of_a_request_has_no_token() -> None:
    request = HttpRequest("GET", "/?WebIdentityToken=eyJ", (("Authorization", "eyJ"),), b"eyJ")
    assert "eyJ" not in repr(request) + repr(Operation.of(request))


def test_a_reset_keeps_only_the_ports_and_the_admin_key(fresh_world: World) -> None:
    world = fresh_world
    keys = issued(world)
    url, admin = world.aws.url, world.aws.admin
    world.aws.faults.set(FaultKind.DOWN)
    world.aws.max_lifetime_seconds = 5
    world.aws.propagation_seconds = 5
    world.aws.identity_providers.public_cas = ("x",)
    world.aws.identity_providers.timeout_seconds = 0.001
    world.issuer.down = True
    world.clock.advance(100)
    world.reset()
    assert (world.aws.url, world.aws.admin) == (url, admin)
    assert (world.aws.calls(), world.aws.issued(), world.aws.faults.active()) == ((), (), ())
    # In a dict: mypy assumes that the property still has the value that was assigned above.
    settings = {"lifetime": world.aws.max_lifetime_seconds, "propagation": world.aws.propagation_seconds}
    assert settings == {"lifetime": None, "propagation": 0}
    assert world.aws.identity_providers.timeout_seconds == pytest.approx(5)
    assert signed(world, keys, IDENTITY).code == "InvalidClientTokenId"
    assert world.admin_client("iam").list_roles()["Roles"] == []
    assert web_identity(world, world.issuer.mint()).element("Message").startswith("No OpenIDConnect")
    world.set_up_trust()
    assert web_identity(world, world.issuer.mint()).status == 200


def test_ten_resets_take_less_than_two_seconds(fresh_world: World) -> None:
    started = time.perf_counter()
    for _ in range(10):
        fresh_world.reset()
    assert time.perf_counter() - started < 2


def test_the_same_aws_is_served_over_tls_with_a_certificate_of_a_private_ca(fresh_world: World) -> None:
    world = fresh_world
    for host in ("localhost", "127.0.0.1"):
        client = boto3.client(
            "sts",
            endpoint_url=world.aws.tls_url.replace("localhost", host),
            region_name="eu-central-1",
            aws_access_key_id=world.aws.admin.access_key_id,
            aws_secret_access_key=world.aws.admin.secret_access_key,
            verify=str(world.ca_file),
            config=Config(proxies={}),
        )
        assert client.get_caller_identity()["Account"] == world.aws.account_id
        client.close()


def test_a_client_without_the_private_ca_rejects_the_certificate(fresh_world: World) -> None:
    client = boto3.client(
        "sts",
        endpoint_url=fresh_world.aws.tls_url,
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(SSLError):
        client.get_caller_identity()
    client.close()


def test_the_listeners_are_on_loopback(fresh_world: World) -> None:
    servers = [*fresh_world.aws._servers, fresh_world.issuer._server]
    assert {server.address[0] for server in servers if server} == {"127.0.0.1"}
    assert fresh_world.aws._moto._address[0] == "127.0.0.1"


def test_a_connection_is_kept_alive_and_responses_are_fast(fresh_world: World) -> None:
    host, port = fresh_world.aws.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    started = time.perf_counter()
    for _ in range(20):
        connection.request("POST", "/", b"")
        response = connection.getresponse()
        response.read()
        assert response.headers["Connection"] is None
    assert time.perf_counter() - started < 0.5
    connection.close()


@pytest.mark.parametrize("length", ["-1", "x", "1048577", "\u0661"])
def test_a_body_with_an_invalid_length_is_rejected(fresh_world: World, length: str) -> None:
    host, port = fresh_world.aws.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as raw:
        raw.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_an_unknown_path_is_an_invalid_action(fresh_world: World) -> None:
    assert send(fresh_world, b"", {}, method="GET", path="/latest/meta-data").code == "InvalidAction"
    assert query(fresh_world, {"Action": "x"}).code == "InvalidAction"


def test_a_thumbprint_is_forty_lower_case_hex_digits(fresh_world: World) -> None:
    assert thumbprint(b"") == "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    assert all(len(one) == 40 for one in fresh_world.issuer.thumbprints)


def test_a_clock_moves_in_both_directions_and_can_be_reset() -> None:
    clock = MovableClock(lambda: 1000.0)
    clock.advance(50)
    clock.advance(-60)
    assert clock() == 990
    clock.reset()
    assert clock() == 1000


def test_close_closes_idle_connections() -> None:
    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            self.reply(200, {}, b"")

    server = LoopbackServer(Handler)
    server.start()
    connection = http.client.HTTPConnection(*server.address, timeout=5)
    connection.request("GET", "/")
    connection.getresponse().read()
    started = time.perf_counter()
    server.close()
    assert time.perf_counter() - started < 2
    connection.close()


_ERRORS = {"/peer": ConnectionResetError, "/bug": ZeroDivisionError}


def test_an_error_in_a_handler_is_reported_and_a_reset_by_the_peer_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            raise _ERRORS[self.path]

    server = LoopbackServer(Handler)
    server.start()
    for path in ("/peer", "/bug"):
        connection = http.client.HTTPConnection(*server.address, timeout=5)
        connection.request("GET", path)
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        connection.close()
    server.close()
    captured = capfd.readouterr().err
    assert "ZeroDivisionError" in captured
    assert "ConnectionResetError" not in captured
    assert not [thread for thread in threading.enumerate() if thread.name == f"loopback-{server.server_port}"]
