import errno
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from sidecar.errors import TokenError, TokenProblem
from sidecar.model import Token
from sidecar.tokens.watch import ContentReader, FileWatcher, TokenReader, read_token_file
from tests.helpers.clock import FakeClock
from tests.helpers.values import jwt_bytes

# Longer than a test may take: a report that comes earlier comes from a file event.
NO_POLL = 3_600.0


class RecordingReceiver:
    """Implements ``TokenReceiver``; saves all reports, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.things: queue.Queue[Token | TokenProblem | bool] = queue.Queue()

    def token_seen(self, token: Token) -> None:
        self.things.put(token)

    def token_unusable(self, error: TokenError) -> None:
        self.things.put(error.problem)

    def mode(self, reason: str) -> None:
        self.things.put(not reason)

    def next(self) -> Token | TokenProblem | bool:
        return self.things.get(timeout=10)

    def next_token(self) -> Token:
        while not isinstance(thing := self.next(), Token):
            pass
        return thing

    def all(self) -> list[Token | TokenProblem | bool]:
        return [self.things.get_nowait() for _ in range(self.things.qsize())]


def watch(
    path: Path, receiver: RecordingReceiver, observer: Callable[[], BaseObserver] | None, poll: float
) -> FileWatcher:
    return FileWatcher({path: TokenReader(path, receiver, FakeClock()).check}, receiver.mode, observer, poll)


def rotate(volume: Path, name: str, content: bytes) -> None:
    """Do what the kubelet's AtomicWriter does: a new directory, then ``..data`` renamed onto it."""
    (volume / name).mkdir()
    (volume / name / "token").write_bytes(content)
    (volume / "..data_tmp").symlink_to(name)
    (volume / "..data_tmp").rename(volume / "..data")
    if not (volume / "token").is_symlink():
        (volume / "token").symlink_to("..data/token")


@pytest.fixture
def receiver() -> RecordingReceiver:
    return RecordingReceiver()


@pytest.fixture
def start(tmp_path: Path, receiver: RecordingReceiver) -> Iterator[Callable[..., FileWatcher]]:
    started = []

    def go(observer: Callable[[], BaseObserver] | None = Observer, poll: float = NO_POLL) -> FileWatcher:
        watcher = watch(tmp_path / "token", receiver, observer, poll)
        watcher.start()
        started.append(watcher)
        return watcher

    yield go
    for watcher in started:
        watcher.stop()


@pytest.mark.rule("Kubernetes D1")
@pytest.mark.mutant("the file is watched, not its directory")
def test_each_rotation_is_found_by_an_event(
    tmp_path: Path, receiver: RecordingReceiver, start: Callable[..., FileWatcher]
) -> None:
    rotate(tmp_path, "..1", jwt_bytes(jti="1"))
    start()
    assert receiver.next_token().raw == jwt_bytes(jti="1").decode()
    for number in ("2", "3", "4"):
        rotate(tmp_path, f"..{number}", jwt_bytes(jti=number))
        assert receiver.next_token().raw == jwt_bytes(jti=number).decode()


@pytest.mark.rule("Kubernetes D1")
@pytest.mark.mutant("the token is read only after a file event")
def test_a_rotation_is_found_by_polling_only(
    tmp_path: Path, receiver: RecordingReceiver, start: Callable[..., FileWatcher]
) -> None:
    rotate(tmp_path, "..1", jwt_bytes(jti="1"))
    start(observer=None, poll=0.01)
    receiver.next_token()
    rotate(tmp_path, "..2", jwt_bytes(jti="2"))
    assert receiver.next_token().raw == jwt_bytes(jti="2").decode()


@pytest.mark.rule("Kubernetes D1")
@pytest.mark.mutant("the watcher ends if no inotify instance is free")
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
def test_without_inotify_instances_the_file_is_polled_and_that_is_reported_once(
    tmp_path: Path, receiver: RecordingReceiver, start: Callable[..., FileWatcher], number: int
) -> None:
    def used_up() -> BaseObserver:
        raise OSError(number, os.strerror(number))

    start(used_up, poll=0.01)
    assert receiver.next() is False
    assert receiver.next() is TokenProblem.MISSING
    rotate(tmp_path, "..1", jwt_bytes())
    assert isinstance(receiver.next(), Token)


def test_a_directory_that_is_created_later_is_watched(tmp_path: Path, receiver: RecordingReceiver) -> None:
    volume = tmp_path / "late"
    watcher = watch(volume / "token", receiver, Observer, 0.01)
    watcher.start()
    try:
        assert receiver.next() is TokenProblem.MISSING
        volume.mkdir()
        rotate(volume, "..1", jwt_bytes())
        got = [receiver.next(), receiver.next()]
        assert True in got
        assert any(isinstance(thing, Token) for thing in got)
    finally:
        watcher.stop()


