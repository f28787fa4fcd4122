"""An application's traffic: two loops of plain boto3 calls, and one line of JSON for each call.

    python3 -c "$(cat clients.py)" LABEL PARAMETER DRAIN_SECONDS

The loop `kept` has one client, as most applications do, and the SDK caches its credentials. The loop `new` makes a
session for each call, so that each call gets credentials from the sidecar. After SIGTERM both loops make calls for
DRAIN_SECONDS, as an application drains. The last line has the number of calls; without it the log is incomplete.
"""

import json
import signal
import sys
import threading

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

__all__ = ()

PAUSE_SECONDS = 0.2
# Without retries, so that each failed call is in the output.
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1})

label, parameter, drain_seconds = sys.argv[1:]
stop = threading.Event()
made: list[str] = []


def write_line(**members: object) -> None:
    """Write a line with one write and flush: two threads share standard output."""
    sys.stdout.write(json.dumps({"label": label, **members}) + "\n")
    sys.stdout.flush()


def call_until_stopped(loop: str) -> None:
    """Make calls until `stop` is set."""
    session = ssm = None
    while not stop.wait(PAUSE_SECONDS):
        key = error = ""
        try:
            if not session or not ssm or loop == "new":
                session = boto3.Session()
                ssm = session.client("ssm", config=ONE_ATTEMPT)
            ssm.get_parameter(Name=parameter)
            credentials = session.get_credentials()
            key = (credentials and credentials.get_frozen_credentials().access_key) or "none"
        except (BotoCoreError, ClientError) as failed:
            error = f"{type(failed).__name__}: {failed}"
        made.append(loop)
        write_line(loop=loop, key=key, error=error)


signal.signal(signal.SIGTERM, lambda _number, _frame: threading.Timer(float(drain_seconds), stop.set).start())
threads = [threading.Thread(target=call_until_stopped, args=(loop,)) for loop in ("kept", "new")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
write_line(calls=len(made))
