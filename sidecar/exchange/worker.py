"""The child process that talks to STS; the only file that imports boto3.

It says ``{"ready": true}`` once its imports are done, reads lines of orders from standard input, and writes one line
for each order, all JSON. An order has a token, or the set of a source profile for role chaining. Tokens and credentials
cross these two pipes and nothing else: an argument would be in ``/proc/*/cmdline``, a variable in ``/proc/*/environ``,
a file on a disk.

Exit status: 0 when standard input ends, 1 where orders cannot be read.
"""

import email.utils
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sidecar.limits import STS_ATTEMPT_SECONDS, STS_CONNECT_SECONDS, WORKER_NICE

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

__all__ = ("exchange", "main", "new_session")

# How botocore finds a setting: (key of a config file, variables, default, conversion). The daemon gives its child no
# such variable; the doctor calls from the environment that it examines, where AWS_PROFILE can name what no file has.
_NOTHING_CONFIGURED: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ignore_configured_endpoint_urls": (None, None, True, None),
}


def main() -> int:
    """Serve the orders on standard input; see the module for the protocol."""
    os.nice(WORKER_NICE)
    session = new_session()
    _say({"ready": True})
    for line in sys.stdin.buffer:
        try:
            orders = json.loads(line)["orders"]
        except (ValueError, KeyError, TypeError):
            return 1
        for order in orders:
            _say({"profile": order["profile"], **exchange(session, order)})
    return 0


def new_session() -> Any:  # noqa: ANN401 - boto3 comes late, untyped
    """Return a boto3 session that has no credentials, no profile and no endpoint of its own, and looks for none.

    It would find the endpoint that we serve and ask ourselves.
    """
    # Imported here: the test of the protocol's framing needs no boto3, and niceness must come before 0.2 s of CPU.
    import boto3.session  # noqa: PLC0415
    import botocore.credentials  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    plain = botocore.session.Session(_NOTHING_CONFIGURED)
    plain.register_component("credential_provider", botocore.credentials.CredentialResolver([]))
    return boto3.session.Session(botocore_session=plain)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def exchange(session: Any, order: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Do one order, and return what came of it: `granted`, `refused` or `failed`, each a JSON object. Raises nothing.

    Args:
        session: of `new_session`.
        order: as `client.order_line` writes it.
    """
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


def _client(session: Any, order: Mapping[str, Any]) -> "STSClient":  # noqa: ANN401 - as above
    import botocore  # noqa: PLC0415 - as in main
    from botocore.config import Config  # noqa: PLC0415

    source = order.get("source")
    config = Config(
        signature_version=None if source else botocore.UNSIGNED,
        connect_timeout=STS_CONNECT_SECONDS,
        read_timeout=STS_ATTEMPT_SECONDS - STS_CONNECT_SECONDS,
        # One attempt: the keeper decides when the next one is.
        retries={"total_max_attempts": 1},
        use_fips_endpoint=order["fips"],
        use_dualstack_endpoint=order["dual_stack"],
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
        # Without a region the global endpoint is meant; botocore wants a region to find even that.
        region_name=order["region"] or "aws-global",
        endpoint_url=order["endpoint_url"] or None,
        config=config,
        **keys,
    )
    return client


def _ask(client: "STSClient", order: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "RoleArn": order["role_arn"],
        "RoleSessionName": order["session_name"],
        "DurationSeconds": order["duration_seconds"],
    }
    if order["policy"]:
        asked["Policy"] = order["policy"]
    if order["policy_arns"]:
        asked["PolicyArns"] = [{"arn": arn} for arn in order["policy_arns"]]
    answer: Any
    if "source" in order:
        if order["external_id"]:
            asked["ExternalId"] = order["external_id"]
        if order["tags"]:
            asked["Tags"] = [{"Key": key, "Value": value} for key, value in order["tags"].items()]
        answer = client.assume_role(**asked)
    else:
        # ProviderId is for OAuth 2.0 providers and must stay out (AWS STS API Reference).
        answer = client.assume_role_with_web_identity(**asked, WebIdentityToken=order["token"])
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