def test_stop_ends_the_thread(start: Callable[..., FileWatcher]) -> None:
    before = {thread.name for thread in threading.enumerate()}
    watcher = start(observer=None)
    watcher.stop()
    assert {thread.name for thread in threading.enumerate()} == before


def test_the_same_token_is_reported_once(tmp_path: Path, receiver: RecordingReceiver) -> None:
    (tmp_path / "token").write_bytes(jwt_bytes())
    reader = TokenReader(tmp_path / "token", receiver, FakeClock())
    for _ in range(3):
        reader.check()
    assert len(receiver.all()) == 1


@pytest.mark.rule("Kubernetes D2")
@pytest.mark.mutant("an unusable token file ends the watcher")
def test_each_problem_is_reported_once_and_again_after_it_was_solved(
    tmp_path: Path, receiver: RecordingReceiver
) -> None:
    file = tmp_path / "token"
    reader = TokenReader(file, receiver, FakeClock())
    for content in (None, None, b"", b"", b"rubbish", jwt_bytes(), b"", jwt_bytes(), b""):
        if content is not None:
            file.write_bytes(content)
        reader.check()
    reported = [thing if isinstance(thing, TokenProblem) else "token" for thing in receiver.all()]
    assert reported == ["missing", "empty", "malformed", "token", "empty", "empty"]


@pytest.mark.rule("Kubernetes D3")
def test_a_token_that_expires_without_a_file_event_is_reported_once(
    tmp_path: Path, receiver: RecordingReceiver
) -> None:
    clock = FakeClock()
    (tmp_path / "token").write_bytes(jwt_bytes())
    reader = TokenReader(tmp_path / "token", receiver, clock)
    reader.check()
    clock.advance(3_599)
    reader.check()
    assert len(receiver.all()) == 1
    clock.advance(1)
    reader.check()
    reader.check()
    assert receiver.all() == [TokenProblem.EXPIRED]
    (tmp_path / "token").write_bytes(jwt_bytes(exp=1_800_007_200))
    reader.check()
    assert [type(thing) for thing in receiver.all()] == [Token]


@pytest.mark.rule("Kubernetes D2")
@pytest.mark.mutant("a FIFO in the place of the token blocks the watcher")
def test_each_unusable_file_has_its_problem(tmp_path: Path) -> None:
    def problem(path: Path) -> TokenProblem:
        with pytest.raises(TokenError) as caught:
            read_token_file(path)
        return caught.value.problem

    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"x" * 30_000)
    (tmp_path / "loop").symlink_to("loop")
    assert problem(tmp_path / "missing") is TokenProblem.MISSING
    assert problem(tmp_path / "large" / "token") is TokenProblem.MISSING
    assert problem(tmp_path / "loop") is TokenProblem.MISSING
    assert problem(tmp_path / "directory") is TokenProblem.NOT_A_FILE
    assert problem(tmp_path / "fifo") is TokenProblem.NOT_A_FILE
    assert problem(tmp_path / "large") is TokenProblem.TOO_LARGE
    # The kernel answers EIO to a read of address 0 of the own memory: an unreadable file for any user.
    assert problem(Path("/proc/self/mem")) is TokenProblem.UNREADABLE


def test_another_file_is_reported_at_first_and_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "profiles"
    reported: list[int] = []
    reader = ContentReader(file, lambda: reported.append(1))
    contents = (None, None, b"a", b"a", b"b", None, None, b"b")
    for content in contents:
        if content is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(content)
        reader.check()
    assert len(reported) == 5


def test_one_watcher_watches_several_files_by_events(tmp_path: Path, receiver: RecordingReceiver) -> None:
    for name in ("token-volume", "profiles-volume"):
        (tmp_path / name).mkdir()
    profiles = tmp_path / "profiles-volume" / "profiles"
    profiles.write_bytes(b"a")
    changed: queue.Queue[int] = queue.Queue()
    token_file = tmp_path / "token-volume" / "token"
    rotate(token_file.parent, "..1", jwt_bytes(jti="1"))
    watcher = FileWatcher(
        {
            token_file: TokenReader(token_file, receiver, FakeClock()).check,
            profiles: ContentReader(profiles, lambda: changed.put(1)).check,
        },
        receiver.mode,
        Observer,
        NO_POLL,
    )
    watcher.start()
    try:
        receiver.next_token()
        changed.get(timeout=10)
        (tmp_path / "profiles-volume" / "new").write_bytes(b"b")
        (tmp_path / "profiles-volume" / "new").rename(profiles)
        changed.get(timeout=10)
        rotate(token_file.parent, "..2", jwt_bytes(jti="2"))
        assert receiver.next_token().raw == jwt_bytes(jti="2").decode()
    finally:
        watcher.stop()
