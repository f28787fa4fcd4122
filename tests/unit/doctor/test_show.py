"""The report: the text for people, the JSON for programs, and the exit code."""

import io
import json
from collections.abc import Sequence

import pytest

from sidecar.doctor.result import Cause, Check, CheckResult, Finding, advice, broken, good, skipped, suspected, unknown
from sidecar.doctor.show import Report, as_json, as_text, exit_code
from sidecar.exits import Exit
from sidecar.iam.statements import Comparison

LATE = Cause("late", "it is late", "hurry", "date", Exit.REFUSED)
LOST = Cause("lost", "{thing} is lost", "look for {thing}", exit_code=Exit.ISSUER)
TIRED = Cause("tired", "no work is done", "see below", exit_code=Exit.NOT_GOOD, symptom=True)


def report(*results: CheckResult) -> Report:
    return [(Check(f"c{n}", f"check {n}", "", (), lambda _: good("")), each) for n, each in enumerate(results)]


def text_of(results: Sequence[CheckResult]) -> str:
    out = io.StringIO()
    as_text(report(*results), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([], 0),
        ([good("fine"), skipped("not here"), advice("so so", Finding(LATE))], 0),
        ([broken("bad", Finding(LOST)), broken("bad", Finding(LATE))], Exit.ISSUER),
        ([broken("bad", Finding(TIRED)), broken("bad", Finding(LATE))], Exit.REFUSED),
        ([broken("bad", Finding(TIRED))], Exit.NOT_GOOD),
        ([suspected("bad", Finding(LATE), Finding(TIRED)), broken("bad", Finding(LOST))], Exit.ISSUER),
    ],
)
def test_the_exit_code_is_that_of_the_first_exact_cause_that_is_not_a_symptom(
    results: list[CheckResult], code: int
) -> None:
    assert exit_code(report(*results)) == code


@pytest.mark.mutant("checks that could not run count as good")
def test_unknown_checks_are_not_proven_unless_a_check_that_needs_them_is_good() -> None:
    results = [unknown("closed"), unknown("closed"), good("fine")]
    last = "not proven: no fault found, but these could not be checked: check 0, check 1"
    out = io.StringIO()
    as_text(report(*results), out, {"c1"})
    assert (exit_code(report(*results), {"c1"}), out.getvalue().splitlines()[-1]) == (Exit.NOT_PROVEN, last)
    assert json.loads(as_json(report(*results), {"c1"}))["exit_code"] == Exit.NOT_PROVEN
    assert exit_code(report(*results), {"c2"}) == Exit.GOOD
    assert exit_code(report(*results, broken("bad", Finding(LOST))), {"c1"}) == Exit.ISSUER
    assert text_of(results).splitlines()[-1] == "no fault found"


def test_the_text_has_one_line_per_check_and_the_fix_of_a_broken_one() -> None:
    text = text_of([good("fine"), broken("gone", Finding(LOST, {"thing": "the key"}))])
    assert text.splitlines() == [
        "ok      check 0  fine",
        "broken  check 1  gone",
        "        - lost: the key is lost",
        "          fix: look for the key",
        "",
        "1 of 2 checks found a fault",
    ]


def test_what_was_compared_is_printed_and_an_end_or_a_control_character_is_visible() -> None:
    many = Comparison("OIDC provider", "", "ClientIDList", tuple(f"c{n}" for n in range(12)), ("sts",))
    odd = Comparison("statement 1", "StringEquals", "issuer.test:sub", ("a ", "\x1b[2J"), ())
    finding = Finding(LATE, {}, (odd, many))
    first, second = text_of([broken("refused", finding)]).splitlines()[2:4]
    assert first == (
        '          compared: statement 1: StringEquals issuer.test:sub: wanted "a " or "\\u001b[2J", found nothing'
    )
    assert second.endswith(' or "c9" or 2 more, found "sts"')
    (compared, _) = json.loads(as_json(report(broken("refused", finding))))["checks"][0]["causes"][0]["compared"]
    assert compared == odd._asdict() | {"wanted": list(odd.wanted), "found": []}


def test_a_fact_is_quoted_as_one_word_of_the_command_that_confirms() -> None:
    which = Cause("which", "{thing}", "{thing}", "look --at {thing} --in {place} --of {nothing}")
    finding = Finding(which, {"thing": "role/$(date)'/R", "place": "a:b/c", "nothing": ""})
    command = "look --at 'role/$(date)'\"'\"'/R' --in a:b/c --of "
    result = suspected("refused", finding, Finding(LATE))
    assert f"to confirm: {command}\n" in text_of([result])
    assert json.loads(as_json(report(result)))["checks"][0]["causes"][0]["to_confirm"] == command


def test_a_possible_cause_has_the_command_that_confirms_it() -> None:
    text = text_of([suspected("refused", Finding(LATE), Finding(LOST, {"thing": "it"}))])
    assert "possible causes, the most likely first" in text
    assert "to confirm: date" in text


def test_a_cause_is_described_once() -> None:
    text = text_of([broken("here", Finding(LATE)), broken("there", Finding(LATE))])
    assert text.count("it is late") == 1
    assert "- late: see above" in text


def test_without_a_fault_the_text_says_that_no_fault_was_found() -> None:
    assert text_of([good("fine")]).endswith("\nno fault found\n")


def test_json_has_the_same_content() -> None:
    document = json.loads(as_json(report(broken("gone", Finding(LOST, {"thing": "it"})))))
    assert document == {
        "checks": [{
            "name": "c0",
            "status": "broken",
            "evidence": "gone",
            "exact": True,
            "causes": [{"name": "lost", "what": "it is lost", "compared": [], "fix": "look for it", "to_confirm": ""}],
        }],
        "exit_code": 5,
    }  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_and_markup_in_evidence_is_printed_as_text() -> None:
    out = Terminal()
    as_text(report(broken("[bold]gone[/bold]", Finding(LATE))), out)
    assert "[bold]gone[/bold]" in out.getvalue()
