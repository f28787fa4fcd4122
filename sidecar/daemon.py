"""The whole wiring on one page: build, start, supervise, reload, drain, signals.

It listens at once and never waits for STS. Every task and thread is named and owned here; when one of them ends
that should not, the process ends with it, since a sidecar that renews nothing must not look alive.
"""

import asyncio
import contextlib
import random
import resource
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Final

from watchdog.observers import Observer as FileObserver

from sidecar import __version__
from sidecar.clock import Clock
from sidecar.config import Settings
from sidecar.credentials.keeper import Keeper
from sidecar.credentials.store import Store
from sidecar.endpoint.admin import AdminServer
from sidecar.endpoint.file_thread import FileThread
from sidecar.endpoint.process_files import ProcessFiles
from sidecar.endpoint.server import CredentialServer
from sidecar.endpoint.state import Persistence
from sidecar.endpoint.volumes import Volumes
from sidecar.errors import SettingsError, StartError, TokenError
from sidecar.exchange.client import ExchangeClient
from sidecar.journal import Journal
from sidecar.limits import DRAIN_SECONDS, FILE_RETRY_SECONDS, STATE_LOAD_SECONDS
from sidecar.log import Event, Logger
from sidecar.metrics import CONTENT_TYPE, Metrics
from sidecar.model import Grant, Token
from sidecar.tokens.watch import ContentReader, FileWatcher, TokenReader

__all__ = ("EXIT_BUG", "Daemon")

EXIT_BUG: Final = 70


