"""Fixtures: the real process and the local world, one of each per test."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from examples.local.kubelet import Kubelet
from examples.local.process import COMMAND, Sidecar
from examples.local.world import World
from tests.functional.doctoring import DoctorSetup
from tests.functional.profiles_pod import Pod


@pytest.fixture
def role_arn(fresh_world: World) -> str:
    """The role that the tutorial's ServiceAccount can assume."""
    return fresh_world.set_up_trust()


@pytest.fixture
def kubelet(fresh_world: World, tmp_path: Path) -> Iterator[Kubelet]:
    """The tutorial's projected volume; ``rotate_now`` rotates its token."""
    directory = tmp_path / "aws-oidc-token"
    directory.mkdir()
    with fresh_world.kubelet(directory) as running:
        yield running


@pytest.fixture
def run_sidecar(
    fresh_world: World, role_arn: str, kubelet: Kubelet, tmp_path: Path
) -> Iterator[Callable[..., Sidecar]]:
    """Start the daemon; keyword arguments are settings other than the defaults."""
    started: list[Sidecar] = []
    (tmp_path / "run" / "state").mkdir(parents=True, exist_ok=True)

    def run(environment: dict[str, str] | None = None, *, command: Sequence[str] = COMMAND, **settings: str) -> Sidecar:
        variables = {
            "PATH": os.environ["PATH"],
            "AWS_ROLE_ARN": role_arn,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(kubelet.path),
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL_STS": fresh_world.aws.url,
            "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
            "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path / "run"),
            "AWS_OIDC_SIDECAR_ENDPOINT_PORT": "0",
            "AWS_OIDC_SIDECAR_ADMIN_ADDRESS": "127.0.0.1",
            "AWS_OIDC_SIDECAR_ADMIN_PORT": "0",
            "AWS_OIDC_SIDECAR_LOG_LEVEL": "debug",
        }
        variables |= {f"AWS_OIDC_SIDECAR_{name.upper()}": text for name, text in settings.items()}
        sidecar = Sidecar(variables | (environment or {}), tmp_path / "run", command)
        started.append(sidecar)
        return sidecar

    yield run
    for sidecar in started:
        sidecar.close()


@pytest.fixture
def pod(fresh_world: World, run_sidecar: Callable[..., Sidecar], role_arn: str, tmp_path: Path) -> Pod:
    """A pod whose sidecar serves the profiles `reader`, chained to `base`, and `writer`."""
    return Pod(fresh_world, run_sidecar, role_arn, tmp_path)


@pytest.fixture
def application(fresh_world: World) -> Callable[[Sidecar, str], subprocess.CompletedProcess[str]]:
    """Run Python code as an application: a separate process with the two container variables."""

    def run(sidecar: Sidecar, code: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL": fresh_world.aws.url} | sidecar.application
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=30
        )

    return run


@pytest.fixture
def doctor_setup(fresh_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DoctorSetup]:
    """A laptop or Job with a token that AWS accepts."""
    environment = {
        "AWS_ROLE_ARN": fresh_world.set_up_trust(),
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_STS": fresh_world.aws.url,
        "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS": "true",
        "AWS_OIDC_SIDECAR_RUNTIME_DIR": str(tmp_path / "run"),
    }
    doctor_setup = DoctorSetup(fresh_world, environment, tmp_path / "token", monkeypatch)
    doctor_setup.mint()
    yield doctor_setup
    fresh_world.issuer.retire_old_keys()
    fresh_world.issuer.replace_authority()
