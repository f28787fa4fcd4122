"""I10 with all of these blocked at once: clients of both ports, the volumes, and the log."""

import fcntl
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from examples.local.kubelet import Kubelet
from examples.local.world import World

# Once there are credentials, file writes and reads of the token hang, as on a disk that does not respond.
_STUCK = """
import sys, time
from sidecar.volumes import credentials_file
from sidecar.volumes.saved_state import StateFiles
from sidecar.tokens import watch
StateFiles.save = credentials_file._replace = lambda *_: time.sleep(60)
read = watch.read_token_file
reads = []
def read_token(path):
    reads.append(path)
    return read(path) if len(reads) < 60 else time.sleep(60)
watch.read_token_file = read_token
from sidecar.__main__ import main
sys.argv[1:] = ["run"]
sys.exit(main())
"""


def test_sigterm_ends_it_within_two_seconds_when_everything_is_blocked(
    fresh_world: World, role_arn: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    for name in ("profiles/default", "state"):
        (tmp_path / "run" / name).mkdir(parents=True, exist_ok=True)
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    environment = {
        "AWS_ROLE_ARN": role_arn,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_STS": fresh_world.aws.url,
        "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
        "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path / "run"),
        "AWS_OIDC_SIDECAR_ENDPOINT_PORT": str(ports[0]),
        "AWS_OIDC_SIDECAR_ADMIN_PORT": str(ports[1]),
        "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
    }
    command = [sys.executable, "-I", "-c", _STUCK]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4_096)
        while not fresh_world.aws.issued():
            time.sleep(0.05)
        for _ in range(60):
            kubelet.rotate_now()
            time.sleep(0.02)
        clients = [socket.create_connection(("127.0.0.1", port)) for port in ports]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\n")
        time.sleep(0.3)
        began = time.monotonic()  # noqa: TID251 - a measurement of real time
        process.send_signal(signal.SIGTERM)
        status = process.wait(10)
        seconds = time.monotonic() - began  # noqa: TID251 - as above
        for client in clients:
            client.close()
    assert (status, seconds < 2.0) == (0, True), seconds
