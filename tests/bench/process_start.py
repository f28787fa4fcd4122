"""The time of a process that starts, gets credentials and ends; and the time until a started daemon serves them."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sidecar
from examples.local.process import TIMEOUT_SECONDS, Sidecar
from tests.bench.daemons import Bench, Context, cores, group, no_group, on_core, settle, until_served
from tests.bench.rows import Bar, Row, Sample
from tests.quota.cgroup import ControlGroup

__all__ = ("Command", "WrongOutputError", "is_process_output", "measure", "timed")

SECTION = "Process start"
_SHIM = Path(sidecar.__file__).with_name("shim.py")
_SHIM_MAX_RATIO = 2.5
_FIRST_MAX_RATIO = 2.0
_QUOTA = 0.1
# Commands of 10 to 20 ms are measured this many times in each round, because the machine may be busy at one of them.
_SHORT_ROUNDS = 5
# Between two attempts at a closed port: short compared with the measured time, long compared with the attempt.
_CONNECT_PAUSE_SECONDS = 0.001
_EXCHANGE = """
import sys, boto3, botocore, botocore.config
unsigned = botocore.config.Config(signature_version=botocore.UNSIGNED)
client = boto3.client("sts", endpoint_url=sys.argv[1], config=unsigned)
answer = client.assume_role_with_web_identity(
    RoleArn=sys.argv[2], RoleSessionName="bench", WebIdentityToken=open(sys.argv[3]).read()
)
print(answer["Credentials"]["AccessKeyId"])
"""


@dataclass(frozen=True)
class Command:
    """A program to run from its start to its end.

    Attributes:
        name: the name in the table.
        words: the program's path and its arguments.
        environment: all of its variables.
        right: returns whether the output is right.
    """

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    right: Callable[[bytes], bool]


class WrongOutputError(Exception):
    """A timed command failed or printed something wrong."""


def measure(context: Context) -> Iterator[Row]:
    """Yield the rows of this section.

    Raises:
        WrongOutputError: a command failed, or printed other credentials than the daemon's.
        TimeoutError: a daemon did not start or refresh in time.
    """
    with Bench.ready(context) as (bench, token):
        yield from _processes(context, bench, token)
        yield _first(context, bench, token)
        yield _first_under_quota(context, bench, token)


def _processes(context: Context, bench: Bench, token: Path) -> Iterator[Row]:
    with bench.daemon(token) as daemon:
        daemon.wait_for("credentials_refreshed")
        settle(daemon)
        short = _short_commands(context, daemon)
        long = _long_commands(context, bench, daemon, token)
        took: dict[str, list[float]] = {command.name: [] for command in (*short, *long)}
        for command in (*short, *long):
            # Not counted: it loads files into the page cache.
            timed(command)
        for number in range(context.rounds):
            context.report(f"processes, round {number + 1}")
            for command in short * _SHORT_ROUNDS + long:
                took[command.name].append(timed(command) * 1e3)
    bare, shim, cat, listed, exchange = (Sample(values, "ms") for values in took.values())
    ratio = shim.median / bare.median
    bar = Bar(f"<= {_SHIM_MAX_RATIO} x a bare interpreter", ratio <= _SHIM_MAX_RATIO)
    ours = "credential_process: python3 -I -S shim.py"
    interpreter = "the start of the interpreter; then socket and time, and one request on loopback"
    yield Row(SECTION, ours, str(shim), f"python3 -I -S -c pass: {bare}", ratio, bar, interpreter)
    for command, sample in zip(long, (listed, exchange), strict=True):
        yield Row(SECTION, ours, str(shim), f"{command.name}: {sample}", shim.median / sample.median, None, interpreter)
    yield Row(
        SECTION,
        "credential_process: cat credentials.json",
        str(cat),
        f"python3 -I -S -c pass: {bare}",
        cat.median / bare.median,
        limit="fork and exec",
    )


def _short_commands(context: Context, daemon: Sidecar) -> list[Command]:
    answer = daemon.get().json()
    uri = daemon.application["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    python = (context.python, "-I", "-S")
    shim = (*python, str(_SHIM), "--uri", uri, "--auth-token-file", str(daemon.profile_directory / "auth-token"))
    cat = (_program("cat"), str(daemon.profile_directory / "credentials.json"))
    return [
        Command("bare", (*python, "-c", "pass"), {}, lambda output: output == b""),
        Command("shim", shim, {}, lambda output: is_process_output(output, answer)),
        Command("cat", cat, {}, lambda output: is_process_output(output, answer)),
    ]


def _long_commands(context: Context, bench: Bench, daemon: Sidecar, token: Path) -> list[Command]:
    answer = daemon.get().json()
    aws = str(Path(context.python).with_name("aws"))
    environment = _aws_environment(bench)
    arguments = ("--no-sign-request", "--endpoint-url", bench.world.aws.url, "--output", "json")
    named = ("--role-arn", bench.role_arn, "--role-session-name", "bench", "--web-identity-token", f"file://{token}")
    return [
        # Version 1 of the CLI, which is on PyPI, has no export-credentials; this command gets credentials the same way.
        Command(
            "aws configure list, by the same endpoint",
            (aws, "configure", "list"),
            environment | daemon.application,
            lambda output: answer["AccessKeyId"][-4:].encode() in output and b"container-role" in output,
        ),
        Command(
            "aws sts assume-role-with-web-identity",
            (aws, "sts", "assume-role-with-web-identity", *named, *arguments),
            environment,
            lambda output: _is_new_key(json.loads(output)["Credentials"]["AccessKeyId"], answer),
        ),
    ]


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(name)
    return found


def _aws_environment(bench: Bench) -> dict[str, str]:
    # No file and no endpoint of this machine is used, and no time is spent on a metadata service.
    return {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": bench.world.aws.region,
    }


def is_process_output(output: bytes, answer: Mapping[str, Any]) -> bool:
    """Return whether a credential process printed the credentials of the endpoint's response."""
    try:
        printed = json.loads(output)
    except ValueError:
        return False
    fields = {"AccessKeyId": "AccessKeyId", "SecretAccessKey": "SecretAccessKey", "SessionToken": "Token"}
    right = {"Version": 1} | {printed_name: answer[name] for printed_name, name in fields.items()}
    return isinstance(printed, dict) and right.items() <= printed.items()


