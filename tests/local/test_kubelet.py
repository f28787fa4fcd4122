"""The projected volume's layout and file events, and the time of the kubelet's rotation."""

import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from examples.local.clock import MovableClock
from examples.local.issuer import Issuer
from examples.local.keys import decode_segment
from examples.local.kubelet import Kubelet, Misbehaviour, rotate_at
from examples.local.volume import ProjectedVolume
from examples.local.world import World
from tests.local.calls import web_identity


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(lambda: 1_795_000_000.0)


@pytest.fixture
def kubelet(issuer: Issuer, tmp_path: Path, clock: MovableClock) -> Kubelet:
    return Kubelet(issuer, tmp_path, clock=clock)


def _expires_at(kubelet: Kubelet) -> int:
    return int(decode_segment(kubelet.path.read_text().split(".")[1])["exp"])


def test_the_layout_is_that_of_the_atomic_writer(tmp_path: Path) -> None:
    volume = ProjectedVolume(tmp_path / "volume", clock=lambda: 1_795_000_000.0)
    volume.swap("first")
    assert volume.path.readlink() == Path("..data/token")
    data = str((volume.directory / "..data").readlink())
    assert re.fullmatch(r"\.\.2026_11_18_11_06_40\.\w+", data)
    assert (volume.directory / data).stat().st_mode & 0o777 == 0o755
    assert volume.path.stat().st_mode & 0o777 == 0o644
    assert volume.path.read_bytes() == b"first"
    assert {entry.name for entry in volume.directory.iterdir()} == {"token", "..data", data}


def test_a_swap_replaces_directory_and_inode_and_removes_the_old_ones(tmp_path: Path) -> None:
    volume = ProjectedVolume(tmp_path)
    volume.swap("first")
    old_data, old_inode = (tmp_path / "..data").readlink(), volume.path.stat().st_ino
    link_inode = volume.path.lstat().st_ino
    with volume.path.open() as reader:
        volume.swap("second")
        assert reader.read() == "first"
    assert volume.path.read_text() == "second"
    assert (tmp_path / "..data").readlink() != old_data
    assert volume.path.stat().st_ino != old_inode
    assert volume.path.lstat().st_ino == link_inode
    assert not (tmp_path / old_data).exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    volume = ProjectedVolume(tmp_path)
    volume.swap("first")
    before = (tmp_path / "..data").readlink()
    volume.swap("first")
    assert (tmp_path / "..data").readlink() == before
    volume.publish({"token": b"first"}, mode=0o600)
    assert (tmp_path / "..data").readlink() != before


def test_an_incomplete_swap_does_not_prevent_the_next(tmp_path: Path) -> None:
    volume = ProjectedVolume(tmp_path)
    (tmp_path / "..data_tmp").symlink_to("nowhere")
    volume.swap("first")
    assert volume.path.read_text() == "first"


class _Recorder(FileSystemEventHandler):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def on_any_event(self, event: FileSystemEvent) -> None:
        names = (os.path.basename(os.fsdecode(event.src_path)), os.path.basename(os.fsdecode(event.dest_path)))  # noqa: PTH119 - plain names of events
        self.seen.append((event.event_type, *names))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + 5
    while not condition():
        assert time.perf_counter() < deadline, "the condition did not become true within 5 s"
        time.sleep(0.005)


def test_the_events_of_a_swap_are_a_rename_of_data_and_no_write_of_the_token(tmp_path: Path) -> None:
    volume = ProjectedVolume(tmp_path)
    volume.swap("first")
    recorder = _Recorder()
    observer = Observer()
    observer.schedule(recorder, str(tmp_path))
    observer.start()
    try:
        volume.swap("second")
        _until(lambda: ("moved", "..data_tmp", "..data") in recorder.seen)
    finally:
        observer.stop()
        observer.join()
    assert not [event for event in recorder.seen if event[1] == "token"]


@pytest.mark.parametrize(
    ("lifetime", "earliest", "latest"),
    [(600, 470, 480), (3600, 2870, 2880), (86400, 69110, 69120), (172800, 86390, 86400), (10, 7.83, 8)],
)
def test_a_rotation_is_due_at_four_fifths_of_the_lifetime_or_a_day_less_the_jitter(
    lifetime: float, earliest: float, latest: float
) -> None:
    assert rotate_at(1000, 1000 + lifetime, 0) == pytest.approx(1000 + latest)
    assert rotate_at(1000, 1000 + lifetime, 1) == pytest.approx(1000 + earliest, abs=0.01)


def test_the_first_sync_publishes_a_token(kubelet: Kubelet) -> None:
    assert kubelet.sync()
    assert kubelet.path.read_text().count(".") == 2


