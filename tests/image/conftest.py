"""The image, built once, and a way to run it."""

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
    """Give the tests here the minutes that the first of them needs for the build."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(600))


def build(tree: Path, output: Path) -> None:
    """Build the image from a tree, Debian and PyPI, and nothing that an earlier build has left."""
    with tempfile.TemporaryDirectory(prefix="aws-oidc-sidecar-storage-") as storage:
        settings = Path(storage, "storage.conf")
        # The kind of storage that works on this machine, at a place of its own.
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
    """What the image is built from, as it was when the first test asked for it."""
    path = tmp_path_factory.mktemp("tree")
    for name in ("Dockerfile", ".dockerignore", "LICENSE"):
        shutil.copy(ROOT / name, path)
    for name in ("image", "sidecar", "requirements"):
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return path


@pytest.fixture(scope="session")
def archive_path(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's archive; that of IMAGE_ARCHIVE, where one was built or published before."""
    if "IMAGE_ARCHIVE" in os.environ:
        return Path(os.environ["IMAGE_ARCHIVE"])
    path = tmp_path_factory.mktemp("image") / "image.tar"
    build(tree, path)
    return path


@pytest.fixture(scope="session")
def archive(archive_path: Path) -> Archive:
    """What is in it."""
    return Archive(archive_path)


@pytest.fixture(scope="session")
def rootfs(archive_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files, unpacked."""
    path = tmp_path_factory.mktemp("rootfs")
    # mkdtemp's 0700 would keep the image's user out of its own root.
    path.chmod(0o755)
    unpack(archive_path, path)
    return path


@pytest.fixture
def engine(archive: Archive, rootfs: Path, tmp_path: Path) -> Iterator[Engine]:
    """Runs containers of it, and ends them."""
    made = Engine(archive, rootfs, tmp_path)
    yield made
    made.close()


@pytest.fixture
def archive_config(archive: Archive) -> dict[str, object]:
    """What the image says of how it wants to be run."""
    return dict(archive.config["config"])
