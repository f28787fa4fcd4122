"""The client against real child processes that say what a test wants."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sidecar.clock import SystemClock
from sidecar.errors import Failure, Outcome, Retry
from sidecar.exchange.client import ExchangeClient
from sidecar.exchange.process import worker_environment
from sidecar.model import Grant, Order
from tests.helpers.values import profile, token

DEFAULT = ("default",)
Results = list[tuple[str, Grant | Failure]]


def granted(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    now = int(time.time())  # noqa: TID251 - what a real STS would say
    return {
        "access_key_id": "ASIAEXAMPLE",
        "secret_access_key": "secret",
        "session_token": "token",
        "expires_at": now + 3_600,
        "assumed_role_arn": "arn:aws:sts::123456789012:assumed-role/R/s",
        "sts_time": float(now),
    } | changes


def script(*answers: object, ready: bool = True, then: str = "") -> list[str]:
    """Return a command that speaks the worker's protocol and gives these answers."""
    lines = [json.dumps({"ready": True})] if ready else []
    code = "import sys\n"
    code += "".join(f"print({line!r}, flush=True)\n" for line in lines)
    code += "orders = sys.stdin.readline()\n" if ready else ""
    code += "".join(
        f"print({answer if isinstance(answer, str) else json.dumps(answer)!r}, flush=True)\n" for answer in answers
    )
    return [sys.executable, "-I", "-S", "-c", code + then]


def once(orders: Sequence[Order]) -> Callable[[], Sequence[Order]]:
    """Give these orders, and then none."""
    rounds = iter([orders])
    return lambda: next(rounds, ())


def run(command: list[str], *names: str, ready: float = 10.0, attempt: float = 10.0) -> Results:
    async def collect() -> Results:
        client = ExchangeClient(SystemClock(), os.environ, "", command, ready_seconds=ready, attempt_seconds=attempt)
        return [
            result async for result in client.exchange(once([Order(profile(n), token()) for n in names or DEFAULT]))
        ]

    return asyncio.run(collect())


def outcomes(results: Results) -> list[tuple[str, Outcome]]:
    return [(name, result.outcome if isinstance(result, Failure) else Outcome.SUCCESS) for name, result in results]


def test_a_granted_set_has_its_life_and_account() -> None:
    ((name, result),) = run(script({"profile": "default", "granted": granted()}))
    assert name == "default"
    assert isinstance(result, Grant)
    assert result.life_seconds == 3_600
    assert result.credentials.account_id == "123456789012"


def test_each_profile_gets_its_own_result() -> None:
    results = run(
        script(
            {"profile": "a", "refused": {"code": "AccessDenied", "message": "", "status": 403}},
            {"profile": "b", "granted": granted()},
            {"profile": "c", "failed": {"outcome": "unreachable", "code": "EndpointConnectionError"}},
        ),
        *"abc",
    )
    assert outcomes(results) == [
        ("a", Outcome.ACCESS_DENIED), ("b", Outcome.SUCCESS), ("c", Outcome.UNREACHABLE),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "life"),
    [
        # A local clock that is an hour slow must not make the life two hours: STS's own time counts.
        ({"expires_at": 8_000, "sts_time": 4_400.0}, 3_600.0),
        ({"expires_at": 5_300, "sts_time": 4_400.0}, 900.0),
        # Without STS's own time it may be our clock that is wrong: what was asked for is then the most.
        ({"expires_at": 4_102_444_800, "sts_time": None}, 3_600.0),
    ],
)
def test_neither_a_wrong_clock_nor_a_lie_stretches_a_life(changes: dict[str, Any], life: float) -> None:
    ((_, result),) = run(script({"profile": "default", "granted": granted(**changes)}))
    assert isinstance(result, Grant)
    assert result.life_seconds == life


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_access_key": ""}, {"session_token": None}, {"access_key_id": "A\nB"}, {"session_token": "schlüssel"},
        {"expires_at": 1_000_000_000, "sts_time": None}, {"expires_at": 5, "sts_time": 6.0},
        {"expires_at": float("nan")},
        {"expires_at": 4_102_444_800}, {"expires_at": 10**12, "sts_time": None},
    ],
)  # fmt: skip
def test_a_set_that_nobody_can_use_is_a_bad_answer(changes: dict[str, Any]) -> None:
    ((_, result),) = run(script({"profile": "default", "granted": granted(**changes)}))
    assert isinstance(result, Failure)
    assert result.outcome is Outcome.BAD_ANSWER


