"""``credentials.json`` exists exactly while its credentials may be served."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.credentials.bodies import process_body
from sidecar.credentials.timing import hold
from sidecar.model import Held
from sidecar.volumes import credentials_file
from sidecar.volumes.atomic import write_atomic
from sidecar.volumes.credentials_file import ProcessFiles
from sidecar.volumes.file_thread import FileThread
from tests.helpers.values import assume_role_result, credentials, profile

MODES = {"reader": 0o640, "writer": 0o644}


class Volumes:
    """Two profile volumes, and the reports about them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reports: list[tuple[str, str]] = []
        self.failed: list[str] = []
        self._thread = FileThread(self._unexpected)
        self.files = self._made()
        for name in ("reader", "writer"):
            (directory / name).mkdir()
        self._thread.start()

    def _made(self) -> ProcessFiles:
        return ProcessFiles(
            self.directory,
            MODES,
            self._thread,
            report=lambda *news: self.reports.append(news),
            failed=self.failed.append,
        )

    def _unexpected(self, error: OSError) -> None:
        raise AssertionError(error)

    def settle(self) -> None:
        """Let the thread finish the queued operations, and continue with another thread."""
        self._thread.stop(10)
        self._thread = FileThread(self._unexpected)
        self.files._thread = self._thread
        self._thread.start()

    def close(self) -> None:
        self._thread.stop(10)

    def file(self, profile: str = "reader") -> Path:
        return self.directory / profile / "credentials.json"


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = Volumes(tmp_path)
    made.files.set_profiles([profile("reader")])
    yield made
    made.close()


def held(number: int = 1) -> Held:
    return hold(assume_role_result(number))


def test_credentials_are_written_as_the_credential_process_prints_them(volumes: Volumes) -> None:
    volumes.files.changed("reader", held())
    volumes.settle()
    assert volumes.file().read_bytes() == process_body(credentials())
    assert stat.S_IMODE(volumes.file().stat().st_mode) == 0o640
    assert volumes.reports == [("reader", "")]


@pytest.mark.rule("SDK 33")
@pytest.mark.mutant("the file of withdrawn credentials is not removed")
def test_the_file_of_withdrawn_credentials_is_removed(volumes: Volumes) -> None:
    volumes.files.changed("reader", held())
    volumes.files.changed("reader", None)
    volumes.settle()
    assert list((volumes.directory / "reader").iterdir()) == []


def test_a_profile_that_is_only_a_source_has_no_file(volumes: Volumes) -> None:
    volumes.files.changed("writer", held())
    volumes.settle()
    assert not volumes.file("writer").exists()
    assert volumes.reports == []


def test_the_file_of_a_profile_that_is_no_longer_served_is_removed(volumes: Volumes) -> None:
    volumes.files.changed("reader", held())
    volumes.files.set_profiles([profile("writer")])
    volumes.files.retry("reader")
    volumes.settle()
    assert not volumes.file().exists()


def test_credentials_too_large_for_go_are_reported_and_the_previous_file_is_removed(volumes: Volumes) -> None:
    volumes.files.changed("reader", held())
    big = assume_role_result(2)
    object.__setattr__(big.credentials, "session_token", "x" * 8_000)
    volumes.files.changed("reader", hold(big))
    volumes.settle()
    assert not volumes.file().exists()
    assert volumes.reports[-1] == ("reader", "too_large")
    assert volumes.failed == [], "a retry would not make it smaller"


@pytest.mark.mutant("the temporary file of a killed process stays in the volume", case="True")
@pytest.mark.parametrize("held_now", [True, False])
def test_temporary_files_of_a_killed_process_are_removed(volumes: Volumes, *, held_now: bool) -> None:
    left = volumes.file().with_name(".credentials.json.f4c2e69a144bc031")
    left.write_text("credentials")
    others = [volumes.file().with_name(name) for name in (".credentials.json.old", "credentials.json.f4c2e69a144bc031")]
    for other in others:
        other.write_text("of the application")
    volumes.files.changed("reader", held() if held_now else None)
    volumes.settle()
    expected = {*others, volumes.file()} if held_now else {*others}
    assert set(volumes.file().parent.iterdir()) == expected
    assert volumes.reports == [("reader", "")]


def test_an_entry_that_cannot_be_removed_does_not_prevent_a_write(volumes: Volumes) -> None:
    volumes.file().with_name(".credentials.json.f4c2e69a144bc031").mkdir()
    volumes.files.changed("reader", held())
    volumes.settle()
    assert volumes.file().exists()
    assert volumes.reports == [("reader", "")]


@pytest.mark.rule("Kubernetes D12")
@pytest.mark.mutant("a file that cannot be replaced keeps the previous credentials")
def test_a_full_volume_keeps_no_previous_credentials_and_is_retried(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes.files.changed("reader", held(1))
    volumes.settle()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(credentials_file, "write_atomic", full)
        volumes.files.changed("reader", held(2))
        volumes.settle()
    # The credentials would have expired there, and some SDKs do not check that.
    assert not volumes.file().exists()
    assert volumes.reports[-1] == ("reader", "No space left on device")
    assert volumes.failed == ["reader"]
    volumes.files.retry("reader")
    volumes.settle()
    assert json.loads(volumes.file().read_bytes())["AccessKeyId"] == credentials(2).access_key_id
    assert volumes.reports[-1] == ("reader", "")


@pytest.mark.mutant("a file that cannot be replaced keeps the previous credentials")
def test_the_space_of_the_previous_credentials_is_used_for_the_new_ones(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes.files.changed("reader", held(1))
    volumes.settle()
    real = write_atomic

    def one_file_only(path: Path, data: bytes, mode: int) -> None:
        if path.exists():
            raise OSError(28, "No space left on device")
        real(path, data, mode)

    monkeypatch.setattr(credentials_file, "write_atomic", one_file_only)
    volumes.files.changed("reader", held(2))
    volumes.settle()
    assert json.loads(volumes.file().read_bytes())["AccessKeyId"] == credentials(2).access_key_id
    assert volumes.failed == []
