"""What the rows say of what was measured, and that a missed bar ends the run with 1."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.bench import __main__ as bench, endpoint, quota
from tests.bench.daemons import Context
from tests.bench.endpoint import Point
from tests.bench.job import Result
from tests.bench.rows import Bar, Row
from tests.bench.table import plain


def result(answers: int, cpu: float = 0.6, **errors: int) -> Result:
    return Result(answers, errors, 1.0, 0.3, 0.6, 0.9, cpu, "")


def rows(ours: Point, go: Point) -> list[Row]:
    return list(endpoint.rows_of("32 kept", {"ours": [ours], "Go": [go]}, fills=True, bar=1.2, limit=""))


def test_the_bar_is_a_ratio_of_rates() -> None:
    row = rows(Point(result(120), 1.0), Point(result(100), 1.0))[0]
    assert (row.ratio, row.bar) == (1.2, Bar(">= 1.2 x Go", met=True))
    row = rows(Point(result(119), 1.0), Point(result(100), 1.0))[0]
    assert row.bar == Bar(">= 1.2 x Go", met=False)


def test_where_a_core_was_not_full_the_ratio_by_cpu_counts_too_and_the_lower_one_is_taken() -> None:
    row = rows(Point(result(100), 1.0), Point(result(100, cpu=0.99), 0.5))[0]
    assert (row.ratio, row.bar) == (0.5, Bar(">= 1.2 x Go, the lower of two ratios", met=False))
    assert row.beside.endswith("CLIENT-BOUND")
    row = rows(Point(result(100), 0.5), Point(result(100), 1.0))[0]
    assert (row.ratio, row.bar) == (1.0, Bar(">= 1.2 x Go, the lower of two ratios", met=False))


def test_a_row_says_that_others_had_the_core_and_that_there_were_errors() -> None:
    row = rows(Point(result(100, wrong=3), 0.7), Point(result(100), 1.0))[0]
    assert row.ours.endswith("3 ERRORS DISTURBED")


@pytest.mark.parametrize("error", ["cut", "wrong", "late", "ECONNREFUSED"])
def test_one_error_of_any_kind_misses_the_bar(error: str) -> None:
    clean = endpoint.correctness([result(100), result(100)])
    assert clean.bar is not None
    assert clean.bar.met
    spoilt = endpoint.correctness([result(100), result(100, **{error: 1})])
    assert spoilt.bar is not None
    assert not spoilt.bar.met


def test_under_the_quota_one_error_or_one_answer_over_a_second_misses_the_bar() -> None:
    def met(*results: Result) -> bool:
        bar = quota.row_of(list(results)).bar
        assert bar is not None
        return bar.met

    assert met(result(100), replace(result(100), worst_ms=1_000.0))
    assert not met(result(100), replace(result(100), worst_ms=1_001.0))
    assert not met(result(100), result(100, late=1))


def one_row(*, met: bool) -> dict[str, bench.Section]:
    row = Row("A section", "a thing", "1 ms", "Go 2 ms", 0.5, Bar("<= 3 ms", met))
    return {"only": lambda _: iter((row,))}


def test_a_missed_bar_ends_the_run_with_1_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([], one_row(met=True)) == 0
    assert "1 of 1 bars met" in capsys.readouterr().out
    assert bench.main([], one_row(met=False)) == 1
    assert "MISSED: A section: a thing: <= 3 ms" in capsys.readouterr().out


def test_sections_get_what_was_asked_for() -> None:
    seen: list[tuple[int, bool]] = []

    def section(context: Context) -> Iterator[Row]:
        seen.append((context.rounds, context.quick))
        yield from ()

    for arguments in ([], ["--quick"], ["--rounds", "7"]):
        bench.main(arguments, {"only": section, "other": lambda _: iter(())})
    bench.main(["--only", "other"], {"only": section, "other": lambda _: iter(())})
    assert seen == [(5, False), (2, True), (7, False)]


@pytest.mark.parametrize("arguments", [["--document", "--quick"], ["--rounds", "0"], ["--only", "nothing"]])
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        bench.main(arguments, one_row(met=True))
    assert refused.value.code == 2


def test_plain_columns_stand_under_their_heads() -> None:
    lines = plain([Row("S", "what", "1 ms", "Go 2 ms", 0.5, Bar("<= 3 ms", met=True))]).splitlines()
    assert lines[1:3] == ["", "S"]
    assert [lines[0].index(word) for word in ("what", "ours", "beside", "ratio", "bar")] == [
        lines[3].index(word) for word in ("what", "1 ms", "Go", "0.50", "met")
    ]
