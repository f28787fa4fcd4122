"""The runner of continuous integration, with a small table; and the properties of the real table."""

import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TABLE: dict[str, Any] = tomllib.loads((ROOT / "scripts/ci.toml").read_text())
Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start the runner with these sections."""

    def start(sections: str, limit: int = 50) -> "subprocess.Popen[str]":
        head = f'goal = 40\nlimit = {limit}\nenvironment = {{ VENV = "{Path(sys.executable).parents[1]}" }}\n'
        (tmp_path / "table.toml").write_text(head + sections)
        command = [sys.executable, "-u", str(ROOT / "scripts/ci.py"), "--table", str(tmp_path / "table.toml")]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def ran(started: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., tuple[int, str]]:
    """Run it to its end; return the exit status and the output."""

    def run(sections: str, limit: int = 50) -> tuple[int, str]:
        process = started(sections, limit)
        printed, _ = process.communicate(timeout=50)
        return process.returncode, printed

    return run


def section(name: str, body: str, budget: int = 9) -> str:
    return f"[[section]]\nname = '{name}'\nbudget = {budget}\n{body}\n"


def rows(printed: str) -> dict[str, str]:
    """Return the table at the end: {name: the text after its two figures}."""
    lines = printed.partition("=== time\n")[2].splitlines()[1:]
    return {line[:60].strip(): " ".join(line[60:].split()[2:]) for line in lines}


def test_a_section_over_its_budget_is_marked_and_does_not_fail(ran: Callable[..., tuple[int, str]]) -> None:
    status, printed = ran(section("quick", "run = 'true'") + section("slow", "run = 'sleep 1.2'", budget=1))
    assert status == 0
    assert "=== quick: 0 s of 9 s\n" in printed
    assert "=== slow: 1 s of 1 s OVER\n" in printed
    assert rows(printed) == {"quick": "", "slow": "OVER", "total": ""}


def test_a_section_that_fails_fails_the_run_and_a_needed_one_ends_it(ran: Callable[..., tuple[int, str]]) -> None:
    bad = "run = 'echo its own words; false; true'"
    status, printed = ran(
        section("bad", bad) + section("next", "run = 'true'\nneeded = true")
        + section("needed", f"{bad}\nneeded = true") + section("last", "run = 'true'")
    )  # fmt: skip
    assert status == 1
    assert "its own words\n" in printed
    assert rows(printed) == {"bad": "FAILED", "next": "", "needed": "FAILED", "total": ""}


def test_a_section_that_passes_the_second_time_is_marked(ran: Callable[..., tuple[int, str]]) -> None:
    status, printed = ran(
        section("late", "run = 'false'\nagain = 'true'") + section("good", "run = 'true'\nagain = 'false'")
    )
    assert (status, rows(printed)) == (0, {"late": "failed at first", "good": "", "total": ""})
    assert ran(section("bad", "run = 'false'\nagain = 'false'"))[0] == 1


def test_a_failure_in_the_background_is_printed_and_fails_the_run(ran: Callable[..., tuple[int, str]]) -> None:
    behind = section("behind", "behind = 'lane'\nrun = 'echo its own words; exit 3'")
    status, printed = ran(behind + section("front", "run = 'echo in front'"))
    assert status == 1
    assert printed.index("in front") < printed.index("its own words")
    assert rows(printed)["behind"] == "FAILED, behind"


def test_the_sections_of_a_lane_run_in_order_and_a_wait_ends_the_lane(
    ran: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    first = section("first", f"behind = 'lane'\nrun = 'sleep 0.5; touch {tmp_path}/first'")
    second = section("second", f"behind = 'lane'\nrun = 'test -e {tmp_path}/first; touch {tmp_path}/second'")
    wait, alone = section("wait", "wait = true"), section("alone", f"run = 'test -e {tmp_path}/second'")
    status, printed = ran(first + second + wait + alone)
    assert status == 0, printed


def test_failed_tests_run_a_second_time_alone_and_both_runs_are_printed(
    ran: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    flaky, broken = tmp_path / "test_flaky.py", tmp_path / "test_broken.py"
    flaky.write_text(
        "from pathlib import Path\n"
        "def test_good(): pass\n"
        "def test_flaky():\n"
        "    if not (mark := Path(__file__).with_name('mark')).exists():\n"
        "        mark.touch()\n"
        "        assert not 'the first time'\n"
    )
    broken.write_text("def test_broken(): assert not 'every time'\n")
    status, printed = ran(
        section("front", f"tests = '{flaky}'", budget=60)
        + section("behind", f"behind = 'lane'\ntests = '{broken}'", budget=60)
    )
    assert status == 1
    assert re.findall(r"^\d.* in ", printed, re.MULTILINE) == [
        "1 failed, 1 passed in ", "1 passed, 1 deselected in ", "1 failed in ", "1 failed in ",
    ]  # fmt: skip
    assert rows(printed)["front"] == "failed at first"
    assert rows(printed)["behind"] == "FAILED, behind"


def test_a_failed_command_in_the_arguments_of_tests_fails_the_section(
    ran: Callable[..., tuple[int, str]],
) -> None:
    status, printed = ran(section("bad", "tests = '--collect-only $(exit 3)'"), limit=9)
    assert (status, rows(printed)["bad"], "::" in printed) == (1, "FAILED", False)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_started_processes_and_prints_the_times(
    started: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, number: signal.Signals
) -> None:
    # Each with a child, so that not only the shell must end.
    forever = f"sleep 600 & echo $! >>{tmp_path}/pids; sleep 600"
    process = started(section("behind", f"behind = 'lane'\nrun = '{forever}'") + section("front", f"run = '{forever}'"))
    until = time.perf_counter() + 30
    while len(pids := _lines(tmp_path / "pids")) < 2:
        assert time.perf_counter() < until
        time.sleep(0.02)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=40)
    assert process.returncode == 128 + number
    assert all(gone(int(pid)) for pid in pids)
    assert rows(printed) == {"behind": "did not end, behind", "front": "did not end", "total": ""}


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def test_at_the_limit_the_run_fails_and_prints_the_times(ran: Callable[..., tuple[int, str]]) -> None:
    status, printed = ran(section("endless", "run = 'sleep 600'"), limit=1)
    assert status == 1
    assert "=== given up after 1 s\n" in printed
    assert rows(printed) == {"endless": "did not end", "total": ""}


def test_a_failure_of_a_needed_section_ends_those_in_the_background(
    ran: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    behind = section("behind", f"behind = 'lane'\nrun = 'echo $$ >{tmp_path}/pids; sleep 600'")
    bad = f"run = 'until test -s {tmp_path}/pids; do sleep 0.05; done; false'\nneeded = true"
    status, printed = ran(behind + section("bad", bad))
    assert status == 1
    assert gone(int(_lines(tmp_path / "pids")[0]))
    assert rows(printed)["behind"] == "did not end, behind"


def test_the_budgets_add_up_to_at_most_the_goal_and_the_goal_is_below_the_limit() -> None:
    assert sum(row["budget"] for row in TABLE["section"] if "behind" not in row) <= TABLE["goal"]
    assert TABLE["goal"] < TABLE["limit"] < 90 * 60


def test_each_file_of_cluster_tests_is_run() -> None:
    """Each file is in a section of continuous integration or in a long suite; bash expands the braces."""
    given = " ".join(row.get("tests", "") for row in TABLE["section"]).replace("$(", "").replace(")", "")
    given += " ".join(
        suite.get("tests", "") for suite in tomllib.loads((ROOT / "scripts/long.toml").read_text()).values()
    )
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {given}"], capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/cluster").glob("test_*.py")}
    assert files - set(words) == set()
    assert {word for word in words if word.startswith("tests/cluster/")} - files == set()
