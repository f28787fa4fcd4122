"""The client with real child processes that write the lines of a test."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.clock import SystemClock
from sidecar.errors import Failure, Outcome, Retry
from sidecar.exchange.client import ExchangeClient
from sidecar.exchange.process import worker_environment
from sidecar.model import AssumeRoleRequest, AssumeRoleResult
from tests.helpers.values import profile, token

DEFAULT = ("default",)
Results = list[tuple[str, AssumeRoleResult | Failure]]


def result_fields(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    now = int(time.time())  # noqa: TID251 - the time of a real STS
    return {
        "access_key_id": "ASIAEXAMPLE",
        "secret_access_key": "secret",
        "session_token": "token",
        "expires_at": now + 3_600,
        "assumed_role_arn": "arn:aws:sts::123456789012:assumed-role/R/s",
        "sts_time": float(now),
    } | changes


def script(*answers: object, ready: bool = True, then: str = "") -> list[str]:
    """Return a command that follows the worker's protocol and writes these answers."""
    lines = [json.dumps({"ready": True})] if ready else []
    code = "import sys\n"
    code += "".join(f"print({line!r}, flush=True)\n" for line in lines)
    code += "requests = sys.stdin.readline()\n" if ready else ""
    code += "".join(
        f"print({answer if isinstance(answer, str) else json.dumps(answer)!r}, flush=True)\n" for answer in answers
    )
    return [sys.executable, "-I", "-S", "-c", code + then]


def run(command: list[str], *names: str, ready: float = 10.0, attempt: float = 10.0) -> Results:
    async def collect() -> Results:
        client = ExchangeClient(SystemClock(), os.environ, "", command, ready_seconds=ready, attempt_seconds=attempt)
        async with client.open() as exchange:
            return [
                result async for result in exchange([AssumeRoleRequest(profile(n), token()) for n in names or DEFAULT])
            ]

    return asyncio.run(collect())


def outcomes(results: Results) -> list[tuple[str, Outcome]]:
    return [(name, result.outcome if isinstance(result, Failure) else Outcome.SUCCESS) for name, result in results]


def test_a_result_has_its_lifetime_and_account() -> None:
    ((name, result),) = run(script({"profile": "default", "result": result_fields()}))
    assert name == "default"
    assert isinstance(result, AssumeRoleResult)
    assert result.lifetime_seconds == 3_600
    assert result.credentials.account_id == "123456789012"


def test_each_profile_gets_its_own_result() -> None:
    results = run(
        script(
            {"profile": "a", "aws_error": {"code": "AccessDenied", "message": "", "status": 403}},
            {"profile": "b", "result": result_fields()},
            {"profile": "c", "failure": {"outcome": "unreachable", "code": "EndpointConnectionError"}},
        ),
        *"abc",
    )
    assert outcomes(results) == [
        ("a", Outcome.ACCESS_DENIED), ("b", Outcome.SUCCESS), ("c", Outcome.UNREACHABLE),
    ]  # fmt: skip


@pytest.mark.mutant("a false expiration extends the lifetime")
@pytest.mark.parametrize(
    ("changes", "lifetime"),
    [
        # A local clock that is an hour slow must not make the lifetime two hours: the time of STS counts.
        ({"expires_at": 8_000, "sts_time": 4_400.0}, 3_600.0),
        ({"expires_at": 5_300, "sts_time": 4_400.0}, 900.0),
        # Without a time of STS the local clock may be wrong: the requested duration is the maximum then.
        ({"expires_at": 4_102_444_800, "sts_time": None}, 3_600.0),
    ],
)
def test_neither_a_wrong_clock_nor_a_false_answer_extends_a_lifetime(changes: dict[str, Any], lifetime: float) -> None:
    ((_, result),) = run(script({"profile": "default", "result": result_fields(**changes)}))
    assert isinstance(result, AssumeRoleResult)
    assert result.lifetime_seconds == lifetime


@pytest.mark.mutant("an empty field of a result is accepted")
@pytest.mark.parametrize(
    "changes",
    [
        {"secret_access_key": ""}, {"session_token": None}, {"access_key_id": "A\nB"}, {"session_token": "schlüssel"},
        {"expires_at": 1_000_000_000, "sts_time": None}, {"expires_at": 5, "sts_time": 6.0},
        {"expires_at": float("nan")},
    ],
)  # fmt: skip
def test_unusable_credentials_are_an_invalid_response(changes: dict[str, Any]) -> None:
    ((_, result),) = run(script({"profile": "default", "result": result_fields(**changes)}))
    assert isinstance(result, Failure)
    assert result.outcome is Outcome.INVALID_RESPONSE


def test_credentials_that_are_too_large_for_clients_are_rejected() -> None:
    ((_, result),) = run(script({"profile": "default", "result": result_fields(session_token="k" * 9_000)}))
    assert isinstance(result, Failure)
    assert (result.code, result.retry) == ("TooLarge", Retry.PERMANENT)


@pytest.mark.mutant("an expiration past the requested duration is believed")
@pytest.mark.parametrize("expires_at", [4_102_444_800, 10**12])
@pytest.mark.parametrize("changes", [{}, {"sts_time": None}, {"sts_time": 4_102_441_200.0}])
def test_an_expiration_years_ahead_is_neither_believed_nor_refused(expires_at: int, changes: dict[str, Any]) -> None:
    fields = result_fields(**changes, expires_at=expires_at)
    ((_, result),) = run(script({"profile": "default", "result": fields}))
    assert isinstance(result, AssumeRoleResult)
    assert result.lifetime_seconds == 3_600
    left = result.credentials.expires_at - time.time()  # noqa: TID251 - what a client would compare with
    assert 3_500 < left <= 3_601


