"""``examples/pod.yaml`` for this cluster: with the images, the role and the AWS of this machine."""

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.cluster.application import APPLICATION_IMAGE
from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.layout import CHECKOUT

__all__ = ("ACCOUNT", "APPLICATION", "SIDECAR", "Json", "application_of", "apply", "example", "sidecar_of", "with_aws")

Json = dict[str, Any]
POD_FILE = CHECKOUT / "examples" / "pod.yaml"
ACCOUNT, SIDECAR, APPLICATION = "aws-parameter-reader", "aws-oidc-sidecar", "aws-cli"


def example(namespace: str, path: Path = POD_FILE) -> list[Json]:
    """Return the objects of the file, in another namespace."""
    objects: list[Json] = json.loads(json.dumps(list(YAML(typ="safe").load_all(path))))
    for one in objects:
        one["metadata"]["namespace"] = namespace
    return objects


def with_aws(pod: Json, aws: LocalAws, role_arn: str, *, sidecar_image: str) -> Json:
    """Return the pod with this machine's images, role and AWS; the rest is unchanged.

    The application gets no variable for credentials, only AWS_ENDPOINT_URL.
    """
    sidecar, application = sidecar_of(pod), application_of(pod)
    sidecar["image"], application["image"] = sidecar_image, APPLICATION_IMAGE
    for container in (sidecar, application):
        container["imagePullPolicy"] = "IfNotPresent"
    for variable in sidecar["env"]:
        if variable["name"] == "AWS_ROLE_ARN":
            variable["value"] = role_arn
    sidecar["env"] += [
        {"name": "AWS_ENDPOINT_URL_STS", "value": aws.url},
        {"name": "AWS_OIDC_SIDECAR_ALLOW_HTTP_STS", "value": "true"},
    ]
    application["env"].append({"name": "AWS_ENDPOINT_URL", "value": aws.url})
    return pod


def sidecar_of(pod: Json) -> Json:
    """Return the sidecar's container, to read or to change."""
    return _container(pod["spec"]["initContainers"], SIDECAR)


def application_of(pod: Json) -> Json:
    """Return the application's container, to read or to change."""
    return _container(pod["spec"]["containers"], APPLICATION)


def apply(cluster: Cluster, *objects: Json) -> None:
    """Apply objects that have their namespace in their metadata."""
    cluster.apply(objects)


def _container(containers: list[Json], name: str) -> Json:
    return next(container for container in containers if container["name"] == name)
