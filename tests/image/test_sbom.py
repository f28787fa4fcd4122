"""The bill of materials, compared with the files of the image and with the lock."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from image.archive import Archive
from image.sbom import components
from sidecar import __version__

ROOT = Path(__file__).parent.parent.parent
MADE = tomllib.loads((ROOT / "image/manifest.toml").read_text())["made_files"]


def write(archive_path: Path, output: Path) -> bytes:
    command = [sys.executable, "-m", "image.sbom", str(archive_path), str(output)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return output.read_bytes()


@pytest.fixture
def document(archive_path: Path, tmp_path: Path) -> dict[str, Any]:
    return dict(json.loads(write(archive_path, tmp_path / "sbom.json")))


def test_each_file_belongs_to_a_component_or_to_the_image_build(archive: Archive) -> None:
    owned = {path for _, files in components(archive) for path in files}
    records = r"/var/lib/dpkg/status\.d/[^/]+|/usr/share/doc/[^/]+/copyright"
    for file in archive.files():
        source = re.sub(r"__pycache__/([^/]+)\.cpython-\d+\.pyc$", r"\1.py", file.path)
        assert (
            not file.info.isfile()
            or file.path in owned
            or source in owned
            or source in MADE
            or re.fullmatch(records, file.path)
        ), file.path


def test_each_file_of_a_component_exists(archive: Archive) -> None:
    present = {file.path for file in archive.files()}
    assert [path for _, files in components(archive) for path in files if path not in present] == []


def test_each_package_of_the_lock_is_a_component(document: dict[str, Any]) -> None:
    lock = (ROOT / "requirements/runtime.txt").read_text()
    locked = {f"pkg:pypi/{name}@{version}" for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE)}
    assert {component["purl"] for component in document["components"] if "pkg:pypi" in component["purl"]} == locked


def test_debian_packages_have_version_source_and_release(document: dict[str, Any]) -> None:
    purls = [component["purl"] for component in document["components"] if "pkg:deb" in component["purl"]]
    form = r"pkg:deb/debian/[a-z0-9.+-]+@[^?]+\?arch=(amd64|arm64|all)&distro=debian-13&upstream=[^&]+"
    assert [purl for purl in purls if not re.fullmatch(form, purl)] == []
    names = {re.split("[/@]", purl)[2] for purl in purls}
    assert {"libc6", "libssl3t64", "libpython3.13-stdlib", "ca-certificates", "zlib1g"} <= names


def test_it_has_the_name_version_and_license_of_the_program(document: dict[str, Any]) -> None:
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    own = document["metadata"]["component"]
    assert (own["name"], own["version"], own["licenses"]) == (
        "aws-oidc-sidecar", __version__, [{"expression": "Apache-2.0"}],
    )  # fmt: skip


def test_it_is_reproducible(archive_path: Path, tmp_path: Path) -> None:
    assert write(archive_path, tmp_path / "first.json") == write(archive_path, tmp_path / "second.json")


def test_a_missing_archive_is_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "image.sbom", str(tmp_path / "none.tar")],
        check=False, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("sbom: ")
    assert done.stdout == ""
