"""For any answer of a daemon, the shim prints exactly the credentials in it, or nothing."""

import json

import pytest
from hypothesis import example, given, strategies as st

from sidecar.credentials.bodies import ecs_body, process_body
from sidecar.limits import PROCESS_MAX_BYTES
from sidecar.model import Credentials
from sidecar.shim import ShimError, _output

# The exchange accepts printable ASCII; the two characters that JSON escapes are not in AWS's alphabet.
WORDS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'), min_size=1, max_size=400
)
NEXT_CENTURIES = st.integers(3_000_000_000, 253_402_300_799)


@pytest.mark.rule("SDK 29")
@given(WORDS, WORDS, WORDS, NEXT_CENTURIES, st.sampled_from(["", "123456789012"]))
def test_the_shim_and_the_file_have_the_same_content(
    key: str, secret: str, token: str, expires_at: int, account: str
) -> None:
    made = Credentials(key, secret, token, expires_at, "arn:aws:iam::123456789012:role/Reader", account)
    assert _output(ecs_body(made).decode()).encode() == process_body(made)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0xFF), max_size=300))
@example('{"AccessKeyId":"a","SecretAccessKey":"b","Token":"c","Expiration":"2999-01-01T00:00:00Z"}')
@example('{"AccessKeyId":"a","SecretAccessKey":"b","Token":"c","Expiration":"2999","x":"}')
@example('{"AccessKeyId":"a":"SecretAccessKey","b":"Token","c":"Expiration","2999-01-01T00:00:00Z":"x"}')
def test_any_bytes_give_one_complete_answer_or_none(body: str) -> None:
    try:
        printed = _output(body)
    except ShimError:
        return
    fields = json.loads(printed)
    assert fields["Version"] == 1
    given_by_daemon = json.loads(body)
    for name, there in (("AccessKeyId",) * 2, ("SecretAccessKey",) * 2, ("SessionToken", "Token"), ("Expiration",) * 2):
        assert fields[name] == given_by_daemon[there] != ""


MEMBERS = st.dictionaries(
    st.sampled_from(["AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId", "RoleArn", "Code"]),
    st.one_of(WORDS, st.text(max_size=20), st.none(), st.integers(), st.just("2999-01-01T00:00:00Z")),
)


@pytest.mark.rule("SDK 29")
@given(MEMBERS)
def test_an_object_of_any_members_is_printed_as_json_parses_it_or_not_at_all(members: dict[str, object]) -> None:
    try:
        printed = _output(json.dumps(members))
    except ShimError:
        return
    assert len(printed) <= PROCESS_MAX_BYTES
    fields = json.loads(printed)
    names = {"AccessKeyId", "SecretAccessKey", "Expiration", "AccountId"} & members.keys()
    assert {name: fields[name] for name in names if name in fields or name != "AccountId"} == {
        name: members[name] for name in names if members[name]
    }
    assert fields["SessionToken"] == members["Token"]
