"""The charts on this cluster: values with its images and its AWS, and helm as the installing user."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from sidecar import __version__
from tests.cluster.application import APPLICATION_IMAGE, SIDECAR_IMAGE
from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.layout import API_HOST, CHECKOUT, ISSUER

__all__ = (
    "CHART",
    "CONNECT_TO",
    "EXAMPLE",
    "READ_ONLY",
    "bootstrap_aws",
    "connect_to",
    "example_values",
    "helm",
    "values",
)

CHART = CHECKOUT / "charts" / "aws-oidc-sidecar"
EXAMPLE = CHECKOUT / "examples" / "helm"
CONNECT_TO = "--connect-to"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess"


def connect_to(cluster: Cluster) -> list[str]:
    """Return the flags with the issuer's address: the cluster has no DNS."""
    return [CONNECT_TO, f"{API_HOST}:443:{cluster.address}:443"]


def values(cluster: Cluster, aws: LocalAws, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of a chart
    """Return the values that this machine needs, merged with `more`."""
    repository, _, tag = APPLICATION_IMAGE.rpartition(":")
    here = {
        "region": "eu-central-1",
        "image": {"repository": SIDECAR_IMAGE, "tag": __version__, "pullPolicy": "IfNotPresent"},
        "extraEnv": [
            {"name": "AWS_ENDPOINT_URL_STS", "value": aws.url},
            {"name": "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS", "value": "true"},
        ],
        "bootstrap": {"extraArgs": connect_to(cluster)},
        "test": {
            "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
            "extraEnv": [{"name": "AWS_ENDPOINT_URL", "value": aws.url}],
            "doctorArgs": connect_to(cluster),
        },
    }
    return merged(here, more)


def example_values(aws: LocalAws, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the values that the example's chart needs on this machine."""
    here = {
        "image": APPLICATION_IMAGE,
        "aws-oidc-sidecar-lib": {
            "image": {"repository": SIDECAR_IMAGE, "tag": __version__, "pullPolicy": "IfNotPresent"},
            "extraEnv": [
                {"name": "AWS_ENDPOINT_URL_STS", "value": aws.url},
                {"name": "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS", "value": "true"},
            ],
        },
    }
    return merged(here, more)


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return both, merged as helm merges values: maps are merged, other values are replaced."""
    both = dict(base)
    for key, value in more.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both


def helm(cluster: Cluster, *arguments: str, user: Path | None = None) -> str:
    """Run helm, and return its standard output.

    Raises:
        CommandFailed: helm failed.
    """
    return cluster.helm(*arguments, kubeconfig=user)


def bootstrap_aws(cluster: Cluster, aws: LocalAws, *arguments: str) -> str:
    """Run `aws-oidc-sidecar bootstrap aws` in the cluster's network, as the account's administrator.

    Raises:
        subprocess.CalledProcessError: the command failed; its output was printed.
    """
    command = [sys.executable, "-m", "sidecar", "bootstrap", "aws", "--issuer", ISSUER, *arguments]
    environment = {
        "PATH": "/usr/bin",
        "HOME": "/nonexistent",
        "AWS_ACCESS_KEY_ID": aws.about["admin_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": aws.about["admin_secret_access_key"],
        "AWS_REGION": aws.about["region"],
        "AWS_ENDPOINT_URL": aws.url,
        "NO_PROXY": "*",
    }
    done = subprocess.run(
        cluster.in_network([*command, *connect_to(cluster)]),
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    done.check_returncode()
    return done.stdout