def test_a_sync_rotates_only_when_it_is_due(kubelet: Kubelet, clock: MovableClock) -> None:
    kubelet.sync()
    first = kubelet.path.read_text()
    due = kubelet.next_rotation - clock()
    assert 2870 <= due <= 2880
    clock.advance(due - 0.1)
    assert not kubelet.sync()
    clock.advance(0.1)
    assert kubelet.sync()
    assert kubelet.path.read_text() != first
    assert kubelet.rotations == 2


def test_the_jitter_depends_on_the_seed(issuer: Issuer, tmp_path: Path, clock: MovableClock) -> None:
    due = []
    for seed in (1, 1, 2):
        kubelet = Kubelet(issuer, tmp_path, clock=clock, seed=seed)
        kubelet.rotate_now()
        due.append(kubelet.next_rotation)
    assert due[0] == due[1] != due[2]
    assert due[0] == clock() + 2880 - 10 * random.Random(1).random()


def test_the_token_never_expires_in_a_week_of_syncs(kubelet: Kubelet, clock: MovableClock) -> None:
    shortest = float("inf")
    for _ in range(7 * 24 * 40):
        kubelet.sync()
        shortest = min(shortest, _expires_at(kubelet) - clock())
        clock.advance(90)
    assert shortest >= 720 - 90
    assert 200 <= kubelet.rotations <= 215


def test_the_misbehaviour_missing_removes_the_link(kubelet: Kubelet) -> None:
    kubelet.sync()
    kubelet.misbehave(Misbehaviour.MISSING)
    assert not kubelet.path.is_symlink()
    assert (kubelet.volume.directory / "..data").exists()


@pytest.mark.parametrize(
    ("how", "holds"),
    [
        (Misbehaviour.EMPTY, lambda path: path.read_bytes() == b""),
        (Misbehaviour.TRUNCATED, lambda path: 100 < path.stat().st_size < 600),
        (Misbehaviour.UNREADABLE, lambda path: path.stat().st_mode & 0o777 == 0),
        (Misbehaviour.DIRECTORY, lambda path: path.is_dir()),
    ],
)
def test_a_misbehaviour_is_a_swap_and_lasts_until_heal(
    kubelet: Kubelet, clock: MovableClock, how: Misbehaviour, holds: Callable[[Path], bool]
) -> None:
    kubelet.sync()
    before = (kubelet.volume.directory / "..data").readlink()
    kubelet.misbehave(how)
    assert holds(kubelet.path)
    assert kubelet.path.is_symlink()
    assert (kubelet.volume.directory / "..data").readlink() != before
    clock.advance(86400)
    assert not kubelet.sync()
    assert holds(kubelet.path)
    assert kubelet.heal() == kubelet.path.read_text()
    assert kubelet.path.stat().st_mode & 0o777 == 0o644


def test_an_unreadable_token_can_be_read_by_root_only(kubelet: Kubelet) -> None:
    kubelet.misbehave(Misbehaviour.UNREADABLE)
    if os.geteuid() == 0:
        assert kubelet.path.read_bytes()
    else:
        with pytest.raises(PermissionError):
            kubelet.path.read_bytes()


def test_a_stale_token_does_not_change_until_heal(kubelet: Kubelet, clock: MovableClock) -> None:
    kubelet.sync()
    first = kubelet.path.read_text()
    kubelet.misbehave(Misbehaviour.STALE)
    clock.advance(86400)
    assert not kubelet.sync()
    assert kubelet.path.read_text() == first
    kubelet.heal()
    assert kubelet.path.read_text() != first


def test_an_expired_token_expired_an_hour_ago(kubelet: Kubelet, clock: MovableClock) -> None:
    kubelet.misbehave(Misbehaviour.EXPIRED)
    assert _expires_at(kubelet) == int(clock()) - 3600


def test_the_thread_rotates_and_ends_with_the_block(fresh_world: World, tmp_path: Path) -> None:
    fresh_world.set_up_trust()
    with fresh_world.kubelet(tmp_path, sync_seconds=0.01) as kubelet:
        assert web_identity(fresh_world, kubelet.path.read_text()).status == 200
        first = kubelet.path.read_text()
        fresh_world.clock.advance(2881)
        _until(lambda: kubelet.rotations == 2)
        _until(lambda: kubelet.path.read_text() != first)
        assert web_identity(fresh_world, kubelet.path.read_text()).status == 200
    fresh_world.clock.advance(86400)
    assert kubelet.rotations == 2


def test_removing_the_volume_leaves_an_empty_directory(kubelet: Kubelet) -> None:
    kubelet.sync()
    kubelet.volume.remove()
    assert list(kubelet.volume.directory.iterdir()) == []
