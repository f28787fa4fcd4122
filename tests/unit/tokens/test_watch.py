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
from sidecar.tokens.watch import ContentReader, FileWatcher, TokenReader, read_token
from tests.helpers.clock import FakeClock
from tests.helpers.values import jwt_bytes

# Longer than any test may take: what arrives sooner arrived by an event.
NO_POLL = 3_600.0


class Heard:
    """Implements ``Sink``; remembers everything, and lets a test wait for the next thing."""

    def __init__(self) -> None:
        self.things: queue.Queue[Token | TokenProblem | bool] = queue.Queue()

    def token_seen(self, token: Token) -> None:
        self.things.put(token)

    def token_trouble(self, error: TokenError) -> None:
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


def watch(path: Path, heard: Heard, observer: Callable[[], BaseObserver] | None, poll: float) -> FileWatcher:
    return FileWatcher({path: TokenReader(path, heard, FakeClock()).look}, heard.mode, observer, poll)


def swap(volume: Path, name: str, content: bytes) -> None:
    """Do what the kubelet's AtomicWriter does: a new directory, then ``..data`` renamed onto it."""
    (volume / name).mkdir()
    (volume / name / "token").write_bytes(content)
    (volume / "..data_tmp").symlink_to(name)
    (volume / "..data_tmp").rename(volume / "..data")
    if not (volume / "token").is_symlink():
        (volume / "token").symlink_to("..data/token")


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def start(tmp_path: Path, heard: Heard) -> Iterator[Callable[..., FileWatcher]]:
    started = []

    def go(observer: Callable[[], BaseObserver] | None = Observer, poll: float = NO_POLL) -> FileWatcher:
        watcher = watch(tmp_path / "token", heard, observer, poll)
        watcher.start()
        started.append(watcher)
        return watcher

    yield go
    for watcher in started:
        watcher.stop()


def test_a_swap_is_announced_by_an_event_time_after_time(
    tmp_path: Path, heard: Heard, start: Callable[..., FileWatcher]
) -> None:
    swap(tmp_path, "..1", jwt_bytes(jti="1"))
    start()
    assert heard.next_token().raw == jwt_bytes(jti="1").decode()
    for number in ("2", "3", "4"):
        swap(tmp_path, f"..{number}", jwt_bytes(jti=number))
        assert heard.next_token().raw == jwt_bytes(jti=number).decode()


def test_a_swap_is_found_by_polling_alone(tmp_path: Path, heard: Heard, start: Callable[..., FileWatcher]) -> None:
    swap(tmp_path, "..1", jwt_bytes(jti="1"))
    start(observer=None, poll=0.01)
    heard.next_token()
    swap(tmp_path, "..2", jwt_bytes(jti="2"))
    assert heard.next_token().raw == jwt_bytes(jti="2").decode()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
def test_without_inotify_instances_it_polls_and_says_so_once(
    tmp_path: Path, heard: Heard, start: Callable[..., FileWatcher], number: int
) -> None:
    def used_up() -> BaseObserver:
        raise OSError(number, os.strerror(number))

    start(used_up, poll=0.01)
    assert heard.next() is False
    assert heard.next() is TokenProblem.MISSING
    swap(tmp_path, "..1", jwt_bytes())
    assert isinstance(heard.next(), Token)


def test_a_directory_that_comes_late_is_watched_then(tmp_path: Path, heard: Heard) -> None:
    volume = tmp_path / "late"
    watcher = watch(volume / "token", heard, Observer, 0.01)
    watcher.start()
    try:
        assert heard.next() is TokenProblem.MISSING
        volume.mkdir()
        swap(volume, "..1", jwt_bytes())
        got = [heard.next(), heard.next()]
        assert True in got
        assert any(isinstance(thing, Token) for thing in got)
    finally:
        watcher.stop()


def test_stop_ends_the_thread(start: Callable[..., FileWatcher]) -> None:
    before = {thread.name for thread in threading.enumerate()}
    watcher = start(observer=None)
    watcher.stop()
    assert {thread.name for thread in threading.enumerate()} == before


def test_the_same_token_is_told_once(tmp_path: Path, heard: Heard) -> None:
    (tmp_path / "token").write_bytes(jwt_bytes())
    reader = TokenReader(tmp_path / "token", heard, FakeClock())
    for _ in range(3):
        reader.look()
    assert len(heard.all()) == 1


def test_each_problem_is_told_once_and_again_after_it_was_gone(tmp_path: Path, heard: Heard) -> None:
    file = tmp_path / "token"
    reader = TokenReader(file, heard, FakeClock())
    for content in (None, None, b"", b"", b"rubbish", jwt_bytes(), b"", jwt_bytes(), b""):
        if content is not None:
            file.write_bytes(content)
        reader.look()
    told = [thing if isinstance(thing, TokenProblem) else "token" for thing in heard.all()]
    assert told == ["missing", "empty", "malformed", "token", "empty", "empty"]


def test_a_token_that_expires_in_place_is_told_once_by_the_clock_alone(tmp_path: Path, heard: Heard) -> None:
    clock = FakeClock()
    (tmp_path / "token").write_bytes(jwt_bytes())
    reader = TokenReader(tmp_path / "token", heard, clock)
    reader.look()
    clock.advance(3_599)
    reader.look()
    assert len(heard.all()) == 1
    clock.advance(1)
    reader.look()
    reader.look()
    assert heard.all() == [TokenProblem.EXPIRED]
    (tmp_path / "token").write_bytes(jwt_bytes(exp=1_800_007_200))
    reader.look()
    assert [type(thing) for thing in heard.all()] == [Token]


def test_every_shape_of_a_bad_file_has_its_name(tmp_path: Path) -> None:
    def problem(path: Path) -> TokenProblem:
        with pytest.raises(TokenError) as caught:
            read_token(path)
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
    # The kernel answers EIO for a read of address 0 of one's own memory: any user gets an unreadable file.
    assert problem(Path("/proc/self/mem")) is TokenProblem.UNREADABLE


def test_a_file_beside_the_token_is_told_at_first_and_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "profiles"
    told: list[int] = []
    reader = ContentReader(file, lambda: told.append(1))
    contents = (None, None, b"a", b"a", b"b", None, None, b"b")
    for content in contents:
        if content is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(content)
        reader.look()
    assert len(told) == 5


def test_one_watcher_looks_at_several_files_by_events(tmp_path: Path, heard: Heard) -> None:
    for name in ("token-volume", "profiles-volume"):
        (tmp_path / name).mkdir()
    profiles = tmp_path / "profiles-volume" / "profiles"
    profiles.write_bytes(b"a")
    changed: queue.Queue[int] = queue.Queue()
    token_file = tmp_path / "token-volume" / "token"
    swap(token_file.parent, "..1", jwt_bytes(jti="1"))
    watcher = FileWatcher(
        {
            token_file: TokenReader(token_file, heard, FakeClock()).look,
            profiles: ContentReader(profiles, lambda: changed.put(1)).look,
        },
        heard.mode,
        Observer,
        NO_POLL,
    )
    watcher.start()
    try:
        heard.next_token()
        changed.get(timeout=10)
        (tmp_path / "profiles-volume" / "new").write_bytes(b"b")
        (tmp_path / "profiles-volume" / "new").rename(profiles)
        changed.get(timeout=10)
        swap(token_file.parent, "..2", jwt_bytes(jti="2"))
        assert heard.next_token().raw == jwt_bytes(jti="2").decode()
    finally:
        watcher.stop()
