"""The child process that talks to STS; the only file that imports boto3.

It reads one JSON line of orders from standard input, says ``{"ready": true}`` once its imports are done, and
writes one JSON line for each order. Tokens and credentials cross these two pipes and nothing else: an argument
would be in ``/proc/*/cmdline``, a variable in ``/proc/*/environ``, a file on a disk.

Exit status: 0 after the last answer, 1 where the orders cannot be read.
"""

import email.utils
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from sidecar.limits import STS_ATTEMPT_SECONDS, STS_CONNECT_SECONDS, WORKER_NICE

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

__all__ = ("main",)


def main() -> int:
    """Serve the orders on standard input; see the module for the protocol."""
    os.nice(WORKER_NICE)
    # Imported here: the test of the protocol's framing needs no boto3, and niceness must come before 0.2 s of CPU.
    import boto3.session  # noqa: PLC0415
    import botocore.credentials  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    plain = botocore.session.Session()
    # Credential resolution off, or it would find the endpoint that we serve and ask ourselves.
    plain.register_component("credential_provider", botocore.credentials.CredentialResolver([]))
    session = boto3.session.Session(botocore_session=plain)
    _say({"ready": True})
    try:
        orders = json.loads(sys.stdin.buffer.readline())["orders"]
    except (ValueError, KeyError, TypeError):
        return 1
    for order in orders:
        _say({"profile": order["profile"], **_exchange(session, order)})
    return 0


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _exchange(session: Any, order: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - boto3 comes late, untyped
    from botocore import exceptions  # noqa: PLC0415 - as in main

    try:
        return {"granted": _ask(_client(session, order), order)}
    except exceptions.ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return {"refused": {"code": said.get("Code", ""), "message": said.get("Message", ""), "status": status}}
    except (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError) as error:
        return {"failed": {"outcome": "timeout", "code": type(error).__name__}}
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        return {"failed": {"outcome": "unreachable", "code": type(error).__name__}}
    # Whatever else an answer makes botocore or us raise, only the class's name leaves here: its text may quote
    # the request, and that holds the token.
    except Exception as error:  # noqa: BLE001
        return {"failed": {"outcome": "bad_answer", "code": type(error).__name__}}


def _client(session: Any, order: dict[str, Any]) -> "STSClient":  # noqa: ANN401 - as above
    import botocore  # noqa: PLC0415 - as in main
    from botocore.config import Config  # noqa: PLC0415

    client: STSClient = session.client(
        "sts",
        # Without a region the global endpoint is meant; botocore wants a region to find even that.
        region_name=order["region"] or "aws-global",
        endpoint_url=order["endpoint_url"] or None,
        config=Config(
            signature_version=botocore.UNSIGNED,
            connect_timeout=STS_CONNECT_SECONDS,
            read_timeout=STS_ATTEMPT_SECONDS - STS_CONNECT_SECONDS,
            # One attempt: the keeper decides when the next one is.
            retries={"total_max_attempts": 1},
            use_fips_endpoint=order["fips"],
            use_dualstack_endpoint=order["dual_stack"],
            parameter_validation=True,
        ),
    )
    return client


def _ask(client: "STSClient", order: dict[str, Any]) -> dict[str, Any]:
    # ProviderId is for OAuth 2.0 providers and must stay out (AWS STS API Reference).
    answer = client.assume_role_with_web_identity(
        RoleArn=order["role_arn"],
        RoleSessionName=order["session_name"],
        WebIdentityToken=order["token"],
        DurationSeconds=order["duration_seconds"],
    )
    granted = answer["Credentials"]
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return {
        "access_key_id": granted["AccessKeyId"],
        "secret_access_key": granted["SecretAccessKey"],
        "session_token": granted["SessionToken"],
        "expires_at": int(granted["Expiration"].timestamp()),
        "assumed_role_arn": answer["AssumedRoleUser"]["Arn"],
        "sts_time": email.utils.parsedate_to_datetime(date).timestamp() if date else None,
    }


if __name__ == "__main__":
    sys.exit(main())
