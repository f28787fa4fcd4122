"""Two builds of one tree give the same image."""

from pathlib import Path

from image.archive import Archive
from tests.image.conftest import build


def test_a_second_build_gives_the_same_layers(archive: Archive, tree: Path, tmp_path: Path) -> None:
    build(tree, tmp_path / "again.tar")
    assert Archive(tmp_path / "again.tar").digests == archive.digests
    assert Archive(tmp_path / "again.tar").config == archive.config
