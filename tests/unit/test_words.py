"""The list of words that docs/contributing/style.md does not allow."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def words() -> ModuleType:
    spec = importlib.util.spec_from_file_location("words", ROOT / "scripts" / "words.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Whoever runs it mends the trust policy anew.", ["Whoever", "mends", "anew"]),
        ("It serves a fresh set; sets are whole.", ["fresh set", "sets are"]),
        ("a set of keys, the key set, a value that is set", []),
        ("The token is renewed.", ["renewed"]),
        ("The CA's certificate is renewed.", []),
        ("An amendment of ANEW_FLAG and mend-it", []),
    ],
)
def test_a_word_is_found_as_a_whole_word_in_any_case(words: ModuleType, line: str, found: list[str]) -> None:
    assert sorted(word for _, word, _ in words.hits(line)) == sorted(found)


def test_a_hit_has_its_line_and_the_words_to_write_instead(words: ModuleType) -> None:
    assert list(words.hits("one\nfor nobody\n")) == [(2, "nobody", "no one, or name what is missing")]
