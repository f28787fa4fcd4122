"""Reports each event once, as a log line and in the metrics.

Everything here runs on the event loop. A failure is reported with its outcome and the next step, never with a token, a
key, or the message of AWS.
"""

from collections.abc import Iterable, Mapping, Sequence

from sidecar.clock import Clock, Instant
from sidecar.credentials.interfaces import Withdrawal
from sidecar.credentials.states import ProfileState
from sidecar.errors import DENIALS, Failure, Outcome, SettingsError, StartError, TokenError
from sidecar.limits import DURATION_DEFAULT_SECONDS, REPEATED_LOG_SECONDS
from sidecar.model import AssumeRoleResult, Profile, Token
from sidecar.telemetry.log import LogEvent, Logger
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.repeats import Repeats

__all__ = ("EventReporter",)

_SERVICE_ACCOUNT = "system:serviceaccount:"
_AFTER_WITHDRAWAL = {
    Withdrawal.EXPIRED: "no action is needed: an exchange is running",
    Withdrawal.ROLE_CHANGED: "no action is needed: the new role is requested at once; on_change = keep avoids the gap",
    Withdrawal.REMOVED: "if this was not intended, add the profile to the profiles file again",
    Withdrawal.NOT_SERVED: "if this was not intended, remove serve = false from the profile",
}


