import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.credentials.timing import hold
from sidecar.endpoint.file_thread import FileThread
from sidecar.endpoint.state import Persistence, StateFiles, fingerprints
from sidecar.model import Grant
from tests.helpers.clock import FakeClock
from tests.helpers.values import grant, profile

CLOCK = FakeClock()


def saved(directory: Path, given: Grant | None = None) -> StateFiles:
    files = StateFiles(directory)
    files.save("default", "mark", hold(given or grant()))
    return files


def test_a_set_comes_back_as_it_was_with_the_life_that_is_left(tmp_path: Path) -> None:
    files = saved(tmp_path)
    clock = FakeClock(mono=5.0)  # another boot: its monotonic clock began anew
    clock.wall += 600
    found = files.load("default", "mark", clock.now())
    assert found is not None
    assert found.credentials == grant().credentials
    assert hold(found).remaining(clock.now()) == 3_000


def test_a_wall_clock_that_was_set_back_does_not_stretch_its_life(tmp_path: Path) -> None:
    clock = FakeClock(mono=5.0)
    clock.wall -= 86_400
    found = saved(tmp_path).load("default", "mark", clock.now())
    assert found is not None
    assert hold(found).remaining(clock.now()) == 3_600


def test_only_we_can_read_the_file(tmp_path: Path) -> None:
    saved(tmp_path)
    assert (tmp_path / "default.json").stat().st_mode & 0o777 == 0o600


def test_a_set_of_other_settings_is_not_loaded(tmp_path: Path) -> None:
    assert saved(tmp_path).load("default", "other mark", CLOCK.now()) is None


def test_an_expired_set_is_not_loaded(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.advance(3_600)
    assert saved(tmp_path).load("default", "mark", clock.now()) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_could_touch_is_not_loaded(tmp_path: Path, mode: int) -> None:
    files = saved(tmp_path)
    (tmp_path / "default.json").chmod(mode)
    assert files.load("default", "mark", CLOCK.now()) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    files = saved(tmp_path)
    (tmp_path / "default.json").rename(tmp_path / "elsewhere")
    (tmp_path / "default.json").symlink_to("elsewhere")
    assert files.load("default", "mark", CLOCK.now()) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("version"),
        lambda content: content.update(version=2),
        lambda content: content.update(life_seconds="x"),
        lambda content: content.update(life_seconds=float("nan")),
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
def test_a_file_that_is_not_as_we_write_it_is_not_loaded(tmp_path: Path, change: object) -> None:
    files = saved(tmp_path)
    path = tmp_path / "default.json"
    content = json.loads(path.read_text())
    assert callable(change)
    change(content)
    path.write_text(json.dumps(content))
    assert files.load("default", "mark", CLOCK.now()) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 10_000, b'{"version": 1}'])
def test_rubbish_is_not_loaded(tmp_path: Path, content: bytes) -> None:
    files = saved(tmp_path)
    (tmp_path / "default.json").write_bytes(content)
    assert files.load("default", "mark", CLOCK.now()) is None


def test_a_fifo_does_not_hold_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "default.json", 0o600)
    assert StateFiles(tmp_path).load("default", "mark", CLOCK.now()) is None


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    files = saved(tmp_path)
    (path,) = tmp_path.iterdir()
    path.with_name(f".{path.name}.f4c2e69a144bc031").write_text("a whole set")
    assert files.load("default", "mark", CLOCK.now()) is not None
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    files = saved(tmp_path)
    files.forget("default")
    files.forget("default")
    assert list(tmp_path.iterdir()) == []


def test_a_change_of_the_source_changes_the_fingerprint_of_what_is_chained_to_it() -> None:
    base, chained = profile("base"), replace(profile("chained"), source="base")
    before = fingerprints({"base": base, "chained": chained})
    after = fingerprints({"base": replace(base, role_arn=base.role_arn + "2"), "chained": chained})
    assert before["chained"] != after["chained"]
    assert before == fingerprints({"base": base, "chained": chained})


def test_persistence_keeps_what_is_served_and_forgets_what_is_withdrawn(tmp_path: Path) -> None:
    failed: list[OSError] = []
    thread = FileThread(failed.append)
    thread.start()
    persistence = Persistence(tmp_path, thread, {"default": profile()})
    persistence.changed("default", hold(grant()))
    thread.stop(5)
    assert set(persistence.load(CLOCK.now())) == {"default"}
    again = FileThread(failed.append)
    again.start()
    Persistence(tmp_path, again, {"default": profile()}).changed("default", None)
    again.stop(5)
    assert persistence.load(CLOCK.now()) == {}
    assert failed == []


def test_a_piece_that_fails_is_told_and_the_next_goes_on(tmp_path: Path) -> None:
    failed: list[OSError] = []
    done = threading.Event()
    thread = FileThread(failed.append)
    thread.start()
    Persistence(tmp_path / "missing", thread, {"default": profile()}).changed("default", hold(grant()))
    thread.submit(done.set)
    assert done.wait(5)
    thread.stop(5)
    assert len(failed) == 1


def test_stop_does_not_wait_for_a_piece_that_hangs() -> None:
    release = threading.Event()
    thread = FileThread(lambda _: None)
    thread.start()
    thread.submit(lambda: (release.wait(30), None)[1])
    thread.stop(0.05)
    release.set()
