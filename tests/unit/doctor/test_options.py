"""The form of `--call`."""

import pytest

from sidecar.doctor.options import Call, parse_call
from sidecar.errors import InvalidValueError

ARN = "arn:aws:s3:::bucket/a:b"


def test_a_call_has_an_action_and_a_resource() -> None:
    assert parse_call(f"s3:GetObject:{ARN}") == Call("s3:GetObject", ARN)
    assert parse_call("ssm:GetParameter") == parse_call("ssm:GetParameter:*") == Call("ssm:GetParameter", "*")


@pytest.mark.parametrize("text", ["", "s3", "s3:", "s3:Get*", "s3:GetObject:", "s3:GetObject:bucket", "S3:GetObject",
                                  "s3:GetObject:arn:a b"])  # fmt: skip
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="not SERVICE:ACTION"):
        parse_call(text)
