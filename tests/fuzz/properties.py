"""Properties that hold for any input: of the result of an exchange, and of a profiles file."""

import math
import re

from sidecar.credentials.bodies import format_time
from sidecar.credentials.timing import hold
from sidecar.errors import Failure, Outcome, SettingsError
from sidecar.limits import (
    CHAINED_DURATION_MAX_SECONDS,
    DURATION_MAX_SECONDS,
    DURATION_MIN_SECONDS,
    EXPIRATION_SLACK_SECONDS,
)
from sidecar.model import AssumeRoleRequest, AssumeRoleResult, OnChange, Profile
from sidecar.settings.profile_keys import KEYS
from sidecar.settings.profiles import parse_profiles
from tests.helpers.clock import FakeClock
from tests.helpers.values import ROLE_ARN, credentials, profile, token

__all__ = ("BASE", "CLOCK", "REQUESTS", "read_profiles", "result_is_good")

CLOCK = FakeClock()
SECRET_TOKEN = "eyJzZWNyZXQ.eyJ0b2tlbg.c2lnbmF0dXJl"
SOURCE = credentials(7)
REQUESTS = (
    AssumeRoleRequest(profile("reader"), token(SECRET_TOKEN)),
    AssumeRoleRequest(profile("chained"), token(SECRET_TOKEN), source=SOURCE),
)


def result_is_good(request: AssumeRoleRequest, result: AssumeRoleResult | Failure) -> None:
    """Raise AssertionError if a property of a result does not hold."""
    text = repr(result)
    secrets = [request.token.raw, SOURCE.secret_access_key, SOURCE.session_token]
    if isinstance(result, AssumeRoleResult):
        _givenare_good(request, result)
        given = result.credentials
        # A value as short as a word may be part of any text.
        secrets += [one for one in (given.secret_access_key, given.session_token) if len(one) >= 16]
    else:
        assert result.outcome is not Outcome.SUCCESS
        assert result.hint
        assert "\n" not in result.hint
    assert not any(secret in text for secret in secrets), "a secret in repr"


def _givenare_good(request: AssumeRoleRequest, result: AssumeRoleResult) -> None:
    given = result.credentials
    for text in (given.access_key_id, given.secret_access_key, given.session_token):
        assert text, "an empty field"
        assert text.isascii()
        assert text.isprintable()
    requested = request.profile.duration_seconds
    assert math.isfinite(result.lifetime_seconds)
    assert 0 < result.lifetime_seconds <= requested, "a lifetime that was not requested"
    assert result.requested_mono == CLOCK.mono
    assert hold(result).stop_mono <= CLOCK.mono + requested, "served for longer than requested"
    # A client uses the expiration alone: one that it cannot parse, or that is years ahead, is as bad as none.
    assert format_time(given.expires_at)
    assert given.expires_at <= CLOCK.wall + requested + EXPIRATION_SLACK_SECONDS, "an expiration that was not requested"
    assert given.role_arn == ROLE_ARN
    # SDKs make host names from it (account-based endpoints).
    assert re.fullmatch(r"([0-9]{12})?", given.account_id), "not an account"


BASE = profile()
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
ARN = re.compile(r"arn:aws[a-z0-9-]*:iam::[0-9]{12}:role/\S+")
# A value shorter than this may be a word of a message by chance.
TELLING_CHARS = 20


def read_profiles(text: str) -> tuple[Profile, ...] | None:
    """Return the profiles of a file, or None if it is rejected; raise AssertionError if a property does not hold."""
    try:
        profiles = parse_profiles(text, "profiles", BASE)
    except SettingsError as error:
        text_of_error = str(error)
    else:
        _profiles_are_good(profiles)
        return profiles
    assert not any(value in text_of_error for value in _values(text)), "the file's values in an error"
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
    """Return the values of the file, without names of profiles and words of the parser, which messages may quote."""
    headers = [line for line in text.splitlines() if "[" in line]
    pairs = [line.partition("=")[::2] for line in text.splitlines()]
    values = [value.strip() for key, value in pairs if key.strip().lower() != "source_profile"]
    return [
        value
        for value in values
        if len(value) >= TELLING_CHARS
        and not any(value in word for word in (*KEYS, *OnChange))
        and not any(value in header for header in headers)
    ]
