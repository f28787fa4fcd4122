"""The main job with the image: real TLS, a strict AWS, a token of a real issuer, different results of an exchange."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.local.faults import FaultKind
from examples.local.kubelet import Kubelet
from examples.local.process import Sidecar
from examples.local.world import World
from tests.faults.relay import Relay
from tests.image.container import Engine

Run = Callable[..., Sidecar]
USERS = pytest.mark.parametrize("user", [(19841, 19841), (1_000_660_000, 0)], ids=["own", "assigned"])
RUN = "/var/run/aws-oidc-sidecar"


@pytest.fixture
def run_image(fresh_world: World, role_arn: str, kubelet: Kubelet, engine: Engine, tmp_path: Path) -> Iterator[Run]:
    """Start the daemon in a container with this machine's network, so that it can connect to AWS."""
    started: list[Sidecar] = []
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    runtime = tmp_path / "run"
    for folder in (runtime / "state", runtime / "profiles/default"):
        folder.mkdir(parents=True)
        folder.chmod(0o777)

    def run(user: tuple[int, int] = (19841, 19841), **variables: str) -> Sidecar:
        command = engine.command(
            ["run"],
            user=user,
            own_network=False,
            mounts=[
                (kubelet.path.parent, "/var/run/secrets/aws-oidc-sidecar", "ro"),
                (fresh_world.ca_file, "/ca.pem", "ro"),
                (tmp_path / "hosts", "/etc/hosts", "ro"),
                (runtime / "state", f"{RUN}/state", "rw"),
                (runtime / "profiles/default", f"{RUN}/profiles/default", "rw"),
            ],
            environment={
                "AWS_ROLE_ARN": role_arn,
                "AWS_REGION": "eu-central-1",
                "AWS_ENDPOINT_URL_STS": fresh_world.aws.tls_url,
                "AWS_CA_BUNDLE": "/ca.pem",
                "AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0",
                "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
                "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
            }
            | variables,
        )
        sidecar = Sidecar({"PATH": os.environ["PATH"]}, runtime, command)
        started.append(sidecar)
        return sidecar

    yield run
    for sidecar in started:
        sidecar.terminate()
        sidecar.close()


@USERS
def test_credentials_of_sts_over_tls_are_served(fresh_world: World, run_image: Run, user: tuple[int, int]) -> None:
    sidecar = run_image(user)
    sidecar.wait_for("credentials_refreshed")
    (issued,) = fresh_world.aws.issued()
    answer = sidecar.get()
    assert (answer.status, answer.json()["AccessKeyId"]) == (200, issued.access_key_id)
    assert sidecar.admin("/readyz").status == 200


def test_a_rotated_token_is_exchanged(run_image: Run, kubelet: Kubelet) -> None:
    sidecar = run_image()
    sidecar.wait_for("credentials_refreshed")
    kubelet.rotate_now()
    sidecar.wait_for("token_read", 2)


def test_an_exchange_through_a_proxy(fresh_world: World, run_image: Run) -> None:
    relay = Relay(int(fresh_world.aws.tls_url.rsplit(":", 1)[1]), proxy=True)
    try:
        sidecar = run_image(HTTPS_PROXY=f"http://127.0.0.1:{relay.port}")
        sidecar.wait_for("credentials_refreshed")
    finally:
        relay.close()


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"AWS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}, "SSLError"),
        ({"AWS_ENDPOINT_URL_STS": "https://unknown.test"}, "EndpointConnectionError"),
        ({"HTTPS_PROXY": "http://127.0.0.1:1"}, "ProxyConnectionError"),
    ],
)
def test_an_exchange_without_a_connection_is_logged_as_unreachable(
    run_image: Run, variables: dict[str, str], code: str
) -> None:
    failed = run_image(**variables).wait_for("exchange_failed")
    assert (failed["outcome"], failed["aws_code"]) == ("unreachable", code)


def test_a_connection_that_the_server_closes_is_logged_as_unreachable(run_image: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sidecar = run_image(AWS_ENDPOINT_URL_STS=f"https://127.0.0.1:{server.getsockname()[1]}")
        server.accept()[0].close()
        assert sidecar.wait_for("exchange_failed")["outcome"] == "unreachable"


@pytest.mark.parametrize("kind", [FaultKind.THROTTLE, FaultKind.IDP_COMMUNICATION_ERROR, FaultKind.GARBAGE])
def test_responses_of_aws_are_parsed_in_the_image(fresh_world: World, run_image: Run, kind: FaultKind) -> None:
    fresh_world.aws.faults.set(kind, times=1)
    sidecar = run_image()
    assert sidecar.wait_for("exchange_failed")["outcome"] != "worker_failed"
    sidecar.wait_for("credentials_refreshed")
