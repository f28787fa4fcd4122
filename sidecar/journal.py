"""Tells people what happens: each event once, as a log line and in the metrics.

Everything here runs on the event loop. A failure is told with its class and the next step, never with a token,
a key, or what AWS wrote.
"""

from collections.abc import Sequence

from sidecar.clock import Clock, Instant
from sidecar.credentials.states import State
from sidecar.errors import Failure, Outcome, SettingsError, StartError, TokenError
from sidecar.limits import DURATION_DEFAULT_SECONDS
from sidecar.log import Event, Logger
from sidecar.metrics import Metrics
from sidecar.model import Grant, Token

__all__ = ("Journal",)

_SERVICE_ACCOUNT = "system:serviceaccount:"


class Journal:
    """Writes to the log and the metrics; implements the keeper's ``Observer``.

    Args:
        logger: takes the lines.
        metrics: takes the numbers.
        clock: tells the remaining life of a token.
        audience: the ``aud`` that tokens should have.
    """

    def __init__(self, logger: Logger, metrics: Metrics, clock: Clock, audience: str) -> None:
        self._log = logger
        self._metrics = metrics
        self._clock = clock
        self._audience = audience
        self._tokens = 0
        self._warned: set[str] = set()
        self._state_told = False
        self._unwritten: set[str] = set()

    def token_seen(self, token: Token) -> None:
        """A new token was read."""
        self._tokens += 1
        if self._tokens > 1:
            self._metrics.token_rotations.inc()
        self._metrics.token_expiration.set(token.expires_at)
        self._metrics.token_issued.set(token.issued_at)
        self._log.info(
            Event.TOKEN_READ,
            subject=token.subject,
            issuer=token.issuer,
            audience=list(token.audience),
            key_id=token.key_id,
            expires_at=token.expires_at,
            remaining_seconds=round(token.expires_at - self._clock.now().wall),
        )
        for warning, fix in self._unwise(token):
            if warning not in self._warned:
                self._warned.add(warning)
                self._log.warning(Event.TOKEN_UNWISE, warning=warning, next_step=fix)

    def _unwise(self, token: Token) -> list[tuple[str, str]]:
        found = []
        if self._audience not in token.audience:
            found.append(
                (
                    f"the token's aud is not {self._audience}",
                    "set the projected volume's audience, or the audience setting",
                )
            )
        if not token.subject.startswith(_SERVICE_ACCOUNT):
            found.append(("the token's sub is not a ServiceAccount", "mount a projected serviceAccountToken"))
        life = token.expires_at - token.issued_at
        if token.issued_at and life < DURATION_DEFAULT_SECONDS:
            found.append(
                (
                    f"the token lives {life:.0f} s: a rotation may leave it half a minute",
                    f"set the projected volume's expirationSeconds to {DURATION_DEFAULT_SECONDS} or more",
                )
            )
        return found

    def token_trouble(self, error: TokenError) -> None:
        """The token file became unusable."""
        self._metrics.token_errors.labels(error.problem).inc()
        self._log.warning(Event.TOKEN_UNUSABLE, reason=error.problem, next_step=error.hint)

    def watch_mode(self, reason: str) -> None:
        """File events work, or do not for a reason and polling goes on alone."""
        self._metrics.token_events.set(float(not reason))
        if reason:
            self._log.warning(
                Event.TOKEN_EVENTS_OFF, reason=reason, next_step="none is needed: the file is read every few seconds"
            )

    def exchange_started(self, profiles: Sequence[str]) -> None:
        """One exchange begins for these profiles."""
        self._log.debug(Event.EXCHANGE_STARTED, profiles=list(profiles))

    def exchange_ended(
        self, profile: str, result: Grant | Failure, seconds: float, now: Instant, *, before: State, after: State
    ) -> None:
        """A profile has its result; a grant that the state did not take counts as the failure it became."""
        state = after
        failure = result if isinstance(result, Failure) else state.failure
        outcome = failure.outcome if failure else Outcome.SUCCESS
        self._metrics.sts_requests.labels(profile, outcome).inc()
        self._metrics.sts_seconds.labels(profile).observe(seconds)
        remaining = round(state.held.remaining(now)) if state.held else 0
        if failure is None and isinstance(result, Grant):
            self._metrics.last_success.labels(profile).set(now.wall)
            if before.held is not None:
                late = before.renew_remaining - before.held.remaining(now)
                self._metrics.lateness.labels(profile).observe(max(0.0, late))
            self._log.info(
                Event.CREDENTIALS_RENEWED,
                profile=profile,
                expires_at=result.credentials.expires_at,
                remaining_seconds=remaining,
                role_arn=result.credentials.role_arn,
                seconds=round(seconds, 3),
            )
        elif failure is not None:
            self._log.warning(
                Event.EXCHANGE_FAILED,
                profile=profile,
                **{"class": failure.outcome},
                aws_code=failure.code,
                http_status=failure.status,
                next_step=failure.hint,
                next_attempt_seconds=round(max(0.0, min(state.attempt_mono - now.mono, 1e9)), 1),
                remaining_seconds=remaining,
                seconds=round(seconds, 3),
            )

    def withdrawn(self, profile: str, state: State) -> None:
        """A profile has nothing to serve any more."""
        failure = state.failure
        self._log.error(
            Event.CREDENTIALS_WITHDRAWN,
            profile=profile,
            **{"class": failure.outcome if failure else ""},
            next_step=failure.hint if failure else "none is needed: an exchange is under way",
        )

    def profiles_reloaded(self, profiles: Sequence[str]) -> None:
        """The profiles file was read anew and is in force."""
        self._metrics.reloads.labels("success").inc()
        self._log.info(Event.PROFILES_RELOADED, profiles=list(profiles))

    def profiles_refused(self, error: SettingsError | StartError) -> None:
        """The profiles file cannot be used; the profiles stay as they were."""
        self._metrics.reloads.labels("refused").inc()
        where = error.where if isinstance(error, SettingsError) else ""
        self._log.error(Event.PROFILES_REFUSED, where=where, reason=error.what, next_step=error.fix)

    def state_not_kept(self, reason: str) -> None:
        """The state volume is missing or full: serving goes on, but a restart starts with nothing. Told once."""
        if not self._state_told:
            self._state_told = True
            self._log.warning(
                Event.STATE_NOT_KEPT, reason=reason, next_step="mount a memory volume of 1 MiB at <runtime-dir>/state"
            )

    def credentials_file(self, profile: str, reason: str) -> None:
        """A profile's ``credentials.json`` is as it should be, or is not for a reason; each trouble is told once."""
        if not reason:
            self._unwritten.discard(profile)
            return
        if not self._metrics.has(profile):
            return  # gone by a reload since
        self._metrics.file_errors.labels(profile).inc()
        if profile not in self._unwritten:
            self._unwritten.add(profile)
            self._log.warning(
                Event.CREDENTIALS_FILE_FAILED,
                profile=profile,
                reason=reason,
                next_step="mount a memory volume of 1 MiB at <runtime-dir>/profiles/<profile>; the endpoint serves on",
            )

    def loaded(self, profile: str, grant: Grant, now: Instant) -> None:
        """A set from before a restart is served again."""
        expires_at = grant.credentials.expires_at
        remaining = round(expires_at - now.wall)
        self._log.info(Event.CREDENTIALS_LOADED, profile=profile, expires_at=expires_at, remaining_seconds=remaining)
