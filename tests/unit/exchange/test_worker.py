"""The requests that the real botocore sends to STS: each is caught just before it is sent."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sidecar.exchange import worker
from sidecar.exchange.messages import request_line
from sidecar.exchange.process import COMMAND, start_worker, worker_environment
from sidecar.model import AssumeRoleRequest
from tests.helpers.values import credentials, profile, token


class CaughtError(Exception):
    """Carries the request out of botocore."""

    def __init__(self, url: str, headers: Mapping[str, str], body: Mapping[str, str]) -> None:
        super().__init__(url)
        self.url, self.headers, self.body = url, headers, body


def _catch(request: Any, **_: object) -> None:  # noqa: ANN401 - botocore types less than it sends
    body = request.body.decode() if isinstance(request.body, bytes) else request.body
    fields = {name: values[0] for name, values in parse_qs(body).items()}
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
    }
    raise CaughtError(request.url, headers, fields)


def sent(request: AssumeRoleRequest) -> CaughtError:
    """Return the HTTP request that the worker sends for this AssumeRole request."""
    session = worker.new_session()
    line: dict[str, Any] = request_line(request, "")
    client = worker._client(session, line)
    client.meta.events.register("before-send.sts", _catch)
    with pytest.raises(CaughtError) as caught:
        worker._assume_role(client, line)
    return caught.value


def of(**changes: Any) -> AssumeRoleRequest:  # noqa: ANN401
    return AssumeRoleRequest(replace(profile(), **changes), token())


@pytest.mark.rule("SDK 26", "SDK 27")
def test_a_web_identity_request_is_unsigned_and_has_exactly_these_parameters() -> None:
    request = sent(of())
    assert "authorization" not in request.headers
    assert "x-amz-security-token" not in request.headers
    assert request.body == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": profile().role_arn,
        "RoleSessionName": "default-aws-test",
        "DurationSeconds": "3600",
        "WebIdentityToken": token().raw,
    }, "for example, ProviderId must not be sent"


def test_a_session_policy_and_managed_policies_are_sent() -> None:
    body = sent(of(policy="{}", policy_arns=("arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"))).body
    assert body["Policy"] == "{}"
    assert (body["PolicyArns.member.1.arn"], body["PolicyArns.member.2.arn"]) == (
        "arn:aws:iam::aws:policy/A",
        "arn:aws:iam::aws:policy/B",
    )


def test_a_chained_call_is_signed_by_its_source_and_has_no_token() -> None:
    chained = AssumeRoleRequest(
        replace(profile("b"), source="a", external_id="id", session_tags=True), token(), credentials(7)
    )
    request = sent(chained)
    assert f"Credential={credentials(7).access_key_id}/" in request.headers["authorization"]
    assert request.headers["x-amz-security-token"] == credentials(7).session_token
    assert request.body["Action"] == "AssumeRole"
    assert request.body["ExternalId"] == "id"
    assert (request.body["Tags.member.1.Key"], request.body["Tags.member.1.Value"]) == (
        "kubernetes-namespace",
        "default",
    )
    assert "WebIdentityToken" not in request.body


def test_session_tags_are_off_by_default() -> None:
    body = sent(AssumeRoleRequest(replace(profile("b"), source="a"), token(), credentials(7))).body
    assert not any(name.startswith("Tags") for name in body)


@pytest.mark.rule("SDK 26", "Kubernetes D9")
@pytest.mark.parametrize(
    ("changes", "host"),
    [
        ({"region": "eu-central-1"}, "sts.eu-central-1.amazonaws.com"),
        ({"region": "us-east-1"}, "sts.us-east-1.amazonaws.com"),
        ({"region": ""}, "sts.amazonaws.com"),
        ({"region": "us-east-1", "fips": True}, "sts-fips.us-east-1.amazonaws.com"),
        ({"region": "eu-central-1", "dual_stack": True}, "sts.eu-central-1.api.aws"),
        ({"region": "us-east-1", "fips": True, "dual_stack": True}, "sts-fips.us-east-1.api.aws"),
        ({"region": "us-gov-west-1"}, "sts.us-gov-west-1.amazonaws.com"),
        ({"region": "cn-north-1"}, "sts.cn-north-1.amazonaws.com.cn"),
        ({"endpoint_url": "https://vpce-1.sts.eu-central-1.vpce.amazonaws.com"}, "vpce-1.sts.eu-central-1.vpce.amazonaws.com"),  # noqa: E501 - AWS's own length
    ],
)  # fmt: skip
def test_the_endpoint_is_that_of_the_region_unless_settings_say_otherwise(changes: dict[str, Any], host: str) -> None:
    url = urlsplit(sent(of(**changes)).url)
    assert (url.scheme, url.hostname) == ("https", host)


@pytest.mark.rule("SDK 26")
def test_the_worker_requests_no_credentials_from_an_endpoint() -> None:
    """It would find the sidecar's endpoint, and request the credentials from it that it has to fetch."""
    with socket.create_server(("127.0.0.1", 0)) as endpoint, socket.create_server(("127.0.0.1", 0)) as sts:
        sts_port, endpoint_port = sts.getsockname()[1], endpoint.getsockname()[1]
        sts.close()
        endpoint.setblocking(False)  # noqa: FBT003 - the name of the method says what it is
        environment = worker_environment({}) | {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{endpoint_port}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x" * 43,
        }
        line = request_line(of(endpoint_url=f"http://127.0.0.1:{sts_port}"), "")

        async def scenario() -> dict[str, Any]:
            async with start_worker(COMMAND, environment) as child:
                assert await child.receive() == {"ready": True}
                child.send({"requests": [line]})
                return await child.receive()

        assert asyncio.run(scenario())["failure"]["outcome"] == "unreachable"
        with pytest.raises(BlockingIOError):
            endpoint.accept()