def _is_new_key(key: str, answer: Mapping[str, Any]) -> bool:
    return key.startswith(answer["AccessKeyId"][:4]) and key != answer["AccessKeyId"]


def timed(command: Command) -> float:
    """Run a command on the core of the measured program; return the seconds from before its start until its end.

    Raises:
        WrongOutputError: it failed, or its output is not right.
    """
    with on_core(cores()[0]):
        began = time.perf_counter()
        # Without cwd, a new session and closing descriptors, subprocess uses posix_spawn, as fast as an SDK in C.
        done = subprocess.run(
            command.words,
            env=command.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            close_fds=False,
        )
        seconds = time.perf_counter() - began
    if done.returncode or not command.right(done.stdout):
        size = len(done.stdout)
        raise WrongOutputError(f"{command.name} ended with status {done.returncode} and {size} bytes of wrong output")
    return seconds


def _first(context: Context, bench: Bench, token: Path) -> Row:
    served, bare = _interleaved(context, bench, token, context.rounds)
    ratio = served.median / bare.median
    return Row(
        SECTION,
        "aws-oidc-sidecar run, from its start to the first credentials served",
        str(served),
        f"boto3 alone, from its start to its end: {bare}",
        ratio,
        Bar(f"<= {_FIRST_MAX_RATIO:.0f} x boto3 alone", ratio <= _FIRST_MAX_RATIO),
        "imports: the daemon's, and then boto3 in the worker",
    )


def _first_under_quota(context: Context, bench: Bench, token: Path) -> Row:
    what = f"the same under a CPU quota of {_QUOTA}"
    reason = no_group()
    if reason:
        return Row(SECTION, what, reason)
    with group("start", _QUOTA) as inside:
        served, bare = _interleaved(context, bench, token, context.slow_rounds, inside)
    beside = f"boto3 alone: {bare}"
    return Row(SECTION, what, str(served), beside, served.median / bare.median, limit="the quota: imports are CPU")


def _interleaved(
    context: Context, bench: Bench, token: Path, rounds: int, inside: ControlGroup | None = None
) -> tuple[Sample, Sample]:
    words = (bench.python, "-I", "-c", _EXCHANGE, bench.world.aws.url, bench.role_arn, str(token))
    command = Command(
        "boto3",
        words if inside is None else inside.command(words),
        _aws_environment(bench),
        lambda output: output.startswith(b"ASIA"),
    )
    served, bare = [], []
    for number in range(rounds):
        context.report(f"first credentials{'' if inside is None else ' under a quota'}, round {number + 1}")
        bare.append(timed(command))
        served.append(_first_served(bench, token, inside))
    return Sample(served, "s"), Sample(bare, "s")


def _first_served(bench: Bench, token: Path, inside: ControlGroup | None) -> float:
    port = _free_port()
    began = time.perf_counter()
    with bench.daemon(token, port=port, inside=inside) as daemon:
        while not _listens(port):
            if time.perf_counter() - began > TIMEOUT_SECONDS:
                raise TimeoutError(f"the daemon does not listen:\n{''.join(daemon.raw)}")
            time.sleep(_CONNECT_PAUSE_SECONDS)
        until_served(daemon)
        return time.perf_counter() - began


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
