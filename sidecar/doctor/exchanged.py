"""Does one exchange for each profile of a role chain, as the daemon does it."""

from collections.abc import Sequence

from sidecar.clock import Clock
from sidecar.errors import Failure
from sidecar.exchange.messages import parse_result, request_line
from sidecar.exchange.worker import exchange, new_session
from sidecar.model import AssumeRoleRequest, AssumeRoleResult, Credentials, Profile, Token

__all__ = ("ExchangeResult", "exchange_chain")


class ExchangeResult:
    """The result of the exchange.

    Args:
        profile: the profile whose exchange failed, or the last profile of the chain.
        failure: why it failed; None if every exchange succeeded.
        credentials: those of the last profile of the chain; None if an exchange failed.
    """

    def __init__(self, profile: Profile, failure: Failure | None, credentials: Credentials | None) -> None:
        self.profile, self.failure, self.credentials = profile, failure, credentials


def exchange_chain(profiles: Sequence[Profile], token: Token, cluster: str, clock: Clock) -> ExchangeResult | None:
    """Return the result of the exchanges of a role chain; None if STS sent an answer of no known form.

    Args:
        profiles: the one that uses the token first; at least one.
        token: the projected token.
        cluster: the first part of generated session names.
        clock: tells the time.
    """
    session, credentials = new_session(), None
    for profile in profiles:
        request, requested_at = AssumeRoleRequest(profile, token, credentials), clock.now()
        try:
            reply = exchange(session, request_line(request, cluster))
            result = parse_result(request, reply, requested_at)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        if not isinstance(result, AssumeRoleResult):
            return ExchangeResult(profile, result, None)
        credentials = result.credentials
    return ExchangeResult(profiles[-1], None, credentials)
