"""scripts/mutants.toml fits the code: each fault can still be made, each of its tests exists, the page is current."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts/mutants.py"


def ran(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout + done.stderr


def test_every_fault_has_its_place_once_and_the_page_of_invariants_is_made_from_them() -> None:
    assert ran("--check") == (0, "")


def test_every_invariant_has_three_faults_or_more() -> None:
    code, listed = ran("--list")
    assert code == 0
    counts = {f"I{number}": 0 for number in range(1, 11)}
    for line in listed.splitlines():
        counts[line.split()[0]] += 1
    assert min(counts.values()) >= 3, counts
