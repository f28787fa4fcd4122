from dataclasses import FrozenInstanceError

import pytest

from sidecar.credentials.states import InputChanged, ProfileState
from sidecar.credentials.timing import hold
from sidecar.model import AssumeRoleRequest, account_of
from tests.helpers.values import assume_role_result, credentials, profile, token

SECRETS = (
    credentials().access_key_id,
    credentials().secret_access_key,
    credentials().session_token,
    token().raw,
)


@pytest.mark.mutant("a token shows in its repr", "a secret key shows in its repr")
@pytest.mark.parametrize(
    "value",
    [
        credentials(), token(), assume_role_result(), hold(assume_role_result()),
        AssumeRoleRequest(profile(), token()), InputChanged(token()),
        ProfileState(exchange_input=token(), held=hold(assume_role_result())),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_no_text_form_of_a_value_shows_a_secret(value: object) -> None:
    for shown in (repr(value), str(value), f"{value}", "%s" % (value,)):  # noqa: UP031 - one way of many to show it
        assert not any(secret in shown for secret in SECRETS)


def test_credentials_cannot_be_changed_field_by_field() -> None:
    with pytest.raises(FrozenInstanceError):
        credentials().session_token = "other"  # type: ignore[misc] # what the test is about


@pytest.mark.parametrize(
    ("arn", "account"),
    [
        ("arn:aws:sts::123456789012:assumed-role/Role/session", "123456789012"),
        ("arn:aws-cn:iam::123456789012:role/a/b", "123456789012"),
        ("not an arn", ""),
        ("arn:aws:iam", ""),
        ("arn:aws:sts::evil.example/:assumed-role/R/s", ""),
    ],
)
def test_the_account_is_the_fifth_field_of_an_arn(arn: str, account: str) -> None:
    assert account_of(arn) == account
