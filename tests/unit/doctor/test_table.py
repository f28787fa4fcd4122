"""Properties of all causes and all checks."""

import re
import string
from pathlib import Path

import pytest

from sidecar.application.rules import NEEDS, RULES
from sidecar.doctor import result
from sidecar.doctor.result import Cause, Finding
from sidecar.doctor.table import CAUSES, CHECKS
from sidecar.exits import Exit

TESTS = Path(__file__).parents[2]
FACTS = {
    "account", "action", "addresses", "ahead", "audience", "audience_setting", "auth_token_file", "aws_audience",
    "calling_role", "calling_role_name", "chained_role", "chained_role_name", "claim", "code", "condition",
    "discovery_url", "duration", "event", "found", "hint", "host", "issuer", "issuer_host", "jwks_uri", "key",
    "kid", "location", "maximum", "namespace", "partition", "pattern", "policies", "port", "principals", "profile",
    "provider", "proxy", "region", "registered", "resource", "role", "role_name", "seconds", "service_account",
    "status", "sts_host", "sts_port", "subject", "thumbprint", "token_file", "token_keys", "trail_region", "url",
    "what", "whose", "why",
}  # fmt: skip


def test_names_of_checks_and_of_causes_are_unique() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_a_cause_says_what_is_wrong_and_how_to_fix_it(cause: Cause) -> None:
    assert re.fullmatch("[a-z_]+", cause.name)
    assert cause.what
    assert cause.fix
    assert not any(text.endswith(".") or "\n" in text for text in (cause.what, cause.fix, cause.to_confirm))
    assert cause.exit_code in {code for name, code in vars(Exit).items() if name.isupper()}
    named = {
        name for text in (cause.what, cause.fix, cause.to_confirm) for _, name, _, _ in string.Formatter().parse(text)
    }
    assert named - {None} <= FACTS


def test_causes_that_are_always_advice_have_no_exit_code() -> None:
    of_some_sdks = {rule.name for rule in (*NEEDS, *RULES) if rule.for_some}
    assert {cause.name for cause in CAUSES if not cause.exit_code} - of_some_sdks == {
        "audience_unusual", "ca_runs_out", "leaf_only", "thumbprint_is_leaf", "token_short", "trust_open",
    }  # fmt: skip


def test_every_fact_is_used_by_some_text() -> None:
    texts = [text for cause in CAUSES for text in (cause.what, cause.fix, cause.to_confirm)]
    assert {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name} == FACTS - {
        "token_file"
    }


def test_every_cause_is_set_up_by_some_test() -> None:
    text = "".join(
        path.read_text() for part in ("functional", "cluster", "unit") for path in (TESTS / part).rglob("*.py")
    )
    # test_env tests the rules of the application's environment.
    of_rules = {rule.name for rule in RULES}
    unseen = {cause.name for cause in CAUSES if f'"{cause.name}"' not in text}
    assert unseen - of_rules == set()


def test_a_fact_that_is_not_known_stays_a_placeholder() -> None:
    finding = Finding(Cause("x", "the role {role_name} of {issuer}", "fix"), {"issuer": "https://issuer.test"})
    assert finding.text(finding.cause.what) == "the role <role-name> of https://issuer.test"


@pytest.mark.mutant("a denial with several possible causes is reported as exact")
def test_a_possible_cause_is_not_exact_even_if_it_is_the_only_one() -> None:
    one, two = Finding(Cause("one", "1", "1")), Finding(Cause("two", "2", "2"))
    assert not result.suspected("seen", one).exact
    assert not result.suspected("seen", one, two).exact