def test_a_set_that_no_client_could_read_is_refused_before_it_replaces_one_that_can() -> None:
    ((_, result),) = run(script({"profile": "default", "granted": granted(session_token="k" * 9_000)}))
    assert isinstance(result, Failure)
    assert (result.code, result.retry) == ("TooLarge", Retry.PERMANENT)


def test_an_expiry_years_ahead_is_not_handed_on() -> None:
    ((_, result),) = run(script({"profile": "default", "granted": granted(expires_at=4_102_444_800, sts_time=None)}))
    assert isinstance(result, Grant)
    assert result.credentials.expires_at < time.time() + 3_700  # noqa: TID251 - what a client would compare with


@pytest.mark.parametrize(
    "command",
    [
        ["/nonexistent/python"],
        [sys.executable, "-I", "-S", "-c", ""],
        [sys.executable, "-I", "-S", "-c", "import sys; print('{\"ready\": true}', flush=True); sys.stdin.readline()"],
        script("'not json'"),
        script("'[]'"),
        script({"profile": "somebody else", "granted": {}}),
        script({"profile": "default"}),
        script({"profile": "default", "granted": {}}),
        script({"profile": "default", "granted": granted(expires_at=10**400)}),
        script("'[' * 100_000"),
        script("'x' * 300_000"),
        script(then="import os; os.write(1, b'{\"half')"),
    ],
)
def test_a_child_that_cannot_start_or_talks_rubbish_is_a_failure_for_every_profile(command: list[str]) -> None:
    assert outcomes(run(command, "default", "b")) == [
        ("default", Outcome.WORKER_FAILED),
        ("b", Outcome.WORKER_FAILED),
    ]


def test_a_child_that_dies_midway_loses_no_result_that_it_gave() -> None:
    results = run(script({"profile": "a", "granted": granted()}), "a", "b")
    assert outcomes(results) == [("a", Outcome.SUCCESS), ("b", Outcome.WORKER_FAILED)]


@pytest.mark.parametrize("ready", [True, False])
def test_a_child_that_hangs_is_killed_at_its_deadline(tmp_path: Path, *, ready: bool) -> None:
    mark = tmp_path / "pid"
    hang = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    assert outcomes(run(script(ready=ready, then=hang), ready=0.5, attempt=0.5)) == [("default", Outcome.TIMEOUT)]
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    mark = tmp_path / "pid"

    async def story() -> None:
        hang = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
        client = ExchangeClient(SystemClock(), os.environ, "", script(ready=False, then=hang))

        async def exchange() -> None:
            async for _ in client.exchange(once([Order(profile(), token())])):
                pass

        task = asyncio.create_task(exchange())
        while not (mark.exists() and mark.read_text()):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_the_token_goes_by_pipe_and_nowhere_else() -> None:
    show = (
        "import json, os\n"
        "order = json.loads(orders)['orders'][0]\n"
        "seen = open('/proc/self/cmdline').read() + open('/proc/self/environ').read()\n"
        "code = 'leaked' if order['token'] in seen else order['token']\n"
        "print(json.dumps({'profile': 'default', 'failed': {'outcome': 'unreachable', 'code': code}}), flush=True)\n"
    )
    ((_, result),) = run(script(then=show))
    assert isinstance(result, Failure)
    assert result.code == token().raw


def test_the_child_inherits_the_way_to_the_network_and_no_credential_setting() -> None:
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
