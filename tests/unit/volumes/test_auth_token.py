import errno
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.errors import StartError
from sidecar.volumes.atomic import write_atomic
from sidecar.volumes.auth_token import AUTH_TOKEN_NAME, ensure_auth_token, mode_for

TOKEN = "A" * 43


@pytest.fixture
def umask_077() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def put(directory: Path, content: bytes, mode: int = 0o644) -> Path:
    path = directory / AUTH_TOKEN_NAME
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.rule("Kubernetes D12")
@pytest.mark.usefixtures("umask_077")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_file_has_exactly_the_mode_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    write_atomic(tmp_path / "file", b"content", mode)
    assert mode_of(tmp_path / "file") == mode
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.rule("SDK 7")
def test_a_file_is_replaced_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old", 0o644)
    with path.open("rb") as reader:
        write_atomic(path, b"new", 0o644)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - hidden leftovers count too


@pytest.mark.rule("Kubernetes D12")
def test_a_link_in_the_place_of_the_file_is_replaced_and_its_target_is_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    path = tmp_path / "file"
    path.symlink_to(target)
    write_atomic(path, b"new", 0o644)
    assert not path.is_symlink()
    assert target.read_bytes() == b"mine"


# The kernel writes the first 4 bytes and rejects the rest (setrlimit(2), RLIMIT_FSIZE), like a full disk.
_OVERFLOW = """
import resource, sys
from pathlib import Path
from sidecar.volumes.atomic import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
try:
    write_atomic(Path(sys.argv[1]), b"does not fit", 0o644)
except OSError as exc:
    sys.exit(exc.errno)
"""


@pytest.mark.rule("Kubernetes D12")
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old", 0o644)
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", _OVERFLOW, str(path)], cwd=root, check=False, timeout=30)
    assert ended.returncode == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in os.scandir(tmp_path)] == ["file"]


def test_a_directory_in_the_place_of_the_file_fails_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "file", b"new", 0o644)
    assert [entry.name for entry in os.scandir(tmp_path)] == ["file"]


@pytest.mark.rule("SDK 7")
@pytest.mark.usefixtures("umask_077")
def test_a_new_token_is_43_base64url_characters_without_a_newline(tmp_path: Path) -> None:
    token = ensure_auth_token(tmp_path, 0o644)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert (tmp_path / AUTH_TOKEN_NAME).read_text() == token
    assert mode_of(tmp_path / AUTH_TOKEN_NAME) == 0o644


@pytest.mark.rule("SDK 9")
@pytest.mark.mutant("a restart creates a new auth token")
def test_a_token_outlives_a_restart(tmp_path: Path) -> None:
    token = ensure_auth_token(tmp_path, 0o644)
    inode = (tmp_path / AUTH_TOKEN_NAME).stat().st_ino
    assert ensure_auth_token(tmp_path, 0o644) == token
    assert (tmp_path / AUTH_TOKEN_NAME).stat().st_ino == inode


def test_an_existing_token_gets_the_mode_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path, TOKEN.encode(), 0o600)
    assert ensure_auth_token(tmp_path, 0o640) == TOKEN
    assert mode_of(path) == 0o640


@pytest.mark.parametrize(
    "content",
    [b"", TOKEN.encode() + b"\n", b"A" * 42, b"A" * 44, b"A" * 42 + b"+", b"A" * 42 + b"\xff", b"A" * 5_000],
)
def test_a_malformed_token_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, content)
    token = ensure_auth_token(tmp_path, 0o644)
    assert token.encode() != content
    assert path.read_text() == token


@pytest.mark.mutant("an auth token that other users could have written is trusted")
@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622])
def test_a_token_that_others_could_have_written_is_replaced(tmp_path: Path, mode: int) -> None:
    put(tmp_path, TOKEN.encode(), mode)
    assert ensure_auth_token(tmp_path, 0o644) != TOKEN
    assert mode_of(tmp_path / AUTH_TOKEN_NAME) == 0o644


def test_a_token_behind_a_link_is_replaced(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(TOKEN)
    (tmp_path / AUTH_TOKEN_NAME).symlink_to(known)
    assert ensure_auth_token(tmp_path, 0o644) != TOKEN
    assert not (tmp_path / AUTH_TOKEN_NAME).is_symlink()


def test_a_fifo_in_the_place_of_the_token_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / AUTH_TOKEN_NAME)
    assert len(ensure_auth_token(tmp_path, 0o644)) == 43


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_token_of_another_user_is_replaced(tmp_path: Path) -> None:
    path = put(tmp_path, TOKEN.encode())
    os.chown(path, 12_345, -1)
    assert ensure_auth_token(tmp_path, 0o644) != TOKEN
    assert path.stat().st_uid == os.geteuid()


def test_a_missing_directory_is_named_with_what_to_do(tmp_path: Path) -> None:
    for call in (lambda: ensure_auth_token(tmp_path / "no", 0o644), lambda: mode_for(tmp_path / "no")):
        with pytest.raises(StartError, match=r"cannot use .*/no .*; mount the memory volume"):
            call()


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="is not a directory; mount"):
        ensure_auth_token(tmp_path / "file", 0o644)


def test_a_token_that_cannot_be_written_is_a_start_error(tmp_path: Path) -> None:
    (tmp_path / AUTH_TOKEN_NAME).mkdir()
    with pytest.raises(StartError, match=r"cannot write .*; mount a memory volume"):
        ensure_auth_token(tmp_path, 0o644)


@pytest.mark.rule("SDK 7", "Kubernetes D12")
def test_the_group_may_read_with_fsgroup_and_everyone_without(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert mode_for(tmp_path) == 0o644
    tmp_path.chmod(0o2777)
    assert mode_for(tmp_path) == 0o640