class Daemon:
    """One sidecar: from the token file to the application.

    Args:
        settings: what to run by.
        load: resolves the settings anew, for the profiles; raises SettingsError.
        environment: of the process; the exchange inherits its network settings.
        clock: tells the time.
        logger: takes what happens.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        environment: Mapping[str, str],
        clock: Clock,
        logger: Logger,
    ) -> None:
        self._settings = settings
        self._load = load
        self._clock = clock
        self._log = logger
        self._profiles = {profile.name: profile for profile in settings.profiles}
        self._store = Store(self._profiles)
        self._metrics = Metrics(__version__, settings.profiles, clock)
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
        self._state_thread = FileThread(lambda error: self.soon(self._journal.state_not_kept, error.strerror or ""))
        self._persistence = Persistence(settings.runtime_directory / "state", self._state_thread, self._profiles)
        # A thread of its own: a state volume that hangs must not keep an expired set readable elsewhere.
        self._files_thread = FileThread(lambda error: self.soon(self._crashed, "files", type(error)))
        self._volumes = Volumes(
            settings.runtime_directory / "profiles", settings.auth_token_mode, settings.auth_token_file
        )
        self._process_files = ProcessFiles(
            self._volumes.directory,
            self._files_thread,
            told=lambda profile, reason: self.soon(self._journal.credentials_file, profile, reason),
            failed=lambda profile: self.soon(
                self._loop.call_later, FILE_RETRY_SECONDS, self._process_files.retry, profile
            ),
        )
        self._started = False
        self._refused = False
        self._stop = asyncio.Event()
        self._exit_status = 0
        self._loop = asyncio.get_running_loop()

    async def run(self) -> int:
        """Run until a signal or a bug; return the exit status, 0 or ``EXIT_BUG``.

        Raises:
            StartError: a port is taken or a profile directory cannot be used.
        """
        # A core file would hold every secret that we have.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._loop.set_exception_handler(self._callback_failed)
        threading.excepthook = lambda failed: self.soon(
            self._crashed, failed.thread.name if failed.thread else "thread", failed.exc_type
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._signalled, number)
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            await self._stop.wait()
        self._log.info(Event.STOPPED)
        return self._exit_status

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start everything, each with how it ends; they end in reverse order."""
        self._server = server = CredentialServer(
            self._store,
            self._volumes.auth_tokens(self._settings.profiles),
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
        self._metrics.read_server(server)
        for thread in (self._state_thread, self._files_thread):
            stack.callback(thread.stop, DRAIN_SECONDS)
            thread.start()
        self._process_files.set_profiles(self._volumes.modes(self._settings.profiles))
        await self._load_state()
        self._loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        self._store.subscribe(self._persistence.changed)
        self._store.subscribe(self._process_files.changed)
        keeper = asyncio.create_task(self._keeper.run(), name="keeper")
        keeper.add_done_callback(self._task_ended)
        stack.push_async_callback(_cancel, keeper)
        stack.push_async_callback(admin.stop, DRAIN_SECONDS)
        await admin.start()
        stack.push_async_callback(server.stop, DRAIN_SECONDS)
        await server.start()
        # Not before the ports are ours: this volume could be another daemon's.
        for name in self._profiles:
            # Of one without a set, the file from before a restart is removed.
            self._process_files.changed(name, self._store.get(name))
        watcher = self._watcher()
        stack.callback(watcher.stop)
        watcher.start()
        self._log.info(
            Event.STARTED,
            version=__version__,
            endpoint_port=server.port,
            admin_port=admin.port,
            profiles=list(self._profiles),
        )
        for warning in self._settings.warnings:
            self._log.warning(Event.SETTING_UNWISE, warning=warning)

    async def _load_state(self) -> None:
        """Serve what was held before a restart; a state volume that hangs is not waited for."""
        now = self._clock.now()
        found: asyncio.Future[dict[str, Grant]] = self._loop.create_future()

        def load() -> None:
            grants = self._persistence.load(now)
            self.soon(lambda: None if found.done() else found.set_result(grants))

        self._state_thread.submit(load)
        try:
            async with asyncio.timeout(STATE_LOAD_SECONDS):
                grants = await found
        except TimeoutError:
            self._journal.state_not_kept("it does not answer")
            return
        for name, grant in grants.items():
            self._keeper.load(name, grant)
            self._journal.loaded(name, grant, now)

    def _watcher(self) -> FileWatcher:
        looks = {self._settings.token_file: TokenReader(self._settings.token_file, _OnLoop(self), self._clock).look}
        profiles_file = self._settings.profiles_file
        if profiles_file is not None:
            looks[profiles_file] = ContentReader(profiles_file, lambda: self.soon(self._reload)).look
        return FileWatcher(looks, lambda reason: self.soon(self._journal.watch_mode, reason), FileObserver)

    def _reload(self, *, asked: bool = False) -> None:
        """Take the profiles file as it is now; one that cannot be used changes nothing.

        One that says what is in force already is told only to who asked, or after one that was refused.
        """
        try:
            profiles = self._load().profiles
            tokens, modes = self._volumes.auth_tokens(profiles), self._volumes.modes(profiles)
        except (SettingsError, StartError) as error:
            self._refused = True
            self._journal.profiles_refused(error)
            return
        if list(profiles) == list(self._profiles.values()) and not asked and not self._refused:
            return
        self._refused = False
        self._profiles = {profile.name: profile for profile in profiles}
        self._persistence.set_profiles(self._profiles)
        self._store.set_profiles(self._profiles)
        self._server.set_profiles(tokens)
        self._process_files.set_profiles(modes)
        self._metrics.set_profiles(profiles)
        self._keeper.replace(profiles)
        self._journal.profiles_reloaded(list(self._profiles))

    def token_seen(self, token: Token) -> None:
        """Take a new token, on the event loop."""
        self._journal.token_seen(token)
        self._keeper.token_seen(token)

    def token_trouble(self, error: TokenError) -> None:
        """Take that the token file is unusable, on the event loop; the token read last stays in use."""
        self._journal.token_trouble(error)

    def _readiness(self) -> tuple[bool, str]:
        now = self._clock.now()
        for name, profile in self._profiles.items():
            held = self._store.get(name)
            if profile.served and (held is None or not held.servable(now)):
                failure = self._keeper.state(name).failure
                why = f"{failure.outcome}; {failure.hint}" if failure else "the first exchange has not ended yet"
                return False, f"{name}: no unexpired credentials: {why}"
        self._started = True
        return True, "ready"

    def _startup(self) -> tuple[bool, str]:
        # Once started stays started: the gate is for the application's start, not for later outages.
        return (True, "started") if self._started else self._readiness()

    def _signalled(self, number: signal.Signals) -> None:
        if not self._stop.is_set():
            self._log.info(Event.STOPPING, signal=number.name)
        self._stop.set()

    def _hung_up(self) -> None:
        """Take the profiles anew and exchange for all: what one does by hand after mending the trust."""
        if self._settings.profiles_file is not None:
            self._reload(asked=True)
        self._keeper.renew()

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Have something called on the event loop, from any thread; too late is no error."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

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
    """Carries the token's news from the watcher's thread to the event loop."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def token_seen(self, token: Token) -> None:
        self._daemon.soon(self._daemon.token_seen, token)

    def token_trouble(self, error: TokenError) -> None:
        self._daemon.soon(self._daemon.token_trouble, error)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # Its end, whatever it is, was told by its callback.
    await asyncio.wait([task])
