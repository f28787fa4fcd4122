import json
from dataclasses import replace

import pytest

from sidecar.credentials.bodies import BodyError, BodyProblem, ecs_body, format_time, process_body
from sidecar.limits import BODY_MAX_BYTES, PROCESS_MAX_BYTES
from sidecar.model import Credentials
from tests.helpers.values import ROLE_ARN, credentials


@pytest.mark.rule("SDK 14")
def test_the_ecs_body_has_the_keys_that_sdks_read() -> None:
    made = credentials(1, expires_at=1_800_003_600)
    assert json.loads(ecs_body(made)) == {
        "AccessKeyId": made.access_key_id,
        "SecretAccessKey": made.secret_access_key,
        "Token": made.session_token,
        "Expiration": "2027-01-15T09:00:00Z",
        "AccountId": "123456789012",
        "RoleArn": ROLE_ARN,
    }


def test_the_process_body_has_an_integer_version_a_session_token_and_a_newline() -> None:
    made = credentials(1, expires_at=1_800_003_600)
    body = process_body(made)
    assert body.endswith(b"}\n")
    assert json.loads(body) == {
        "Version": 1,
        "AccessKeyId": made.access_key_id,
        "SecretAccessKey": made.secret_access_key,
        "SessionToken": made.session_token,
        "Expiration": "2027-01-15T09:00:00Z",
        "AccountId": "123456789012",
    }


def test_bodies_are_compact() -> None:
    assert b" " not in ecs_body(credentials())
    assert b" " not in process_body(credentials())


def test_an_unknown_account_is_left_out_not_sent_empty() -> None:
    body = json.loads(ecs_body(replace(credentials(), account_id="", role_arn="")))
    assert set(body) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}


@pytest.mark.rule("SDK 14")
@pytest.mark.mutant("a body with an empty field is rendered")
@pytest.mark.parametrize("name", ["access_key_id", "secret_access_key", "session_token"])
def test_credentials_with_an_empty_field_have_no_body(name: str) -> None:
    partial = replace(credentials(), **{name: ""})  # type: ignore[arg-type]  # the field is chosen by name
    for write in (ecs_body, process_body):
        with pytest.raises(BodyError) as caught:
            write(partial)
        assert caught.value.problem is BodyProblem.INCOMPLETE


@pytest.mark.rule("SDK 15")
@pytest.mark.parametrize("expires_at", [-1, 253_402_300_800])
def test_credentials_with_an_impossible_expiration_have_no_body(expires_at: int) -> None:
    with pytest.raises(BodyError) as caught:
        ecs_body(credentials(1, expires_at))
    assert caught.value.problem is BodyProblem.INVALID_EXPIRATION


def _sized(write: object, size: int) -> Credentials:
    made = credentials()
    assert callable(write)
    return replace(made, session_token="t" * (size - len(write(replace(made, session_token="t"))) + 1))


@pytest.mark.rule("SDK 14")
def test_a_body_may_have_the_maximum_size_and_not_a_byte_more() -> None:
    assert len(ecs_body(_sized(ecs_body, BODY_MAX_BYTES))) == BODY_MAX_BYTES
    with pytest.raises(BodyError) as caught:
        ecs_body(_sized(ecs_body, BODY_MAX_BYTES + 1))
    assert caught.value.problem is BodyProblem.TOO_LARGE
    assert "ttt" not in str(caught.value)


def test_process_output_stays_under_the_buffer_of_go() -> None:
    assert len(process_body(_sized(process_body, PROCESS_MAX_BYTES))) == PROCESS_MAX_BYTES == 8_191
    with pytest.raises(BodyError) as caught:
        process_body(_sized(process_body, PROCESS_MAX_BYTES + 1))
    assert caught.value.problem is BodyProblem.TOO_LARGE


@pytest.mark.rule("SDK 15")
@pytest.mark.parametrize(
    ("epoch", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_800_003_601, "2027-01-15T09:00:01Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
    ],
)
def test_times_are_whole_seconds_in_utc(epoch: int, text: str) -> None:
    assert format_time(epoch) == text


@pytest.mark.parametrize("epoch", [-1, 253_402_300_800])
def test_times_outside_four_digit_years_raise(epoch: int) -> None:
    with pytest.raises(ValueError, match="1970 to 9999"):
        format_time(epoch)
