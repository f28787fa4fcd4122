"""``credentials.json`` is there exactly while its set may be served."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.credentials.timing import hold
from sidecar.endpoint import process_files
from sidecar.endpoint.file_thread import FileThread
from sidecar.endpoint.files import write_atomic
from sidecar.endpoint.process_files import ProcessFiles
from sidecar.endpoint.wire import process_body
from sidecar.model import Held
from tests.helpers.values import credentials, grant


class Volumes:
    """Two profile volumes, and what was told of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: list[tuple[str, str]] = []
        self.failed: list[str] = []
        self._thread = FileThread(self._not_ours)
        self.files = self._made()
        for name in ("reader", "writer"):
            (directory / name).mkdir()
        self._thread.start()

    def _made(self) -> ProcessFiles:
        return ProcessFiles(
            self.directory, self._thread, told=lambda *news: self.told.append(news), failed=self.failed.append
        )

    def _not_ours(self, error: OSError) -> None:
        raise AssertionError(error)

    def settle(self) -> None:
        """Let the thread do what was submitted, and go on with another."""
        self._thread.stop(10)
        self._thread = FileThread(self._not_ours)
        self.files._thread = self._thread
        self._thread.start()

    def close(self) -> None:
        self._thread.stop(10)

    def file(self, profile: str = "reader") -> Path:
        return self.directory / profile / "credentials.json"


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = Volumes(tmp_path)
    made.files.set_profiles({"reader": 0o640})
    yield made
    made.close()


def held(number: int = 1) -> Held:
    return hold(grant(number))


def test_a_set_is_written_as_the_process_would_print_it(volumes: Volumes) -> None:
    volumes.files.changed("reader", held())
    volumes.settle()
    assert volumes.file().read_bytes() == process_body(credentials())
    assert stat.S_IMODE(volumes.file().stat().st_mode) == 0o640
    assert volumes.told == [("reader", "")]


def test_a_set_that_is_withdrawn_takes_its_file_along(volumes: Volumes) -> None:
    volumes.files.changed("reader", held())
    volumes.files.changed("reader", None)
    volumes.settle()
    assert list((volumes.directory / "reader").iterdir()) == []


def test_the_source_of_others_has_no_file(volumes: Volumes) -> None:
    volumes.files.changed("writer", held())
    volumes.settle()
    assert not volumes.file("writer").exists()
    assert volumes.told == []


def test_a_profile_that_is_served_no_more_loses_its_file(volumes: Volumes) -> None:
    volumes.files.changed("reader", held())
    volumes.files.set_profiles({"writer": 0o644})
    volumes.files.retry("reader")
    volumes.settle()
    assert not volumes.file().exists()


def test_a_set_that_go_could_not_read_is_told_and_the_former_one_removed(volumes: Volumes) -> None:
    volumes.files.changed("reader", held())
    big = grant(2)
    object.__setattr__(big.credentials, "session_token", "x" * 8_000)
    volumes.files.changed("reader", hold(big))
    volumes.settle()
    assert not volumes.file().exists()
    assert volumes.told[-1] == ("reader", "too_large")
    assert volumes.failed == [], "trying again would not make it smaller"


@pytest.mark.parametrize("held_now", [True, False])
def test_what_a_killed_process_left_half_written_goes(volumes: Volumes, *, held_now: bool) -> None:
    left = volumes.file().with_name(".credentials.json.f4c2e69a144bc031")
    left.write_text("a whole set")
    others = [volumes.file().with_name(name) for name in (".credentials.json.old", "credentials.json.f4c2e69a144bc031")]
    for other in others:
        other.write_text("of the application")
    volumes.files.changed("reader", held() if held_now else None)
    volumes.settle()
    expected = {*others, volumes.file()} if held_now else {*others}
    assert set(volumes.file().parent.iterdir()) == expected
    assert volumes.told == [("reader", "")]


def test_what_cannot_be_removed_keeps_no_set_from_being_written(volumes: Volumes) -> None:
    volumes.file().with_name(".credentials.json.f4c2e69a144bc031").mkdir()
    volumes.files.changed("reader", held())
    volumes.settle()
    assert volumes.file().exists()
    assert volumes.told == [("reader", "")]


def test_a_full_volume_keeps_no_former_set_and_is_tried_again(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes.files.changed("reader", held(1))
    volumes.settle()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(process_files, "write_atomic", full)
        volumes.files.changed("reader", held(2))
        volumes.settle()
    # It would have expired there, and some SDKs do not look.
    assert not volumes.file().exists()
    assert volumes.told[-1] == ("reader", "No space left on device")
    assert volumes.failed == ["reader"]
    volumes.files.retry("reader")
    volumes.settle()
    assert json.loads(volumes.file().read_bytes())["AccessKeyId"] == credentials(2).access_key_id
    assert volumes.told[-1] == ("reader", "")


def test_room_that_the_former_set_takes_is_used_for_the_new_one(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes.files.changed("reader", held(1))
    volumes.settle()
    real = write_atomic

    def one_file_only(path: Path, data: bytes, mode: int) -> None:
        if path.exists():
            raise OSError(28, "No space left on device")
        real(path, data, mode)

    monkeypatch.setattr(process_files, "write_atomic", one_file_only)
    volumes.files.changed("reader", held(2))
    volumes.settle()
    assert json.loads(volumes.file().read_bytes())["AccessKeyId"] == credentials(2).access_key_id
    assert volumes.failed == []
