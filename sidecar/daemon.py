"""The whole wiring on one page: build, start, supervise, drain, signals.

It listens at once and never waits for STS. Every task and thread is named and owned here; when one of them ends
that should not, the process ends with it, since a sidecar that renews nothing must not look alive.
"""

import asyncio
import contextlib
import random
import resource
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from watchdog.observers import Observer as FileObserver

from sidecar import __version__
from sidecar.clock import Clock
from sidecar.config import Settings
from sidecar.credentials.keeper import Keeper
from sidecar.credentials.store import Store
from sidecar.endpoint.admin import AdminServer
from sidecar.endpoint.files import ensure_auth_token, mode_for
from sidecar.endpoint.server import CredentialServer
from sidecar.errors import TokenError
from sidecar.exchange.client import ExchangeClient
from sidecar.journal import Journal
from sidecar.limits import DRAIN_SECONDS
from sidecar.log import Event, Logger
from sidecar.metrics import CONTENT_TYPE, Metrics
from sidecar.model import Token
from sidecar.tokens.watch import TokenWatcher

__all__ = ("EXIT_BUG", "Daemon", "profile_directory")

EXIT_BUG: Final = 70


def profile_directory(settings: Settings, profile: str) -> Path:
    """Return the directory that the containers of a profile mount."""
    return settings.runtime_directory / "profiles" / profile


class Daemon:
    """One sidecar: from the token file to the application.

    Args:
        settings: what to run by.
        environment: of the process; the exchange inherits its network settings.
        clock: tells the time.
        logger: takes what happens.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str], clock: Clock, logger: Logger) -> None:
        self._settings = settings
        self._clock = clock
        self._log = logger
        self._names = tuple(profile.name for profile in settings.profiles)
        self._store = Store(self._names)
        self._metrics = Metrics(__version__, self._names, clock)
        self._journal = Journal(logger, self._metrics, clock, settings.audience)
        self._keeper = Keeper(
            settings.profiles,
            self._store,
            ExchangeClient(clock, environment, settings.cluster),
            clock=clock,
            # Jitter needs no secrecy, but two pods started from one image must not share a seed.
            draw=random.SystemRandom().random,
            observer=self._journal,
            refresh_on_rotation=settings.refresh_on_rotation,
        )
        self._metrics.read_states(self._keeper.state)
        self._started = False
        self._stop = asyncio.Event()
        self._exit_status = 0

    async def run(self) -> int:
        """Run until a signal or a bug; return the exit status, 0 or ``EXIT_BUG``.

        Raises:
            StartError: a port is taken or a profile directory cannot be used.
        """
        # A core file would hold every secret that we have.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._callback_failed)
        threading.excepthook = lambda failed: loop.call_soon_threadsafe(
            self._crashed, failed.thread.name if failed.thread else "thread", failed.exc_type
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack, loop)
            await self._stop.wait()
        self._log.info(Event.STOPPED)
        return self._exit_status

    async def _start(self, stack: contextlib.AsyncExitStack, loop: asyncio.AbstractEventLoop) -> None:
        """Start everything, each with how it ends; they end in reverse order."""
        server = CredentialServer(
            self._store,
            {name: self._auth_token(name) for name in self._names},
            self._clock,
            self._settings.endpoint_port,
            status=lambda name: self._keeper.state(name).failure,
        )
        admin = AdminServer(
            live=lambda: (True, "alive"),
            ready=self._readiness,
            started=self._startup,
            metrics=self._metrics.text,
            metrics_type=CONTENT_TYPE,
            clock=self._clock,
            port=self._settings.admin_port,
            address=self._settings.admin_address,
        )
        self._metrics.read_requests("credentials", lambda: server.requests)
        keeper = asyncio.create_task(self._keeper.run(), name="keeper")
        keeper.add_done_callback(self._task_ended)
        stack.push_async_callback(_cancel, keeper)
        stack.push_async_callback(admin.stop, DRAIN_SECONDS)
        await admin.start()
        stack.push_async_callback(server.stop, DRAIN_SECONDS)
        await server.start()
        watcher = TokenWatcher(self._settings.token_file, _OnLoop(loop, self), self._clock, FileObserver)
        stack.callback(watcher.stop)
        watcher.start()
        self._log.info(
            Event.STARTED,
            version=__version__,
            endpoint_port=server.port,
            admin_port=admin.port,
            profiles=list(self._names),
        )
        for warning in self._settings.warnings:
            self._log.warning(Event.SETTING_UNWISE, warning=warning)

    def _auth_token(self, profile: str) -> str:
        directory = profile_directory(self._settings, profile)
        mode = self._settings.auth_token_mode
        return ensure_auth_token(directory, mode_for(directory) if mode is None else mode)

    def token_seen(self, token: Token) -> None:
        """A new token was read."""
        self._journal.token_seen(token)
        self._keeper.token_seen(token)

    def token_trouble(self, error: TokenError) -> None:
        """The token file became unusable; the token read last stays in use."""
        self._journal.token_trouble(error)

    def watch_mode(self, *, events: bool, reason: str) -> None:
        """File events work, or do not."""
        self._journal.watch_mode(events=events, reason=reason)

    def _readiness(self) -> tuple[bool, str]:
        now = self._clock.now()
        for name in self._names:
            held = self._store.get(name)
            if held is None or not held.servable(now):
                failure = self._keeper.state(name).failure
                why = f"{failure.outcome}; {failure.hint}" if failure else "the first exchange has not ended yet"
                return False, f"{name}: no unexpired credentials: {why}"
        self._started = True
        return True, "ready"

    def _startup(self) -> tuple[bool, str]:
        # Once started stays started: the gate is for the application's start, not for later outages.
        return (True, "started") if self._started else self._readiness()

    def _signalled(self, number: signal.Signals) -> None:
        self._log.info(Event.STOPPING, signal=number.name)
        self._stop.set()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            failed = task.exception()
            self._crashed(task.get_name(), type(failed) if failed else None)

    def _crashed(self, what: str, error: type[BaseException] | None) -> None:
        # The class alone: the text of an exception can quote what it failed on.
        self._log.error(Event.CRASHED, task=what, error_type=error.__name__ if error else "")
        self._exit_status = EXIT_BUG
        self._stop.set()

    def _callback_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Note what failed in a callback: one connection's trouble, and no reason to end the others."""
        self._log.error(Event.CALLBACK_FAILED, error_type=type(context.get("exception")).__name__)


class _OnLoop:
    """Carries the watcher's news from its thread to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, daemon: Daemon) -> None:
        self._loop = loop
        self._daemon = daemon

    def token_seen(self, token: Token) -> None:
        self._loop.call_soon_threadsafe(self._daemon.token_seen, token)

    def token_trouble(self, error: TokenError) -> None:
        self._loop.call_soon_threadsafe(self._daemon.token_trouble, error)

    def watch_mode(self, *, events: bool, reason: str) -> None:
        self._loop.call_soon_threadsafe(lambda: self._daemon.watch_mode(events=events, reason=reason))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # Its end, whatever it is, was told by its callback.
    await asyncio.wait([task])
