"""The shell blocks of the documentation that are marked `run: cluster`, as they are written, in a cluster.

This machine has neither DNS nor AWS nor a registry. So `aws-oidc-sidecar` and `helm` on PATH are wrappers that add an
address to the first and values to the second; each argument of the page is passed on.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar import __version__
from tests.cluster.application import SIDECAR_IMAGE
from tests.cluster.aws import LocalAws
from tests.cluster.cluster import Cluster
from tests.cluster.layout import API_HOST, CHECKOUT
from tests.cluster.releases import connect_to, values
from tests.cluster.tutorial import example, with_aws
from tests.helpers.documents import PAGES, script

RUN = [page for page in PAGES if script(page, "cluster")]
RUNBOOKS = CHECKOUT / "docs" / "runbooks"

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("sidecar_image", "open_discovery")]


def _wrap(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def environment(cluster: Cluster, aws: LocalAws, tmp_path: Path) -> dict[str, str]:
    """An administrator's shell, with the wrappers first on PATH."""
    given = cluster.environment()
    here = tmp_path / "values.json"
    here.write_text(json.dumps(values(cluster, aws)))
    (tmp_path / "charts").symlink_to(CHECKOUT / "charts")
    address = shlex.join(connect_to(cluster))
    program = f"{sys.executable} -m sidecar"
    _wrap(
        tmp_path / "aws-oidc-sidecar",
        f'case "$1 $2" in "bootstrap aws") set -- "$@" {address};; esac\nexec {program} "$@"',
    )
    _wrap(
        tmp_path / "helm",
        f'PATH={given["PATH"]}\n[ "$1" != install ] || set -- "$@" --values {here}\nexec helm "$@"',
    )
    return given | {
        "PATH": f"{tmp_path}:{given['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(CHECKOUT),
        "AWS_ACCESS_KEY_ID": aws.about["admin_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": aws.about["admin_secret_access_key"],
        "AWS_REGION": aws.about["region"],
        "AWS_ENDPOINT_URL": aws.url,
        "NO_PROXY": "*",
    }


def _start_pod(cluster: Cluster, aws: LocalAws) -> None:
    """Start the pod of the runbooks, `aws-test` in `default`."""
    account, pod, *others = example("default")
    role = aws.set_up_trust(namespace="default")
    image = f"{SIDECAR_IMAGE}:{__version__}"
    # The doctor in the pod needs the name of the issuer.
    pod["spec"]["hostAliases"] = [{"ip": cluster.address, "hostnames": [API_HOST]}]
    cluster.apply([account, with_aws(pod, aws, role, sidecar_image=image), *others])
    cluster.wait("pod/aws-test", "condition=Ready")


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_the_blocks_of_a_page_run_as_they_are_written(
    cluster: Cluster, aws: LocalAws, environment: dict[str, str], page: Path
) -> None:
    image = f"aws-oidc-sidecar:{__version__}"
    tag = ["images", "tag", "--force", f"localhost/{image}", f"registry.example.com/{image}"]
    cluster.run(["ctr", f"--address={cluster.layout.containerd}", "-n=k8s.io", *tag])
    if page.is_relative_to(RUNBOOKS) or page.stem == "operations":
        _start_pod(cluster, aws)
    try:
        done = subprocess.run(
            cluster.in_network(["bash", "-eux", "-c", script(page, "cluster")]),
            cwd=environment["HOME"], env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        cluster.kubectl("delete", "pod/aws-test", "namespace/team", "--ignore-not-found", "--wait=true")
