"""The shell blocks of the documentation, each with the mark that says how it is tested.

The mark is a comment in the line before the block; it does not show on the page:

    <!-- run: cluster -->     tests/cluster/test_documents.py runs all such blocks of a page, in order, in one shell
    <!-- run: here -->        tests/functional/test_documents.py does the same without a cluster
    <!-- run by: FILE -->     this file runs the same commands
    <!-- not run: REASON -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ("PAGES", "ROOT", "Block", "blocks", "script")

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for folder in ("docs", "charts", "examples") for path in (ROOT / folder).rglob("*.md")) + sorted(
    ROOT.glob("*.md")
)
_BLOCK = re.compile(
    r"^(?:(?P<pad> *)<!-- (?P<how>run|run by|not run): (?P<what>.+?) -->\n)?"
    r"^(?P<indent> *)```(?:sh|bash|shell)\n(?P<text>.*?)^(?P=indent)```",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A shell block.

    Attributes:
        page: the file.
        line: number of its fence.
        text: the commands, without the indentation of the fence.
        how: "run", "run by", "not run", or "" without a mark.
        what: "cluster" or "here", the path of a file, or the reason.
    """

    page: Path
    line: int
    text: str
    how: str
    what: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the shell blocks of a page."""
    content = page.read_text()
    for found in _BLOCK.finditer(content):
        text = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        line = content.count("\n", 0, found.start("indent")) + 1
        yield Block(page, line, text, found["how"] or "", found["what"] or "")


def script(page: Path, where: str) -> str:
    """Return the blocks of a page that run in this place, as one bash script; "" for none."""
    return "\n".join(block.text for block in blocks(page) if (block.how, block.what) == ("run", where))
