"""The rows of the table, and the exit status 1 after a missed bar."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import __main__ as bench, endpoint, page, quota
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


def test_the_lower_of_two_ratios_is_used_if_a_core_was_not_full() -> None:
    row = rows(Point(result(100), 1.0), Point(result(100, cpu=0.99), 0.5))[0]
    assert (row.ratio, row.bar) == (0.5, Bar(">= 1.2 x Go, the lower of two ratios", met=False))
    assert row.beside.endswith("CLIENT-BOUND")
    row = rows(Point(result(100), 0.5), Point(result(100), 1.0))[0]
    assert (row.ratio, row.bar) == (1.0, Bar(">= 1.2 x Go, the lower of two ratios", met=False))


def test_a_row_shows_that_the_machine_was_disturbed_and_that_there_were_errors() -> None:
    row = rows(Point(result(100, wrong=3), 0.7), Point(result(100), 1.0))[0]
    assert row.ours.endswith("3 ERRORS DISTURBED")


@pytest.mark.parametrize("error", ["cut", "wrong", "late", "ECONNREFUSED"])
def test_one_error_of_any_kind_misses_the_bar(error: str) -> None:
    clean = endpoint.correctness([result(100), result(100)])
    assert clean.bar is not None
    assert clean.bar.met
    with_error = endpoint.correctness([result(100), result(100, **{error: 1})])
    assert with_error.bar is not None
    assert not with_error.bar.met


def test_under_the_quota_one_error_or_one_response_over_a_second_misses_the_bar() -> None:
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


def test_the_page_is_made_from_the_record_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LONG_REPORT", str(tmp_path / "report"))
    bench.main(["--rounds", "3"], one_row(met=False))
    case, about = (json.loads(line) for line in (tmp_path / "report").read_text().splitlines())
    assert (case["case"], case["result"], about["rounds"]) == ("only", "failed", "3")
    (tmp_path / "records").mkdir()
    record = {"commit": "c" * 40, "date": "2026-11-27", "about": about, "cases": {"only": case}}
    (tmp_path / "records/bench.json").write_text(json.dumps(record))
    assert page.main([], tmp_path) == page.main(["--check"], tmp_path) == 0
    written = (tmp_path / "performance.md").read_text()
    assert "Commit cccccccccccc, 2026-11-27, " in written
    assert "| a thing | 1 ms | Go 2 ms | 0.50 | MISSED: <= 3 ms |" in written
    assert "0 of 1 bars met" in written
    (tmp_path / "performance.md").write_text(written.replace("1 ms", "2 ms"))
    assert page.main(["--check"], tmp_path) == 7
    assert "run make generate" in capsys.readouterr().out


def test_sections_get_the_settings_of_the_command_line() -> None:
    seen: list[tuple[int, bool]] = []

    def section(context: Context) -> Iterator[Row]:
        seen.append((context.rounds, context.quick))
        yield from ()

    for arguments in ([], ["--quick"], ["--rounds", "7"]):
        bench.main(arguments, {"only": section, "other": lambda _: iter(())})
    bench.main(["--only", "other"], {"only": section, "other": lambda _: iter(())})
    assert seen == [(5, False), (2, True), (7, False)]


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--only", "nothing"]])
def test_invalid_arguments_are_rejected(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments, one_row(met=True))
    assert ended.value.code == 2


def test_plain_columns_are_aligned_with_their_headings() -> None:
    lines = plain([Row("S", "what", "1 ms", "Go 2 ms", 0.5, Bar("<= 3 ms", met=True))]).splitlines()
    assert lines[1:3] == ["", "S"]
    assert [lines[0].index(word) for word in ("what", "ours", "compared with", "ratio", "bar")] == [
        lines[3].index(word) for word in ("what", "1 ms", "Go", "0.50", "met")
    ]
