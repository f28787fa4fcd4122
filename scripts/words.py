"""Finds words that docs/contributing/style.md does not allow, in the tracked text files.

python scripts/words.py             checks all files; exit status 1 if there is a hit
python scripts/words.py PATH ...    checks these files and directories
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RULES: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
# "renewal" is the standard word for certificates, leases and records.
_FIELD = {"renew(s|ed|ing|als?)?": re.compile(r"certificate|kubeadm certs|\bleaf\b|\bCA\b|record|lease", re.IGNORECASE)}


def hits(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, match and advice for each word that is not allowed."""
    for number, line in enumerate(text.splitlines(), 1):
        # The name of a test is a sentence.
        line = line.replace("_", " ") if re.match(r"\s*(async )?def test_", line) else line  # noqa: PLW2901
        for word, instead in RULES["words"].items():
            for found in re.finditer(rf"(?<![\w-])(?:{word})(?![\w-])", line, re.IGNORECASE):
                if not (word in _FIELD and _FIELD[word].search(line)):
                    yield number, found[0], instead


def main(paths: Sequence[str]) -> int:
    """Print each hit as ``path:line: word; use: advice``, and return 1 where there is one."""
    command = ["git", "ls-files", "--", *paths]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603
    found = False
    for name in listed:
        path = ROOT / name
        if name in RULES["except"] or path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, word, instead in hits(text):
            found = True
            print(f"{name}:{number}: {word}; use: {instead}")
    return int(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
