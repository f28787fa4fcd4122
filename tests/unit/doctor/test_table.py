"""What is true of every cause and every check."""

import re
import string
from pathlib import Path

import pytest

from sidecar.appenv_findings import RULES
from sidecar.doctor import verdict
from sidecar.doctor.table import CAUSES, CHECKS
from sidecar.doctor.verdict import Cause, Exit, Finding

TESTS = Path(__file__).parents[2]
FACTS = {
    "account", "audience", "audience_setting", "auth_token_file", "chained_role", "chained_role_name", "condition",
    "duration", "hint", "host", "issuer", "jwks_uri", "kid", "maximum", "namespace", "partition", "profile", "provider",
    "region", "right_partition", "role", "role_name", "service_account", "sts_host", "sts_port", "subject",
    "thumbprint",
    "token_file", "why",
}  # fmt: skip


def test_names_of_checks_and_of_causes_are_each_used_once() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_a_cause_says_what_is_wrong_and_how_to_mend_it(cause: Cause) -> None:
    assert re.fullmatch("[a-z_]+", cause.name)
    assert cause.what
    assert cause.mend
    assert not any(text.endswith(".") or "\n" in text for text in (cause.what, cause.mend, cause.decide))
    assert cause.exit_code in {code for name, code in vars(Exit).items() if name.isupper()}
    named = {
        name for text in (cause.what, cause.mend, cause.decide) for _, name, _, _ in string.Formatter().parse(text)
    }
    assert named - {None} <= FACTS


def test_what_is_only_ever_advice_has_no_exit_code() -> None:
    assert {cause.name for cause in CAUSES if not cause.exit_code} == {
        "audience_unusual", "ca_runs_out", "leaf_only", "thumbprint_is_leaf", "token_short",
    }  # fmt: skip


def test_every_fact_that_a_text_may_name_is_named_by_one() -> None:
    texts = [text for cause in CAUSES for text in (cause.what, cause.mend, cause.decide)]
    assert {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name} == FACTS - {
        "token_file"
    }


def test_every_cause_is_set_up_by_some_test() -> None:
    text = "".join(
        path.read_text() for part in ("functional", "cluster", "unit") for path in (TESTS / part).rglob("*.py")
    )
    # What stands in the application's environment has tests rule by rule, in test_env.
    of_rules = {rule.name for rule in RULES}
    unseen = {cause.name for cause in CAUSES if f'"{cause.name}"' not in text}
    assert unseen - of_rules == set()


def test_a_fact_that_is_not_known_stays_a_placeholder() -> None:
    finding = Finding(Cause("x", "the role {role_name} of {issuer}", "mend"), {"issuer": "https://issuer.test"})
    assert finding.text(finding.cause.what) == "the role <role-name> of https://issuer.test"


def test_a_suspicion_of_one_is_exact() -> None:
    one, two = Finding(Cause("one", "1", "1")), Finding(Cause("two", "2", "2"))
    assert verdict.suspected("seen", one).exact
    assert not verdict.suspected("seen", one, two).exact