@pytest.mark.mutant("the daemon ends when no process can be started")
@pytest.mark.parametrize(
    "command",
    [
        ["/nonexistent/python"],
        [sys.executable, "-I", "-S", "-c", ""],
        [sys.executable, "-I", "-S", "-c", "import sys; print('{\"ready\": true}', flush=True); sys.stdin.readline()"],
        script("'not json'"),
        script("'[]'"),
        script({"profile": "another", "result": {}}),
        script({"profile": "default"}),
        script({"profile": "default", "result": {}}),
        script({"profile": "default", "result": result_fields(expires_at=10**400)}),
        script("'[' * 100_000"),
        script("'x' * 300_000"),
        script(then="import os; os.write(1, b'{\"half')"),
    ],
)
def test_a_child_that_does_not_start_or_breaks_the_protocol_fails_all_profiles(command: list[str]) -> None:
    assert outcomes(run(command, "default", "b")) == [
        ("default", Outcome.WORKER_FAILED),
        ("b", Outcome.WORKER_FAILED),
    ]


def test_a_child_that_ends_early_loses_no_result_that_it_wrote() -> None:
    results = run(script({"profile": "a", "result": result_fields()}), "a", "b")
    assert outcomes(results) == [("a", Outcome.SUCCESS), ("b", Outcome.WORKER_FAILED)]


@pytest.mark.mutant("a child process that hangs has no deadline")
@pytest.mark.parametrize("ready", [True, False])
def test_a_child_that_hangs_is_killed_at_its_deadline(tmp_path: Path, *, ready: bool) -> None:
    mark = tmp_path / "pid"
    hang = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    assert outcomes(run(script(ready=ready, then=hang), ready=0.5, attempt=0.5)) == [("default", Outcome.TIMEOUT)]
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_one_child_does_all_requests_of_a_block_until_it_fails_and_none_outlives_the_block() -> None:
    # Writes its process id, and exits on a profile of the name "bad".
    talk = (
        "import json, os\n"
        "for line in sys.stdin:\n"
        "    for request in json.loads(line)['requests']:\n"
        "        if request['profile'] == 'bad': sys.exit()\n"
        "        failed = {'outcome': 'unreachable', 'code': str(os.getpid())}\n"
        "        print(json.dumps({'profile': request['profile'], 'failure': failed}), flush=True)\n"
    )
    command = [sys.executable, "-I", "-S", "-c", "import sys\nprint('{}', flush=True)\n" + talk]

    async def scenario() -> list[str]:
        codes = []
        async with ExchangeClient(SystemClock(), os.environ, "", command).open() as exchange:
            for names in (["a", "b"], ["c"], ["bad"], ["d"]):
                async for _, result in exchange([AssumeRoleRequest(profile(name), token()) for name in names]):
                    assert isinstance(result, Failure)
                    codes.append(result.code)
        return codes

    a, b, c, bad, d = asyncio.run(scenario())
    assert (a, a, "EOFError") == (b, c, bad)
    assert a != d
    for child in (a, d):
        with pytest.raises(ProcessLookupError):
            os.kill(int(child), 0)


def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    mark = tmp_path / "pid"

    async def scenario() -> None:
        hang = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
        client = ExchangeClient(SystemClock(), os.environ, "", script(ready=False, then=hang))

        async def exchange() -> None:
            async with client.open() as exchange:
                async for _ in exchange([AssumeRoleRequest(profile(), token())]):
                    pass

        task = asyncio.create_task(exchange())
        while not (mark.exists() and mark.read_text()):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.mutant("the child process gets the token as an argument", "the child process gets the token as a variable")
def test_the_token_is_passed_only_by_the_pipe() -> None:
    show = (
        "import json, os\n"
        "request = json.loads(requests)['requests'][0]\n"
        "visible = open('/proc/self/cmdline').read() + open('/proc/self/environ').read()\n"
        "code = 'leaked' if request['token'] in visible else request['token']\n"
        "print(json.dumps({'profile': 'default', 'failure': {'outcome': 'unreachable', 'code': code}}), flush=True)\n"
    )
    ((_, result),) = run(script(then=show))
    assert isinstance(result, Failure)
    assert result.code == token().raw


@pytest.mark.rule("SDK 26")
def test_the_child_inherits_network_settings_and_no_credential_setting() -> None:
    environment = worker_environment({
        "HTTPS_PROXY": "http://proxy.test:3128", "AWS_CA_BUNDLE": "/ca.pem", "AWS_PROFILE": "p",
        "AWS_ACCESS_KEY_ID": "AKIA", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9841/", "PYTHONPATH": "/x",
        "AWS_ENDPOINT_URL": "http://minio.test",
    })  # fmt: skip
    assert environment["HTTPS_PROXY"] == "http://proxy.test:3128"
    assert environment["AWS_CA_BUNDLE"] == "/ca.pem"
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"
    for name in (
        "AWS_PROFILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "PYTHONPATH",
        "AWS_ENDPOINT_URL",
    ):
        assert name not in environment
