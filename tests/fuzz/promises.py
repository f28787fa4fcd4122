"""What holds whatever the bytes are: for the result of an exchange, and for a profiles file."""

import math
import re

from sidecar.credentials.timing import hold
from sidecar.endpoint.wire import format_time
from sidecar.errors import Failure, Outcome, SettingsError
from sidecar.limits import CHAINED_DURATION_MAX_SECONDS, DURATION_MAX_SECONDS, DURATION_MIN_SECONDS
from sidecar.model import Grant, Order, Profile
from sidecar.profiles import KEYS, parse_profiles
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, credentials, profile, token

__all__ = ("BASE", "CLOCK", "ORDERS", "read_profiles", "result_is_good")

CLOCK = FakeClock()
SECRET_TOKEN = "eyJzZWNyZXQ.eyJ0b2tlbg.c2lnbmF0dXJl"
SOURCE = credentials(7)
ORDERS = (
    Order(profile("reader"), token(SECRET_TOKEN)),
    Order(profile("chained"), token(SECRET_TOKEN), source=SOURCE),
)


def result_is_good(order: Order, result: Grant | Failure) -> None:
    """Raise AssertionError where a promise is broken."""
    text = repr(result)
    secrets = [order.token.raw, SOURCE.secret_access_key, SOURCE.session_token]
    if isinstance(result, Grant):
        _grant_is_good(order, result)
        given = result.credentials
        # What is as short as a word may be part of any text.
        secrets += [one for one in (given.secret_access_key, given.session_token) if len(one) >= 16]
    else:
        assert result.outcome is not Outcome.SUCCESS
        assert result.hint
        assert "\n" not in result.hint
    assert not any(secret in text for secret in secrets), "a secret in repr"


def _grant_is_good(order: Order, grant: Grant) -> None:
    given = grant.credentials
    for text in (given.access_key_id, given.secret_access_key, given.session_token):
        assert text, "an empty field"
        assert text.isascii()
        assert text.isprintable()
    asked = order.profile.duration_seconds
    assert math.isfinite(grant.life_seconds)
    assert 0 < grant.life_seconds <= asked, "a life that was not asked for"
    assert grant.asked_mono == CLOCK.mono
    assert hold(grant).stop_mono <= CLOCK.mono + asked, "served for longer than was asked for"
    # A client goes by the expiry alone: one that it cannot read, or that lies years ahead, is as bad as none.
    assert format_time(given.expires_at)
    assert given.role_arn == ROLE_ARN
    # SDKs make host names of it (account-based endpoints).
    assert re.fullmatch(r"([0-9]{12})?", given.account_id), "not an account"


BASE = profile()
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
ARN = re.compile(r"arn:aws[a-z0-9-]*:iam::[0-9]{12}:role/\S+")
# A value shorter than this may be a word of a message by chance.
TELLING_CHARS = 20


def read_profiles(text: str) -> tuple[Profile, ...] | None:
    """Return the profiles of a file, or None where it is refused; raise AssertionError where a promise is broken."""
    try:
        profiles = parse_profiles(text, "profiles", BASE)
    except SettingsError as error:
        refusal = str(error)
    else:
        _profiles_are_good(profiles)
        return profiles
    assert not any(value in refusal for value in _values(text)), "the file's values in an error"
    return None


def _profiles_are_good(profiles: tuple[Profile, ...]) -> None:
    names: list[str] = []
    for one in profiles:
        assert NAME.fullmatch(one.name)
        assert len(one.name) <= 46
        assert ARN.fullmatch(one.role_arn)
        longest = CHAINED_DURATION_MAX_SECONDS if one.source else DURATION_MAX_SECONDS
        assert DURATION_MIN_SECONDS <= one.duration_seconds <= longest
        assert not one.source or one.source in names, "a source comes before what is chained to it"
        assert one.source or not (one.external_id or one.session_tags)
        names.append(one.name)
    assert len(set(names)) == len(names)
    assert any(one.served for one in profiles)


def _values(text: str) -> list[str]:
    """Return what stands right of a ``=``, but for names of profiles, which messages are meant to say."""
    headers = [line for line in text.splitlines() if "[" in line]
    pairs = [line.partition("=")[::2] for line in text.splitlines()]
    values = [value.strip() for key, value in pairs if key.strip().lower() != "source_profile"]
    return [
        value
        for value in values
        if len(value) >= TELLING_CHARS and value not in KEYS and not any(value in header for header in headers)
    ]
