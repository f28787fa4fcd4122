"""The image, built once in a session, and fixtures that run it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.archive import Archive
from tests.functional.conftest import kubelet, role_arn
from tests.image.container import Engine, unpack

__all__ = ("kubelet", "role_arn")

ROOT = Path(__file__).parent.parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set a timeout for the tests here that is long enough for the build in the first of them."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(600))


def build(tree: Path, output: Path) -> None:
    """Build the image from a tree, Debian and PyPI, without the layers of an earlier build."""
    with tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-storage-") as storage:
        settings = Path(storage, "storage.conf")
        # The storage driver that works on this machine, with its own directory.
        info = ["buildah", "info", "--format={{.store.GraphDriverName}}"]
        driver = subprocess.run(info, check=True, capture_output=True, text=True).stdout.strip()
        settings.write_text(
            f'[storage]\ndriver = "{driver}"\ngraphroot = "{storage}/graph"\nrunroot = "{storage}/run"\n'
        )
        done = subprocess.run(
            [sys.executable, "-m", "image.build", "--tool=buildah", "--debootstrap", f"--output={output}"],
            check=False, cwd=tree, env=os.environ | {"CONTAINERS_STORAGE_CONF": str(settings)},
            capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that the image is built from, made once in a session."""
    path = tmp_path_factory.mktemp("tree")
    for name in ("Dockerfile", ".dockerignore", "LICENSE"):
        shutil.copy(ROOT / name, path)
    for name in ("image", "sidecar", "requirements"):
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return path


@pytest.fixture(scope="session")
def archive_path(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's archive: IMAGE_ARCHIVE if it is set; built if the file does not exist."""
    path = Path(os.environ.get("IMAGE_ARCHIVE") or tmp_path_factory.mktemp("image") / "image.tar")
    if not path.exists():
        build(tree, path)
    return path


@pytest.fixture(scope="session")
def archive(archive_path: Path) -> Archive:
    """The parsed archive."""
    return Archive(archive_path)


@pytest.fixture(scope="session")
def rootfs(archive_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's files, unpacked."""
    path = tmp_path_factory.mktemp("rootfs")
    # mkdtemp makes it 0700, and the image's user must be able to read its root.
    path.chmod(0o755)
    unpack(archive_path, path)
    return path


@pytest.fixture
def engine(archive: Archive, rootfs: Path, tmp_path: Path) -> Iterator[Engine]:
    """Runs containers of the image, and ends them."""
    made = Engine(archive, rootfs, tmp_path)
    yield made
    made.close()


@pytest.fixture
def archive_config(archive: Archive) -> dict[str, object]:
    """The `config` of the image: user, entry point, variables and labels."""
    return dict(archive.config["config"])