class EventReporter:
    """Writes to the log and the metrics; implements the refresher's ``Observer``.

    Args:
        logger: writes the lines.
        metrics: gets the values.
        clock: gives the time from which the remaining lifetime of a token is counted.
        audience: expected token audience; a mismatch logs a warning.
    """

    def __init__(self, logger: Logger, metrics: Metrics, clock: Clock, audience: str) -> None:
        self._log = logger
        self._metrics = metrics
        self._clock = clock
        self._audience = audience
        self._tokens = 0
        self._warned: set[str] = set()
        self._state_reported = False
        self._unwritten: set[str] = set()
        self._rejections = Repeats(REPEATED_LOG_SECONDS)

    def token_seen(self, token: Token) -> None:
        """A new token was read."""
        self._tokens += 1
        if self._tokens > 1:
            self._metrics.token_rotations.inc()
        self._metrics.token_expiration.set(token.expires_at)
        self._metrics.token_issued.set(token.issued_at)
        self._log.info(
            LogEvent.TOKEN_READ,
            subject=token.subject,
            issuer=token.issuer,
            audience=list(token.audience),
            key_id=token.key_id,
            expires_at=token.expires_at,
            remaining_seconds=round(token.expires_at - self._clock.now().wall),
        )
        for warning, fix in self._warnings(token):
            if warning not in self._warned:
                self._warned.add(warning)
                self._log.warning(LogEvent.TOKEN_WARNING, warning=warning, fix=fix)

    def _warnings(self, token: Token) -> list[tuple[str, str]]:
        found = []
        if self._audience not in token.audience:
            found.append(
                (
                    f"the token's aud is not {self._audience}",
                    "set the audience of the projected volume, or the audience setting, so that both are equal",
                )
            )
        if not token.subject.startswith(_SERVICE_ACCOUNT):
            found.append(("the token's sub is not a ServiceAccount", "mount a projected serviceAccountToken"))
        lifetime = token.expires_at - token.issued_at
        if token.issued_at and lifetime < DURATION_DEFAULT_SECONDS:
            found.append(
                (
                    f"the token lifetime is {lifetime:.0f} s: the rotation may come half a minute before expiration",
                    f"set the projected volume's expirationSeconds to {DURATION_DEFAULT_SECONDS} or more",
                )
            )
        return found

    def token_unusable(self, error: TokenError) -> None:
        """The token file became unusable."""
        self._metrics.token_errors.labels(error.problem).inc()
        self._log.warning(LogEvent.TOKEN_UNUSABLE, reason=error.problem, fix=error.hint)

    def watch_mode(self, reason: str) -> None:
        """File events work (``reason`` is ""), or they do not and the files are only polled."""
        self._metrics.token_events.set(float(not reason))
        if reason:
            self._log.warning(
                LogEvent.INOTIFY_UNAVAILABLE,
                reason=reason,
                fix="no action is needed: the file is read every few seconds",
            )

    def exchange_started(self, profiles: Sequence[str]) -> None:
        """An exchange starts for these profiles."""
        self._log.debug(LogEvent.EXCHANGE_STARTED, profiles=list(profiles))

    def exchange_ended(
        self,
        profile: str,
        result: AssumeRoleResult | Failure,
        seconds: float,
        now: Instant,
        *,
        before: ProfileState,
        after: ProfileState,
    ) -> None:
        """The exchange of a profile ended; a result that the lifecycle rejected counts as the failure in its state."""
        state = after
        failure = result if isinstance(result, Failure) else state.failure
        outcome = failure.outcome if failure else Outcome.SUCCESS
        self._metrics.sts_requests.labels(profile, outcome).inc()
        self._metrics.sts_seconds.labels(profile).observe(seconds)
        if failure is not None and failure.kind in DENIALS:
            self._metrics.sts_denials.labels(profile, failure.kind).inc()
        remaining = round(state.held.remaining(now)) if state.held else 0
        if failure is None and isinstance(result, AssumeRoleResult):
            self._metrics.last_success.labels(profile).set(now.wall)
            if before.held is not None:
                late = before.refresh_remaining - before.held.remaining(now)
                self._metrics.lateness.labels(profile).observe(max(0.0, late))
            self._log.info(
                LogEvent.CREDENTIALS_REFRESHED,
                profile=profile,
                expires_at=result.credentials.expires_at,
                remaining_seconds=remaining,
                role_arn=result.credentials.role_arn,
                seconds=round(seconds, 3),
            )
        elif failure is not None:
            self._log.warning(
                LogEvent.EXCHANGE_FAILED,
                profile=profile,
                outcome=failure.outcome,
                aws_code=failure.code,
                aws_error=failure.kind or "",
                aws_request_id=failure.request_id,
                http_status=failure.status,
                fix=failure.hint,
                next_attempt_seconds=round(max(0.0, min(state.attempt_mono - now.mono, 1e9)), 1),
                previous_settings=state.has_previous_settings and state.shown,
                remaining_seconds=remaining,
                seconds=round(seconds, 3),
            )

    def withdrawn(self, profile: str, state: ProfileState, reason: Withdrawal) -> None:
        """The credentials of a profile were withdrawn; an error if they expired, a warning if the settings changed."""
        failure = state.failure if reason is Withdrawal.EXPIRED else None
        log = self._log.error if reason is Withdrawal.EXPIRED else self._log.warning
        log(
            LogEvent.CREDENTIALS_WITHDRAWN,
            profile=profile,
            reason=reason,
            outcome=failure.outcome if failure else "",
            fix=failure.hint if failure else _AFTER_WITHDRAWAL[reason],
        )

    def previous_settings_served(self, profile: str, state: ProfileState, now: Instant) -> None:
        """The settings of a profile changed; credentials of the previous settings are still served."""
        if state.held is not None:
            credentials = state.held.result.credentials
            self._log.warning(
                LogEvent.PREVIOUS_SETTINGS_SERVED,
                profile=profile,
                role_arn=credentials.role_arn,
                expires_at=credentials.expires_at,
                remaining_seconds=round(state.held.remaining(now)),
                fix="no action if credentials_refreshed follows; after exchange_failed, do its fix before they expire",
            )

    def profiles_reloaded(self, previous: Mapping[str, Profile], profiles: Mapping[str, Profile]) -> None:
        """The profiles file was read again and is in force."""
        self._metrics.reloads.labels("success").inc()
        self._log.info(
            LogEvent.PROFILES_RELOADED,
            profiles=list(profiles),
            added=[name for name in profiles if name not in previous],
            changed=[name for name, profile in profiles.items() if name in previous and previous[name] != profile],
            removed=[name for name in previous if name not in profiles],
        )

    def port_taken(self, port: int, *, from_secret: bool) -> None:
        """Another process listens on the endpoint's port; ``from_secret``: the auth tokens cannot be replaced here."""
        self._metrics.port_taken.set(1)
        secret = "; change the Secret of the auth token, which it may have received" if from_secret else ""
        self._log.error(
            LogEvent.PORT_TAKEN,
            endpoint_port=port,
            reason="another process listens on the endpoint's port, and receives the requests of the applications",
            fix=f"find it in the containers of this pod (ss -tlnp), and end it or change endpoint-port{secret}",
        )

    def auth_tokens_replaced(self, profiles: Iterable[str]) -> None:
        """The port is free again, and the profiles have new auth tokens."""
        self._log.warning(
            LogEvent.AUTH_TOKENS_REPLACED,
            profiles=list(profiles),
            fix="restart applications that read the auth token only once, such as boto3 1.32.0 to 1.34.40",
        )

    def profiles_rejected(self, error: SettingsError | StartError) -> None:
        """The profiles file cannot be used; the current profiles stay in force."""
        self._metrics.reloads.labels("refused").inc()
        where = error.where if isinstance(error, SettingsError) else ""
        self._log.error(LogEvent.PROFILES_REJECTED, where=where, reason=error.what, fix=error.fix)

    def state_persist_failed(self, reason: str) -> None:
        """The state volume is missing or full: credentials are still served, but a restart loses them. Logged once."""
        if not self._state_reported:
            self._state_reported = True
            self._log.warning(
                LogEvent.STATE_PERSIST_FAILED,
                reason=reason,
                fix="mount a memory volume of 1 MiB at <runtime-dir>/state",
            )

    def credentials_file(self, profile: str, reason: str) -> None:
        """A profile's ``credentials.json`` is up to date (``reason`` is ""), or is not; each failure is logged once."""
        if not reason:
            self._unwritten.discard(profile)
            return
        if self._metrics.has(profile):
            # A profile that a reload or a restart removed has no metrics.
            self._metrics.file_errors.labels(profile).inc()
        if profile not in self._unwritten:
            self._unwritten.add(profile)
            self._log.warning(
                LogEvent.CREDENTIALS_FILE_FAILED,
                profile=profile,
                reason=reason,
                fix="mount a memory volume of 1 MiB at <runtime-dir>/profiles/<profile>; the endpoint is not affected",
            )

    def request_rejected(self, status: int, reason: str, fix: str) -> None:
        """The endpoint rejected a request; a line for each reason, at most one in five minutes.

        Some SDKs show neither the status nor the message of the answer. An application that sends requests in a loop
        must not fill the log.
        """
        requests = self._rejections.count(reason, self._clock.now().mono)
        if requests:
            self._log.warning(LogEvent.REQUEST_REJECTED, http_status=status, reason=reason, requests=requests, fix=fix)

    def loaded(self, profile: str, result: AssumeRoleResult, now: Instant) -> None:
        """Credentials from before a restart are served again."""
        expires_at = result.credentials.expires_at
        remaining = round(expires_at - now.wall)
        self._log.info(LogEvent.CREDENTIALS_LOADED, profile=profile, expires_at=expires_at, remaining_seconds=remaining)
