"""Nobody waits for a disk: neither the event loop that hands over the work nor the end of the daemon."""

import threading
from pathlib import Path

from sidecar.credentials.timing import hold
from sidecar.endpoint.file_thread import FileThread
from sidecar.endpoint.state import Persistence
from tests.helpers.values import grant, profile


def test_work_is_done_on_another_thread_and_in_its_order() -> None:
    done: list[tuple[int, str]] = []
    thread = FileThread(lambda _: None)
    for number in range(3):
        thread.submit(lambda number=number: done.append((number, threading.current_thread().name)))  # type: ignore[misc] # a default binds the number now
    assert done == []
    thread.start()
    thread.stop(5)
    assert done == [(0, "files"), (1, "files"), (2, "files")]


def test_a_disk_that_hangs_holds_up_nobody_who_publishes(tmp_path: Path) -> None:
    hangs, release = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        release.wait(30)

    thread = FileThread(lambda _: None)
    thread.start()
    thread.submit(hang)
    assert hangs.wait(10)
    persistence = Persistence(tmp_path, thread, {"default": profile()})
    for number in range(100):
        persistence.changed("default", hold(grant(number)))
    assert list(tmp_path.iterdir()) == []
    release.set()
    thread.stop(10)
    assert [path.name for path in tmp_path.iterdir()] == ["default.json"]
