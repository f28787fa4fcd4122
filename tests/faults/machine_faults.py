"""Faults of the machine: processes, descriptors, files, volumes, inotify."""

import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.faults.aws_faults import failed
from tests.faults.case import Case
from tests.faults.fault import Fault, LogLine, Recovery, do_nothing

__all__ = ("MACHINE_FAULTS",)

Action = Callable[[Case], object]


def _worker(name: str, mode: str, outcome: str = "worker_failed") -> Fault:
    """A stub in place of the worker, which misbehaves."""
    return Fault(
        name=f"worker {name}",
        prepare=Case.use_stub_worker,
        inject=lambda case: (case.directory / "worker-mode").write_text(mode),
        heal=lambda case: (case.directory / "worker-mode").write_text("real"),
        logged=failed(outcome),
    )


def _rename(case: Case, old: str, new: str) -> None:
    (case.directory / old).rename(case.directory / new)


def _limit(case: Case, which: int, soft: int) -> None:
    pid = case.sidecar.process.pid
    resource.prlimit(pid, which, (soft, resource.prlimit(pid, which)[1]))


def _few_descriptors(case: Case) -> None:
    # Enough descriptors for one connection of the watch at a time, and too few for the pipes of a worker.
    counts = []
    for _ in range(10):
        case.watch.more(1)
        counts.append(len(list(Path(f"/proc/{case.sidecar.process.pid}/fd").iterdir())))
    _limit(case, resource.RLIMIT_NOFILE, min(counts) + 2)


def _stop_daemon(case: Case) -> None:
    case.watch.ignore_silence(ignored=True)
    os.kill(case.sidecar.process.pid, signal.SIGSTOP)


def _continue_daemon(case: Case) -> None:
    os.kill(case.sidecar.process.pid, signal.SIGCONT)
    case.watch.more(1)
    case.watch.ignore_silence(ignored=False)


def _child_stopped(case: Case) -> None:
    case.children.wait_for_stopped()


def _no_effect_on_credentials(
    name: str,
    inject: Action,
    heal: Action,
    logged: LogLine | None,
    prepare: Action = do_nothing,
    *,
    running: bool = False,
) -> Fault:
    """A fault that affects neither the first credentials nor a refresh."""
    return Fault(
        name=name,
        inject=inject,
        heal=heal,
        prepare=prepare,
        logged=logged,
        running=running,
        first_blocked=False,
        refresh_blocked=False,
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


def _profiles_fault(name: str, inject: Action) -> Fault:
    return Fault(
        name=f"profiles file {name}",
        prepare=_profiles,
        inject=inject,
        heal=_write_profiles,
        logged=LogLine("profiles_rejected"),
        refresh_blocked=False,
        prevents_start=True,
    )


def _hang_state(case: Case) -> None:
    staged = case.directory / "stuck.new"
    staged.write_text(str(case.state))
    staged.rename(case.directory / "stuck")


MACHINE_FAULTS = (
    Fault(
        name="no process can be started",
        prepare=lambda case: case.switch("no_fork"),
        inject=lambda case: (case.directory / "no_fork").touch(),
        heal=lambda case: (case.directory / "no_fork").unlink(),
        logged=failed("worker_failed"),
    ),
    Fault(
        name="no descriptors for a worker",
        inject=_few_descriptors,
        heal=lambda case: _limit(case, resource.RLIMIT_NOFILE, 1024),
        logged=failed("worker_failed"),
        running=True,
    ),
    Fault(
        name="worker program missing",
        prepare=Case.use_stub_worker,
        inject=lambda case: _rename(case, "worker", "worker.gone"),
        heal=lambda case: _rename(case, "worker.gone", "worker"),
        logged=failed("worker_failed"),
    ),
    _worker("exits at once", "exits"),
    _worker("responds with garbage", "garbage"),
    _worker("responds for another profile", "other_profile"),
    _worker("responds with an endless line", "endless_line"),
    _worker("hangs during the call", "silent_after_ready", "timeout"),
    Fault(
        name="worker killed when it starts",
        inject=lambda case: case.children.signal_each(signal.SIGKILL),
        heal=lambda case: case.children.let_go(),
        logged=failed("worker_failed"),
        running=True,
    ),
    Fault(
        name="worker stopped when it starts",
        inject=lambda case: case.children.signal_each(signal.SIGSTOP),
        heal=lambda case: case.children.let_go(),
        wait_for_effect=_child_stopped,
        running=True,
    ),
    Fault(
        name="daemon stopped",
        inject=_stop_daemon,
        heal=_continue_daemon,
        running=True,
        unresponsive=True,
        recovery=Recovery.REFRESH,
    ),
    _no_effect_on_credentials(
        "state directory missing",
        lambda case: shutil.rmtree(case.state),
        lambda case: case.state.mkdir(),
        LogLine("state_persist_failed"),
    ),
    _no_effect_on_credentials(
        "state directory a file", _state_is_a_file, _state_is_a_directory, LogLine("state_persist_failed")
    ),
    _no_effect_on_credentials(
        "files cannot grow",
        lambda case: _limit(case, resource.RLIMIT_FSIZE, 0),
        lambda case: _limit(case, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY),
        LogLine("state_persist_failed"),
        running=True,
    ),
    _no_effect_on_credentials(
        "state volume hangs",
        _hang_state,
        lambda case: (case.directory / "stuck").unlink(),
        LogLine("credentials_refreshed"),
        lambda case: case.switch("stuck"),
        running=True,
    ),
    _no_effect_on_credentials(
        "no inotify",
        lambda case: case.kubelet.rotate_now(),
        do_nothing,
        LogLine("token_read"),
        lambda case: case.switch("no_inotify").touch(),
    ),
    _profiles_fault("not AWS config syntax", lambda case: _write_profiles(case, "role_arn: [\n")),
    _profiles_fault("missing", lambda case: (case.directory / "config" / "profiles").unlink()),
)
