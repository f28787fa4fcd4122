"""The command of an application's container: calls with one boto3 client; each output line is one call.

The tests pass it as text to the image's Python. Without retries, so that each failed call is in the output.
"""

import json
import time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PAUSE_SECONDS = 1.0

signed_by = ""


def note(request: Any, **_more: object) -> None:  # noqa: ANN401 - botocore's own request
    """Save the access key id of the request as it is sent, not that of the client's session."""
    global signed_by  # noqa: PLW0603 - a script of one loop
    header = request.headers["Authorization"]
    text = header.decode() if isinstance(header, bytes) else header
    signed_by = text.partition("Credential=")[2].partition("/")[0]


client = boto3.client("sts", config=Config(retries={"total_max_attempts": 1}))
client.meta.events.register("before-send.sts.*", note)

while True:
    signed_by, error, arn = "", "", ""
    try:
        arn = client.get_caller_identity()["Arn"]
    except (BotoCoreError, ClientError) as failed:
        error = f"{type(failed).__name__}: {failed}"
    line = {"at": time.time(), "signed_by": signed_by, "arn": arn, "error": error}  # noqa: TID251 - a script without this project's modules
    print(json.dumps(line), flush=True)  # noqa: T201 - the tests read the container's log
    time.sleep(PAUSE_SECONDS)
