"""Lines to paste into another shell while the demo keeps running: as the application, and as the administrator."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from examples.local.process import Sidecar
from examples.local.world import NAMESPACE, ROLE, SERVICE_ACCOUNT, World

__all__ = ("administrator_lines", "application_lines")

_PYTHON = shlex.quote(sys.executable)


def application_lines(environment: Mapping[str, str], parameter: str, sidecar: Sidecar) -> list[str]:
    """Return what an application has and does.

    Args:
        environment: of the application.
        parameter: the name of a parameter in SSM.
        sidecar: the running daemon.
    """
    return [
        *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
        f"{_PYTHON} -m awscli sts get-caller-identity",
        f"{_PYTHON} -m awscli ssm get-parameter --name {parameter}",
        f"{_PYTHON} -m sidecar doctor --allow-http-sts true",
        f"curl -s http://127.0.0.1:{sidecar.admin_port}/metrics",
    ]


def administrator_lines(world: World, role_arn: str, token_file: Path) -> list[str]:
    """Return what the administrator of the local AWS can do: check and change the setup, and find a cause exactly.

    Args:
        world: the running issuer and AWS.
        role_arn: the role of the demo.
        token_file: the projected token.
    """
    admin, url = world.aws.admin, world.aws.url
    issuer = " ".join(
        f"--connect-to {host}:{port}:{address}:{at}" for (host, port), (address, at) in world.issuer.connect_to.items()
    )
    settings = f"--role-arn {role_arn} --token-file {shlex.quote(str(token_file))} --allow-http-sts true"
    role = f"--role {ROLE} --service-account {NAMESPACE}/{SERVICE_ACCOUNT}"
    return [
        f"export AWS_ACCESS_KEY_ID={admin.access_key_id} AWS_SECRET_ACCESS_KEY={shlex.quote(admin.secret_access_key)}",
        "export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1",
        f"export AWS_ENDPOINT_URL_IAM={url} AWS_ENDPOINT_URL_STS={url}",
        f"{_PYTHON} -m sidecar bootstrap aws --issuer {world.issuer.url} {issuer} {role} --check",
        f"{_PYTHON} -m sidecar doctor --place elsewhere {settings} {issuer}",
    ]
