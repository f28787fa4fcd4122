"""Runs the targets on all seeds, so that they keep working without the fuzzer."""

import importlib
from pathlib import Path

import pytest

from tests.fuzz.engine import CORPUS, TARGETS

SEEDS = [path for name in TARGETS for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.mutant("the body of a request with Upgrade is read as the next request")
@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.parent.name}/{seed.name}")
def test_a_seed_breaks_no_property(seed: Path) -> None:
    importlib.import_module(f"tests.fuzz.fuzz_{seed.parent.name}").check(seed.read_bytes())


def test_every_target_has_seeds_and_they_are_small() -> None:
    assert {seed.parent.name for seed in SEEDS} == set(TARGETS)
    assert {path.stem.removeprefix("fuzz_") for path in CORPUS.parent.glob("fuzz_*.py")} == set(TARGETS)
    assert sum(seed.stat().st_size for seed in SEEDS) < 32_768
