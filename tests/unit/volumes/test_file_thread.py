"""Neither the event loop, which submits operations, nor the end of the daemon waits for a disk."""

import threading
from pathlib import Path

import pytest

from sidecar.credentials.timing import hold
from sidecar.volumes.file_thread import FileThread
from sidecar.volumes.saved_state import Persistence
from tests.helpers.values import assume_role_result


@pytest.mark.mutant("files are written on the event loop")
def test_operations_run_on_another_thread_and_in_order() -> None:
    done: list[tuple[int, str]] = []
    thread = FileThread(lambda _: None)
    for number in range(3):
        thread.submit(lambda number=number: done.append((number, threading.current_thread().name)))  # type: ignore[misc] # a default binds the number now
    assert done == []
    thread.start()
    thread.stop(5)
    assert done == [(0, "files"), (1, "files"), (2, "files")]


@pytest.mark.rule("SDK 11")
def test_a_disk_that_hangs_does_not_delay_publishing(tmp_path: Path) -> None:
    hangs, release = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        release.wait(30)

    thread = FileThread(lambda _: None)
    thread.start()
    thread.submit(hang)
    assert hangs.wait(10)
    persistence = Persistence(tmp_path, thread)
    for number in range(100):
        persistence.changed("default", hold(assume_role_result(number)))
    assert list(tmp_path.iterdir()) == []
    release.set()
    thread.stop(10)
    assert [path.name for path in tmp_path.iterdir()] == ["default.json"]
