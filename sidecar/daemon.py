"""The daemon: builds, starts and supervises its parts, reloads profiles, handles signals.

It listens at once and never waits for STS. All tasks and threads are started here; when one of them ends because of a
bug, the process ends too, since a sidecar that refreshes nothing must not look alive.
"""

import asyncio
import contextlib
import random
import resource
import signal
import threading
from collections.abc import Callable, Mapping, Sequence

from watchdog.observers import Observer as FileObserver

from sidecar import __version__
from sidecar.clock import Clock
from sidecar.credentials.refresher import Refresher
from sidecar.credentials.store import CredentialSink, ProfileHolder, Store
from sidecar.endpoint.admin import AdminServer
from sidecar.endpoint.descriptors import shares
from sidecar.endpoint.health import Health
from sidecar.endpoint.server import CredentialServer
from sidecar.endpoint.taken_port import start_when_free
from sidecar.errors import SettingsError, StartError, TokenError
from sidecar.exchange.client import ExchangeClient
from sidecar.exits import Exit
from sidecar.limits import DRAIN_SECONDS, FILE_RETRY_SECONDS
from sidecar.model import Profile, Token
from sidecar.settings.resolve import Settings
from sidecar.telemetry.log import LogEvent, Logger
from sidecar.telemetry.metrics import CONTENT_TYPE, Metrics
from sidecar.telemetry.reporter import EventReporter
from sidecar.tokens.watch import ContentReader, FileWatcher, TokenReader
from sidecar.volumes.credentials_file import ProcessFiles
from sidecar.volumes.file_thread import FileThread
from sidecar.volumes.profile_volumes import Volumes
from sidecar.volumes.saved_state import Persistence

__all__ = ("Daemon",)


