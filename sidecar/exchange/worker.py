"""The child process that calls STS. It imports boto3; the daemon never does.

It writes ``{"ready": true}`` when its imports are done, reads lines of AssumeRole requests from standard input, and
writes one line for each request, all JSON. A request has a token, or for role chaining the credentials of the source
profile. Tokens and credentials cross these two pipes and nothing else: an argument would be in ``/proc/*/cmdline``, a
variable in ``/proc/*/environ``, a file on a disk.

Exit status: 0 when standard input ends, 1 if a line of requests cannot be parsed. SIGKILL ends it with the daemon, and
SIGALRM when a step takes longer than the daemon waits for it.
"""

import email.utils
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sidecar.kernel.isolation import deny_reading, end_with_parent
from sidecar.limits import (
    STS_ATTEMPT_SECONDS,
    STS_CONNECT_SECONDS,
    WORKER_DATA_MAX_BYTES,
    WORKER_NICE,
    WORKER_OWN_DEADLINE_FACTOR,
    WORKER_READY_SECONDS,
)

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

__all__ = ("exchange", "main", "new_session")

# How botocore finds a setting: (key of a config file, variables, default, conversion). The daemon gives its child no
# such variable; the doctor runs in the environment that it checks, where AWS_PROFILE can name an unknown profile.
_NOTHING_CONFIGURED: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ignore_configured_endpoint_urls": (None, None, True, None),
}


def main() -> int:
    """Do the requests on standard input; the docstring of the module has the protocol. Return the exit status."""
    # First. If the daemon has ended before, no request arrives: it sends them after `ready`, and its pipes end.
    end_with_parent()
    deny_reading()
    _allow_seconds(WORKER_READY_SECONDS)
    os.nice(WORKER_NICE)
    _limit_memory()
    session = new_session()
    _write({"ready": True})
    for line in sys.stdin.buffer:
        try:
            requests = json.loads(line)["requests"]
        except (ValueError, KeyError, TypeError):
            return 1
        for request in requests:
            _allow_seconds(STS_ATTEMPT_SECONDS)
            _write({"profile": request["profile"], **exchange(session, request)})
    return 0


def _allow_seconds(seconds: float) -> None:
    """End this process if the next step takes longer: a server that sends a byte a second resets botocore's timeout."""
    # The default action needs no running interpreter. The daemon may have been started with the signal ignored.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds * WORKER_OWN_DEADLINE_FACTOR)


def _limit_memory() -> None:
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = WORKER_DATA_MAX_BYTES if hard == resource.RLIM_INFINITY else min(hard, WORKER_DATA_MAX_BYTES)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def new_session() -> Any:  # noqa: ANN401 - boto3 comes late, untyped
    """Return a boto3 session that has no credentials, no profile and no endpoint of its own, and looks for none.

    Otherwise botocore would find the sidecar's own endpoint and request credentials from it.
    """
    # Imported here: the test of the protocol's framing needs no boto3, and the niceness is set before 0.2 s of CPU.
    import boto3.session  # noqa: PLC0415
    import botocore.credentials  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    plain = botocore.session.Session(_NOTHING_CONFIGURED)
    plain.register_component("credential_provider", botocore.credentials.CredentialResolver([]))
    return boto3.session.Session(botocore_session=plain)


def _write(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def exchange(session: Any, request: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Do one exchange and return a JSON object with one key. Raises nothing.

    The key is `result` (credentials), `aws_error` (an error answer of AWS) or `failure` (no usable answer).

    Args:
        session: from `new_session`.
        request: as `messages.request_line` writes it.
    """
    from botocore import exceptions  # noqa: PLC0415 - as in main

    try:
        return {"result": _assume_role(_client(session, request), request)}
    except exceptions.ClientError as error:
        answer = error.response.get("Error", {})
        about = error.response.get("ResponseMetadata", {})
        return {
            "aws_error": {
                "code": answer.get("Code", ""),
                "message": answer.get("Message", ""),
                "status": about.get("HTTPStatusCode", 0),
                "request_id": about.get("RequestId", ""),
            }
        }
    except (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError) as error:
        return {"failure": {"outcome": "timeout", "code": type(error).__name__}}
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        if isinstance(error.kwargs.get("error"), MemoryError):
            return {"failure": {"outcome": "invalid_response", "code": "MemoryError"}}
        return {"failure": {"outcome": "unreachable", "code": type(error).__name__}}
    # For any other exception of botocore or of this module, only the name of its class is returned: its text may quote
    # the request, and that holds the token.
    except Exception as error:  # noqa: BLE001
        return {"failure": {"outcome": "invalid_response", "code": type(error).__name__}}


def _client(session: Any, request: Mapping[str, Any]) -> "STSClient":  # noqa: ANN401 - as above
    import botocore  # noqa: PLC0415 - as in main
    from botocore.config import Config  # noqa: PLC0415

    source = request.get("source")
    config = Config(
        signature_version=None if source else botocore.UNSIGNED,
        connect_timeout=STS_CONNECT_SECONDS,
        read_timeout=STS_ATTEMPT_SECONDS - STS_CONNECT_SECONDS,
        # One attempt: the refresher decides when the next one is.
        retries={"total_max_attempts": 1},
        use_fips_endpoint=request["fips"],
        use_dualstack_endpoint=request["dual_stack"],
    )
    keys = (
        {
            "aws_access_key_id": source["access_key_id"],
            "aws_secret_access_key": source["secret_access_key"],
            "aws_session_token": source["session_token"],
        }
        if source
        else {}
    )
    client: STSClient = session.client(
        "sts",
        # No region means the global endpoint; botocore needs a region to find that endpoint too.
        region_name=request["region"] or "aws-global",
        endpoint_url=request["endpoint_url"] or None,
        config=config,
        **keys,
    )
    return client


def _assume_role(client: "STSClient", request: Mapping[str, Any]) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "RoleArn": request["role_arn"],
        "RoleSessionName": request["session_name"],
        "DurationSeconds": request["duration_seconds"],
    }
    if request["policy"]:
        parameters["Policy"] = request["policy"]
    if request["policy_arns"]:
        parameters["PolicyArns"] = [{"arn": arn} for arn in request["policy_arns"]]
    answer: Any
    if "source" in request:
        if request["external_id"]:
            parameters["ExternalId"] = request["external_id"]
        if request["tags"]:
            parameters["Tags"] = [{"Key": key, "Value": value} for key, value in request["tags"].items()]
        answer = client.assume_role(**parameters)
    else:
        # ProviderId is for OAuth 2.0 providers and must stay out (AWS STS API Reference).
        answer = client.assume_role_with_web_identity(**parameters, WebIdentityToken=request["token"])
    credentials = answer["Credentials"]
    return {
        "access_key_id": credentials["AccessKeyId"],
        "secret_access_key": credentials["SecretAccessKey"],
        "session_token": credentials["SessionToken"],
        "expires_at": int(credentials["Expiration"].timestamp()),
        "assumed_role_arn": answer["AssumedRoleUser"]["Arn"],
        "sts_time": _time_of(answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")),
    }


def _time_of(date: str) -> float | None:
    """Return the seconds since 1970 of a Date header (RFC 9110 section 5.6.7), or None if it has another form."""
    fields = email.utils.parsedate_tz(date)
    try:
        return float(email.utils.mktime_tz(fields)) if fields else None
    except (ValueError, OverflowError):
        return None  # a 32nd of January, or a year that no time has


if __name__ == "__main__":
    sys.exit(main())
