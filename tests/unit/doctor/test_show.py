"""The report: what a person reads, what a program reads, and the exit code."""

import io
import json
from collections.abc import Sequence

import pytest

from sidecar.doctor.show import Report, as_json, as_text, exit_code
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, advice, broken, good, skipped, suspected

LATE = Cause("late", "it is late", "hurry", "date", Exit.REFUSED)
LOST = Cause("lost", "{thing} is lost", "look for {thing}", exit_code=Exit.ISSUER)
TIRED = Cause("tired", "nobody works", "see below", exit_code=Exit.NOT_GOOD, symptom=True)


def report(*verdicts: Verdict) -> Report:
    return [(Check(f"c{n}", f"check {n}", "", (), lambda _: good("")), each) for n, each in enumerate(verdicts)]


def text_of(verdicts: Sequence[Verdict]) -> str:
    out = io.StringIO()
    as_text(report(*verdicts), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 0),
        ([good("fine"), skipped("not here"), advice("so so", Finding(LATE))], 0),
        ([broken("bad", Finding(LOST)), broken("bad", Finding(LATE))], Exit.ISSUER),
        ([broken("bad", Finding(TIRED)), broken("bad", Finding(LATE))], Exit.REFUSED),
        ([broken("bad", Finding(TIRED))], Exit.NOT_GOOD),
        ([suspected("bad", Finding(LATE), Finding(TIRED)), broken("bad", Finding(LOST))], Exit.ISSUER),
    ],
)
def test_the_exit_code_is_that_of_the_first_cause_that_is_certain_and_no_symptom(
    verdicts: list[Verdict], code: int
) -> None:
    assert exit_code(report(*verdicts)) == code


def test_a_person_reads_one_line_for_each_link_and_the_mend_of_a_broken_one() -> None:
    text = text_of([good("fine"), broken("gone", Finding(LOST, {"thing": "the key"}))])
    assert text.splitlines() == [
        "ok      check 0  fine",
        "broken  check 1  gone",
        "        - lost: the key is lost",
        "          mend: look for the key",
        "",
        "1 of 2 links is broken",
    ]


def test_what_is_not_certain_comes_with_what_decides_it() -> None:
    text = text_of([suspected("refused", Finding(LATE), Finding(LOST, {"thing": "it"}))])
    assert "one of these, most likely first" in text
    assert "decide: date" in text


def test_a_cause_that_was_told_is_not_told_again() -> None:
    text = text_of([broken("here", Finding(LATE)), broken("there", Finding(LATE))])
    assert text.count("it is late") == 1
    assert "- late, as above" in text


def test_a_chain_that_holds_says_so() -> None:
    assert text_of([good("fine")]).endswith("\nthe chain holds\n")


def test_a_program_reads_the_same() -> None:
    document = json.loads(as_json(report(broken("gone", Finding(LOST, {"thing": "it"})))))
    assert document == {
        "checks": [{
            "name": "c0",
            "state": "broken",
            "evidence": "gone",
            "exact": True,
            "causes": [{"name": "lost", "what": "it is lost", "mend": "look for it", "decide": ""}],
        }],
        "exit_code": 5,
    }  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_and_no_markup_of_strangers() -> None:
    out = Terminal()
    as_text(report(broken("[bold]gone[/bold]", Finding(LATE))), out)
    assert "[bold]gone[/bold]" in out.getvalue()