class Daemon:
    """One sidecar: from the token file to the application.

    Args:
        settings: the settings at the start.
        load: resolves the settings again, for the profiles; raises SettingsError.
        environment: variables of the process; the exchange inherits its network settings.
        clock: gives the time.
        logger: writes the log lines.
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
        self._reporter = EventReporter(logger, self._metrics, clock, settings.audience)
        self._refresher = Refresher(
            settings.profiles,
            self._store,
            ExchangeClient(clock, environment, settings.cluster),
            clock=clock,
            # Jitter needs no secrecy, but two pods of one image must not have the same seed.
            draw=random.SystemRandom().random,
            observer=self._reporter,
            refresh_on_rotation=settings.refresh_on_rotation,
        )
        self._metrics.read_states(self._refresher.state)
        self._health = Health(settings.profiles, self._store, self._refresher.state, clock)
        self._state_thread = FileThread(
            lambda error: self.soon(self._reporter.state_persist_failed, error.strerror or "")
        )
        self._persistence = Persistence(settings.runtime_directory / "state", self._state_thread)
        # A separate thread: a state volume that hangs must not keep expired credentials readable in other volumes.
        self._files_thread = FileThread(lambda error: self.soon(self._crashed, "files", type(error)))
        self._volumes = Volumes(
            settings.runtime_directory / "profiles", settings.auth_token_mode, settings.auth_token_file
        )
        self._process_files = ProcessFiles(
            self._volumes.directory,
            self._volumes.modes,
            self._files_thread,
            report=lambda profile, reason: self.soon(self._reporter.credentials_file, profile, reason),
            failed=lambda profile: self.soon(
                self._loop.call_later, FILE_RETRY_SECONDS, self._process_files.retry, profile
            ),
        )
        self._holders: tuple[ProfileHolder, ...] = ()
        self._rejected = False
        self._stop = asyncio.Event()
        self._exit_status = 0
        self._loop = asyncio.get_running_loop()

    async def run(self) -> int:
        """Run until a signal or a bug; return the exit status, 0 or ``Exit.BUG``.

        Raises:
            StartError: the admin port is taken or a profile directory cannot be used.
        """
        # A core file would contain all secrets of the process.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._loop.set_exception_handler(self._callback_failed)
        threading.excepthook = lambda failed: self.soon(
            self._crashed, failed.thread.name if failed.thread else "thread", failed.exc_type
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.on_stop_signal, number)
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            await self._stop.wait()
        self._log.info(LogEvent.STOPPED)
        return self._exit_status

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Start the parts and register how each one ends; they end in reverse order."""
        self._volumes.prepare(self._settings.profiles)
        server = CredentialServer(
            self._store,
            self._volumes.auth_tokens,
            self._clock,
            self._settings.endpoint_port,
            status=self._health.why_none,
            rejected=self._reporter.request_rejected,
        )
        admin = AdminServer(
            live=lambda: (True, "alive"),
            ready=self._health.ready,
            started=self._health.started,
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
        sinks: tuple[CredentialSink, ...] = (self._persistence, self._process_files)
        await self._load_state()
        self._loop.add_signal_handler(signal.SIGHUP, self.on_sighup)
        for sink in sinks:
            self._store.subscribe(sink.changed)
        # The store first: the others read the profiles from it, and it calls them for withdrawn credentials.
        self._holders = (self._store, server, *sinks, self._metrics, self._refresher, self._health)
        refresher = asyncio.create_task(self._refresher.run(), name="refresher")
        refresher.add_done_callback(self._task_ended)
        stack.push_async_callback(_cancel, refresher)
        stack.push_async_callback(admin.stop, DRAIN_SECONDS)
        await admin.start()
        stack.push_async_callback(server.stop, DRAIN_SECONDS)
        if await start_when_free(server, self._stop, self._port_taken):
            self._replace_auth_tokens(server)
        if self._stop.is_set():
            return
        # After both ports are bound: while another daemon has them, these volumes could be in its use.
        for sink in sinks:
            sink.set_profiles(self._settings.profiles)
        self._process_files.remove_others()
        for name in self._profiles:
            # For a profile without credentials, this removes the file from before a restart.
            self._process_files.changed(name, self._store.get(name))
        watcher = self._watcher()
        stack.callback(watcher.stop)
        watcher.start()
        self._log.info(
            LogEvent.STARTED,
            version=__version__,
            endpoint_port=server.port,
            admin_port=admin.port,
            profiles=list(self._profiles),
        )
        for warning in (*self._settings.warnings, *shares().warnings):
            self._log.warning(LogEvent.CONFIG_WARNING, warning=warning)

    async def _load_state(self) -> None:
        """Serve the saved credentials; give up on a state volume that does not respond."""
        now = self._clock.now()
        results = await self._persistence.load(self._profiles, now)
        if results is None:
            self._reporter.state_persist_failed("the volume does not respond")
            return
        unserved = self._refresher.load(results)
        for name, result in results.items():
            if name in unserved:
                self._persistence.changed(name, None)
            else:
                self._reporter.loaded(name, result, now)

    def _watcher(self) -> FileWatcher:
        checks = {self._settings.token_file: TokenReader(self._settings.token_file, self, self._clock).check}
        profiles_file = self._settings.profiles_file
        if profiles_file is not None:
            checks[profiles_file] = ContentReader(profiles_file, lambda: self.soon(self._reload)).check
        return FileWatcher(checks, lambda reason: self.soon(self._reporter.watch_mode, reason), FileObserver)

    def _reload(self, *, by_signal: bool = False) -> None:
        """Read the profiles file again; a file that cannot be used changes nothing.

        A file without a change is reported only after a signal, or after a file that was rejected.
        """
        try:
            profiles = self._load().profiles
            self._volumes.prepare(profiles)
        except (SettingsError, StartError) as error:
            self._rejected = True
            self._reporter.profiles_rejected(error)
            return
        if list(profiles) == list(self._profiles.values()) and not by_signal and not self._rejected:
            return
        self._rejected = False
        try:
            self._apply(profiles)
        except Exception as error:  # noqa: BLE001 - a bug, and a daemon after an incomplete reload must not look alive
            self._crashed("reload", type(error))

    def _apply(self, profiles: Sequence[Profile]) -> None:
        previous, self._profiles = self._profiles, {profile.name: profile for profile in profiles}
        for holder in self._holders:
            holder.set_profiles(profiles)
        for name in (profile.name for profile in profiles if profile.served):
            if name in previous and not previous[name].served:
                # A profile that was only a source of others until now has no file yet.
                self._process_files.changed(name, self._store.get(name))
        self._reporter.profiles_reloaded(previous, self._profiles)

    def token_seen(self, token: Token) -> None:
        """Process a new token; called on the watcher's thread."""
        self.soon(self._reporter.token_seen, token)
        self.soon(self._refresher.token_seen, token)

    def token_unusable(self, error: TokenError) -> None:
        """Report that the token file is unusable; called on the watcher's thread. The last token stays in use."""
        self.soon(self._reporter.token_unusable, error)

    def _port_taken(self) -> None:
        self._volumes.distrust()
        port = self._settings.endpoint_port
        self._health.blocked = f"another process of this pod listens on port {port}; see the log event port_taken"
        self._reporter.port_taken(port, from_secret=self._settings.auth_token_file is not None)

    def _replace_auth_tokens(self, server: CredentialServer) -> None:
        self._health.blocked = ""
        self._volumes.prepare(self._settings.profiles)
        server.set_profiles(self._settings.profiles)
        if self._settings.auth_token_file is None:
            self._reporter.auth_tokens_replaced(self._volumes.auth_tokens)

    def on_stop_signal(self, number: signal.Signals) -> None:
        """Begin the end of the daemon; called for SIGTERM and SIGINT."""
        if not self._stop.is_set():
            self._log.info(LogEvent.STOPPING, signal=number.name)
        self._stop.set()

    def on_sighup(self) -> None:
        """Reload the profiles and refresh the credentials of all; called for SIGHUP, for example after a trust fix."""
        if self._settings.profiles_file is not None:
            self._reload(by_signal=True)
        self._refresher.refresh()

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Schedule a call on the event loop, from any thread; does nothing after the loop has closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            failed = task.exception()
            self._crashed(task.get_name(), type(failed) if failed else None)

    def _crashed(self, what: str, error: type[BaseException] | None) -> None:
        # The class only: the text of an exception can quote a value that is secret.
        self._log.error(LogEvent.CRASHED, task=what, error_type=error.__name__ if error else "")
        self._exit_status = Exit.BUG
        self._stop.set()

    def _callback_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Log an exception of a callback: it concerns one connection, and the others continue."""
        self._log.error(LogEvent.CALLBACK_FAILED, error_type=type(context.get("exception")).__name__)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # The task's callback has already logged its end.
    await asyncio.wait([task])
