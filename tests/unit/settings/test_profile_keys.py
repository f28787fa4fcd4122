"""Keys of the AWS config file that are not supported: ignored where they change nothing, else rejected with a fix."""

from sidecar.settings.profile_keys import FIXES, IGNORED, KEYS, misleads


def test_a_key_is_supported_ignored_or_rejected_with_a_fix() -> None:
    assert not set(KEYS) & IGNORED
    assert not set(KEYS) & set(FIXES)
    assert not IGNORED & set(FIXES)


def test_a_key_misleads_unless_its_value_is_what_happens_anyway() -> None:
    assert not misleads("output", "json", "/token")
    assert not misleads("web_identity_token_file", "/token", "/token")
    assert misleads("web_identity_token_file", "/other", "/token")
    assert misleads("sts_regional_endpoints", "legacy", "/token")
    assert misleads("outputs", "json", "/token")