def _send_without_end(server: socket.socket) -> None:
    with contextlib.suppress(OSError), server.accept()[0] as connection:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while True:
            connection.sendall(b"x" * 1_000_000)


@pytest.mark.mutant("the exchange process has no memory limit")
def test_an_answer_of_200_megabytes_ends_at_the_memory_limit() -> None:
    """Without it the kernel would kill the whole container, with the daemon."""

    async def scenario(url: str) -> dict[str, Any]:
        async with start_worker(COMMAND, worker_environment({})) as child:
            assert await child.receive() == {"ready": True}
            child.send({"requests": [request_line(of(endpoint_url=url), "")]})
            return await child.receive()

    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = threading.Thread(target=_send_without_end, args=(server,))
        sender.start()
        answer = asyncio.run(scenario(f"http://127.0.0.1:{server.getsockname()[1]}"))
        sender.join()
    assert answer == {"profile": "default", "failure": {"outcome": "invalid_response", "code": "MemoryError"}}


@pytest.mark.mutant("the exchange process has no deadline of its own")
def test_a_worker_whose_daemon_is_stopped_ends_by_itself() -> None:
    """An STS that sends a byte from time to time never reaches botocore's timeout, and the worker has the token."""
    code = (
        "import time; from sidecar.exchange import worker\n"
        "worker.STS_ATTEMPT_SECONDS, worker.new_session = 0.1, lambda: None\n"
        "worker.exchange = lambda *_: [time.sleep(0.01) for _ in range(3_000)]\n"
        "worker.main()\n"
    )

    async def scenario() -> None:
        async with start_worker([sys.executable, "-I", "-c", code], {}) as child:
            assert await child.receive() == {"ready": True}
            child.send({"requests": [request_line(of(), "")]})
            async with asyncio.timeout(15.0):
                with pytest.raises(EOFError):
                    await child.receive()

    asyncio.run(scenario())


@pytest.mark.mutant("the exchange process outlives a killed daemon")
def test_the_worker_ends_with_its_daemon_during_an_exchange() -> None:
    """With SIGKILL the daemon cannot kill its child, and the child has the token."""
    child = (
        "from sidecar.exchange import worker; import time; worker.new_session = lambda: time.sleep(60); worker.main()"
    )
    daemon = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-I', '-c', {child!r}], stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-I", "-c", daemon], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        nice = -1
        while nice < 10:  # the kernel is asked before
            nice = os.getpriority(os.PRIO_PROCESS, pid)
            time.sleep(0.01)
        # The end of the child's pipe would end it too, but not while it waits for STS.
        parent.kill()
    for _ in range(1_000):
        if not runs(pid):
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker outlived its daemon")


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
