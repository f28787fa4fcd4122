import asyncio
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.credentials.timing import hold
from sidecar.model import AssumeRoleResult
from sidecar.volumes.file_thread import FileThread
from sidecar.volumes.saved_state import Persistence, StateFiles
from tests.helpers.clock import FakeClock
from tests.helpers.values import assume_role_result, profile

CLOCK = FakeClock()


def saved(directory: Path, given: AssumeRoleResult | None = None) -> StateFiles:
    files = StateFiles(directory)
    files.save("default", hold(given or replace(assume_role_result(), settings="mark")))
    return files


def test_saved_credentials_are_loaded_with_their_remaining_lifetime(tmp_path: Path) -> None:
    files = saved(tmp_path)
    clock = FakeClock(mono=5.0)  # after a reboot: the monotonic clock started again
    clock.wall += 600
    found = files.load("default", clock.now())
    assert found is not None
    assert found.credentials == assume_role_result().credentials
    assert hold(found).remaining(clock.now()) == 3_000


def test_a_wall_clock_that_was_set_back_does_not_extend_the_lifetime(tmp_path: Path) -> None:
    clock = FakeClock(mono=5.0)
    clock.wall -= 86_400
    found = saved(tmp_path).load("default", clock.now())
    assert found is not None
    assert hold(found).remaining(clock.now()) == 3_600


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    saved(tmp_path)
    assert (tmp_path / "default.json").stat().st_mode & 0o777 == 0o600


def test_the_fingerprint_of_the_settings_is_loaded_with_the_credentials(tmp_path: Path) -> None:
    found = saved(tmp_path, replace(assume_role_result(), settings="mark")).load("default", CLOCK.now())
    assert found is not None
    assert found.settings == "mark"


def test_expired_credentials_are_not_loaded(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.advance(3_600)
    assert saved(tmp_path).load("default", clock.now()) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_other_users_can_access_is_not_loaded(tmp_path: Path, mode: int) -> None:
    files = saved(tmp_path)
    (tmp_path / "default.json").chmod(mode)
    assert files.load("default", CLOCK.now()) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    files = saved(tmp_path)
    (tmp_path / "default.json").rename(tmp_path / "elsewhere")
    (tmp_path / "default.json").symlink_to("elsewhere")
    assert files.load("default", CLOCK.now()) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("version"),
        lambda content: content.update(version=2),
        lambda content: content.update(fingerprint=None),
        lambda content: content.update(lifetime_seconds="x"),
        lambda content: content.update(lifetime_seconds=float("nan")),
        lambda content: content["credentials"].update(session_token=""),
        lambda content: content["credentials"].update(secret_access_key=None),
        lambda content: content["credentials"].update(expires_at="2030"),
        lambda content: content["credentials"].update(expires_at=1.5e9),
        lambda content: content["credentials"].update(expires_at=10**400),
        lambda content: content["credentials"].pop("account_id"),
        lambda content: content["credentials"].update(more=1),
        lambda content: content.update(credentials=[]),
    ],
)
def test_a_file_in_another_format_is_not_loaded(tmp_path: Path, change: object) -> None:
    files = saved(tmp_path)
    path = tmp_path / "default.json"
    content = json.loads(path.read_text())
    assert callable(change)
    change(content)
    path.write_text(json.dumps(content))
    assert files.load("default", CLOCK.now()) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 10_000, b'{"version": 1}'])
def test_a_malformed_file_is_not_loaded(tmp_path: Path, content: bytes) -> None:
    files = saved(tmp_path)
    (tmp_path / "default.json").write_bytes(content)
    assert files.load("default", CLOCK.now()) is None


def test_a_fifo_does_not_block_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "default.json", 0o600)
    assert StateFiles(tmp_path).load("default", CLOCK.now()) is None


def test_temporary_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    files = saved(tmp_path)
    (path,) = tmp_path.iterdir()
    path.with_name(f".{path.name}.f4c2e69a144bc031").write_text("credentials")
    assert files.load("default", CLOCK.now()) is not None
    assert list(tmp_path.iterdir()) == [path]


def test_forgotten_credentials_are_removed(tmp_path: Path) -> None:
    files = saved(tmp_path)
    files.forget("default")
    files.forget("default")
    assert list(tmp_path.iterdir()) == []


def loaded(directory: Path, *names: str) -> set[str]:
    """Return the profiles whose credentials a daemon loads that starts now."""
    thread = FileThread(lambda _: None)
    thread.start()
    results = asyncio.run(Persistence(directory, thread).load(names, CLOCK.now()))
    thread.stop(5)
    assert results is not None
    return set(results)


@pytest.mark.mutant("credentials are not saved for a restart")
def test_served_credentials_are_saved_and_withdrawn_ones_are_removed(tmp_path: Path) -> None:
    failed: list[OSError] = []
    thread = FileThread(failed.append)
    thread.start()
    persistence = Persistence(tmp_path, thread)
    persistence.changed("default", hold(replace(assume_role_result(), settings="mark")))
    thread.stop(5)
    assert loaded(tmp_path, "default") == {"default"}
    again = FileThread(failed.append)
    again.start()
    Persistence(tmp_path, again).changed("default", None)
    again.stop(5)
    assert loaded(tmp_path, "default") == set()
    assert failed == []


def test_saved_credentials_of_a_removed_profile_are_not_loaded_for_a_later_one_of_its_name(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    for name in ("default", "gone"):
        files.save(name, hold(replace(assume_role_result(), settings="mark")))
    thread = FileThread(lambda _: None)
    persistence = Persistence(tmp_path, thread)
    persistence.set_profiles([profile()])
    thread.start()
    thread.stop(5)
    assert loaded(tmp_path, "default", "gone") == {"default"}


def test_the_start_does_not_wait_for_a_volume_that_hangs_and_its_late_answer_is_dropped(tmp_path: Path) -> None:
    failed: list[OSError] = []
    released = threading.Event()
    thread = FileThread(failed.append)

    def hang() -> None:
        released.wait(10)

    thread.submit(hang)
    thread.start()
    assert asyncio.run(Persistence(tmp_path, thread).load(["default"], CLOCK.now())) is None
    released.set()
    thread.submit(lambda: failed.append(OSError()))
    thread.stop(5)
    assert len(failed) == 1, "the thread continued"


@pytest.mark.mutant("a full disk ends the file thread")
def test_a_failed_operation_is_reported_and_the_next_one_runs(tmp_path: Path) -> None:
    failed: list[OSError] = []
    done = threading.Event()
    thread = FileThread(failed.append)
    thread.start()
    Persistence(tmp_path / "missing", thread).changed("default", hold(assume_role_result()))
    thread.submit(done.set)
    assert done.wait(5)
    thread.stop(5)
    assert len(failed) == 1


def test_stop_does_not_wait_for_an_operation_that_hangs() -> None:
    release = threading.Event()
    thread = FileThread(lambda _: None)
    thread.start()
    thread.submit(lambda: (release.wait(30), None)[1])
    thread.stop(0.05)
    release.set()
