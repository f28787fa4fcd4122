"""One exchange without a daemon: for a laptop or a CI runner that has a token file.

There is no retry and nothing is kept: whoever calls a ``credential_process`` calls it again.
"""

import contextlib
from collections.abc import Mapping, Sequence

from sidecar.clock import Clock
from sidecar.config import Settings
from sidecar.errors import Failure, SettingsError, TokenError, TokenProblem
from sidecar.exchange.client import ExchangeClient
from sidecar.model import Credentials, Order, Profile
from sidecar.tokens import jwt
from sidecar.tokens.watch import read_token

__all__ = ("exchange_once", "hops")


async def exchange_once(
    settings: Settings, name: str, environment: Mapping[str, str], clock: Clock
) -> Credentials | Failure:
    """Exchange the token for the set of one profile, by way of its sources.

    Args:
        settings: the token file and the profiles.
        name: the profile; "" means ``default``, or the only one.
        environment: of the process; the exchange inherits its network settings.
        clock: tells the time.

    Raises:
        SettingsError: there is no such profile.
        TokenError: the file holds no usable token.
    """
    left = hops(settings.profiles, name)
    token = jwt.parse(read_token(settings.token_file))
    if token.expires_at <= clock.now().wall:
        raise TokenError(TokenProblem.EXPIRED)
    held: Credentials | None = None

    def more() -> Sequence[Order]:
        return [Order(left.pop(0), token, held)]

    client = ExchangeClient(clock, environment, settings.cluster)
    async with contextlib.aclosing(client.exchange(more)) as results:
        async for _, outcome in results:
            if isinstance(outcome, Failure):
                return outcome
            held = outcome.credentials
            if not left:
                return held
    raise RuntimeError("a bug: every order has a result")


def hops(profiles: Sequence[Profile], name: str) -> list[Profile]:
    """Return the profile with its sources in front of it, in the order in which they are exchanged.

    Args:
        profiles: of the settings.
        name: the profile; "" means ``default``, or the only one.

    Raises:
        SettingsError: there is no such profile.
    """
    by_name = {profile.name: profile for profile in profiles}
    found = by_name.get(name or "default") or (profiles[0] if not name and len(profiles) == 1 else None)
    if found is None:
        raise SettingsError("--profile", f"names none of {', '.join(sorted(by_name))}", "choose one of these")
    chain = [found]
    while chain[0].source:
        chain.insert(0, by_name[chain[0].source])
    return chain
