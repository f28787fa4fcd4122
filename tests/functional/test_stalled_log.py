"""No program reads the log: a log collector that hangs must not stop the credentials."""

import fcntl
import http.client
import json
import signal
import socket
import subprocess
import time
from pathlib import Path

from examples.local.kubelet import Kubelet
from examples.local.process import COMMAND


def test_a_log_without_a_reader_does_not_block_answers_or_sigterm(
    role_arn: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    (tmp_path / "run" / "profiles" / "default").mkdir(parents=True)
    (tmp_path / "run" / "state").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "AWS_ROLE_ARN": role_arn,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
        "AWS_ENDPOINT_URL_STS": "https://127.0.0.1:1",
        "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path / "run"),
        "AWS_OIDC_SIDECAR_ENDPOINT_PORT": str(port),
        "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
        "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
    }
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4_096)
        # Each rotation writes a few lines; the pipe is full after a few rotations.
        slowest = 0.0
        for _ in range(40):
            kubelet.rotate_now()
            time.sleep(0.05)
            slowest = max(slowest, _request(port))
        assert slowest < 1.0
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()  # noqa: TID251 - a measurement of real time
        assert process.wait(10) == 0
        assert time.monotonic() - began < 2.0  # noqa: TID251 - as above


def _request(port: int) -> float:
    """Return how long an answer took; 0 while the daemon is still starting."""
    began = time.monotonic()  # noqa: TID251 - a measurement of real time
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/credentials")
        answer = connection.getresponse()
        assert json.loads(answer.read())["Code"]
    except ConnectionRefusedError:
        return 0.0
    finally:
        connection.close()
    return time.monotonic() - began  # noqa: TID251 - as above
