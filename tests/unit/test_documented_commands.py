"""Shell blocks of the documentation: each is run by a test or says why not, and all are safe to paste as a whole."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.documents import PAGES, ROOT, Block, blocks

DESTROYS = re.compile(
    r"\b(rm|rmdir|unlink|shred|truncate|uninstall)\b|\bdelete(-[a-z-]+)?\b|--(destroy|prune(-thumbprints)?)\b"
    r"|update-assume-role-policy|rollout restart"
)
SETS = re.compile(r"(umask|export|cd|set)\b|[A-Z_a-z]+=")


def lines_of(block: str) -> Iterator[str]:
    """Yield each command without its comment; continued lines are joined."""
    whole = ""
    for line in block.splitlines():
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        whole = f"{whole} {text}".strip()
        # An open quote or parenthesis, a pipe, && or a backslash.
        if whole.endswith(("\\", "|", "&&", "||")) or whole.count("'") % 2 or whole.count("(") > whole.count(")"):
            whole = whole.removesuffix("\\")
            continue
        if whole:
            yield whole
        whole = ""


def unsafe(block: str) -> list[str]:
    """Return the lines that delete something although an earlier command of the block may have failed."""
    found = []
    before = False
    for line in lines_of(block):
        # Within a line, && prevents the rest from running.
        first, *others = re.split(r";(?!;)", line)
        if (before and DESTROYS.search(first)) or any(map(DESTROYS.search, others)):
            found.append(line)
        before = before or not SETS.match(line)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_destroyed_after_a_failure(page: Path) -> None:
    assert [line for block in blocks(page) for line in unsafe(block.text)] == []


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page)], ids=str)
def test_each_block_is_run_or_says_why_not(block: Block) -> None:
    match block.how:
        case "run":
            assert block.what in {"cluster", "here"}
        case "run by":
            assert (ROOT / block.what).is_file()
        case "not run":
            assert len(block.what.split()) > 2, "a reason is a sentence"
        case _:
            pytest.fail("put a mark of tests/helpers/documents.py before this block")


@pytest.mark.parametrize(
    ("block", "count"),
    [
        ("doctor --token-file token; rm token", 1),
        ("make-it\n# wait\nbootstrap --destroy  # gone", 1),
        ("get > old.json\naws iam update-assume-role-policy \\\n  --policy-document file://new.json", 1),
        ("doctor --token-file token &&\n  rm token", 0),
        ("umask 077\nNAME=x\nkubectl delete pod x", 0),
    ],
)
def test_unsafe_lines_are_found(block: str, count: int) -> None:
    assert len(unsafe(block)) == count
