"""What can be wrong with the machine: processes, descriptors, files, volumes, inotify."""

import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.faults.case import Case
from tests.faults.kinds import Fault, Told, Wake, nothing
from tests.faults.kinds_aws import failed

__all__ = ("MACHINE_FAULTS",)

Do = Callable[[Case], object]


def _worker(name: str, mode: str, outcome: str = "worker_failed") -> Fault:
    """The worker is another program."""
    return Fault(
        name=f"worker {name}",
        prepare=Case.use_stub_worker,
        strike=lambda case: (case.directory / "worker-mode").write_text(mode),
        heal=lambda case: (case.directory / "worker-mode").write_text("real"),
        told=failed(outcome),
    )


def _rename(case: Case, old: str, new: str) -> None:
    (case.directory / old).rename(case.directory / new)


def _limit(case: Case, which: int, soft: int) -> None:
    pid = case.sidecar.process.pid
    resource.prlimit(pid, which, (soft, resource.prlimit(pid, which)[1]))


def _few_descriptors(case: Case) -> None:
    # Room for one connection of the watch at a time, and none for the pipes of a worker.
    counts = []
    for _ in range(10):
        case.watch.more(1)
        counts.append(len(list(Path(f"/proc/{case.sidecar.process.pid}/fd").iterdir())))
    _limit(case, resource.RLIMIT_NOFILE, min(counts) + 2)


def _stop_daemon(case: Case) -> None:
    case.watch.excuse(excused=True)
    os.kill(case.sidecar.process.pid, signal.SIGSTOP)


def _continue_daemon(case: Case) -> None:
    os.kill(case.sidecar.process.pid, signal.SIGCONT)
    case.watch.more(1)
    case.watch.excuse(excused=False)


def _child_frozen(case: Case) -> None:
    case.children.wait_for_stopped()


def _harmless(
    name: str, strike: Do, heal: Do, told: Told | None, prepare: Do = nothing, *, running: bool = False
) -> Fault:
    """Neither the first set nor a renewal needs what is broken."""
    return Fault(
        name=name,
        strike=strike,
        heal=heal,
        prepare=prepare,
        told=told,
        running=running,
        first_blocked=False,
        renewal_blocked=False,
    )


def _state_is_a_file(case: Case) -> None:
    shutil.rmtree(case.state)
    case.state.write_text("")


def _state_is_a_directory(case: Case) -> None:
    case.state.unlink()
    case.state.mkdir()


def _profiles(case: Case) -> None:
    del case.environment["AWS_ROLE_ARN"]
    case.environment["AWS_OIDC_SIDECAR_PROFILES_FILE"] = str(case.directory / "config" / "profiles")
    (case.directory / "config").mkdir()
    _write_profiles(case)


def _write_profiles(case: Case, text: str = "") -> None:
    staged = case.directory / "config" / ".profiles"
    staged.write_text(text or f"[default]\nrole_arn = {case.role_arn}\n")
    staged.rename(case.directory / "config" / "profiles")


def _profiles_fault(name: str, strike: Do) -> Fault:
    return Fault(
        name=f"profiles file {name}",
        prepare=_profiles,
        strike=strike,
        heal=_write_profiles,
        told=Told("profiles_refused"),
        renewal_blocked=False,
        refuses_start=True,
    )


def _hang_state(case: Case) -> None:
    staged = case.directory / "stuck.new"
    staged.write_text(str(case.state))
    staged.rename(case.directory / "stuck")


MACHINE_FAULTS = (
    Fault(
        name="no process to be had",
        prepare=lambda case: case.switch("no_fork"),
        strike=lambda case: (case.directory / "no_fork").touch(),
        heal=lambda case: (case.directory / "no_fork").unlink(),
        told=failed("worker_failed"),
    ),
    Fault(
        name="no descriptors for a worker",
        strike=_few_descriptors,
        heal=lambda case: _limit(case, resource.RLIMIT_NOFILE, 1024),
        told=failed("worker_failed"),
        running=True,
    ),
    Fault(
        name="worker program missing",
        prepare=Case.use_stub_worker,
        strike=lambda case: _rename(case, "worker", "worker.gone"),
        heal=lambda case: _rename(case, "worker.gone", "worker"),
        told=failed("worker_failed"),
    ),
    _worker("exits at once", "exits"),
    _worker("answers garbage", "garbage"),
    _worker("answers for somebody else", "somebody_else"),
    _worker("answers without an end", "endless_line"),
    _worker("hangs during the call", "silent_after_ready", "timeout"),
    Fault(
        name="worker killed as it appears",
        strike=lambda case: case.children.signal_each(signal.SIGKILL),
        heal=lambda case: case.children.let_go(),
        told=failed("worker_failed"),
        running=True,
    ),
    Fault(
        name="worker frozen as it appears",
        strike=lambda case: case.children.signal_each(signal.SIGSTOP),
        heal=lambda case: case.children.let_go(),
        felt=_child_frozen,
        running=True,
    ),
    Fault(
        name="daemon frozen",
        strike=_stop_daemon,
        heal=_continue_daemon,
        running=True,
        silent=True,
        wake=Wake.RENEW,
    ),
    _harmless(
        "state directory missing",
        lambda case: shutil.rmtree(case.state),
        lambda case: case.state.mkdir(),
        Told("state_not_kept"),
    ),
    _harmless("state directory a file", _state_is_a_file, _state_is_a_directory, Told("state_not_kept")),
    _harmless(
        "no room for files",
        lambda case: _limit(case, resource.RLIMIT_FSIZE, 0),
        lambda case: _limit(case, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY),
        Told("state_not_kept"),
        running=True,
    ),
    _harmless(
        "state volume hangs",
        _hang_state,
        lambda case: (case.directory / "stuck").unlink(),
        Told("credentials_renewed"),
        lambda case: case.switch("stuck"),
        running=True,
    ),
    _harmless(
        "no inotify",
        lambda case: case.kubelet.rotate_now(),
        nothing,
        Told("token_read"),
        lambda case: case.switch("no_inotify").touch(),
    ),
    _profiles_fault("not AWS config syntax", lambda case: _write_profiles(case, "role_arn: [\n")),
    _profiles_fault("missing", lambda case: (case.directory / "config" / "profiles").unlink()),
)
