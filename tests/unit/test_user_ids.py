"""The user and group ids in this repository are above 10,000: kube-score and checkov report lower ids.

A low id can be that of a user of the node. 65532, which other images share, is avoided too: inotify instances are
limited for each user id of a node, 128 by default, and pods of those images use them up.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = 19841
LOWEST = 10_000
SET = re.compile(r"\b(?:runAsUser|runAsGroup|fsGroup)[\"']?: *[\"']?(\d+)")
FOLDERS = ("charts", "examples", "docs", "tests/charts/golden")
FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".yaml", ".tpl", ".json", ".md", ".cel"} and SET.search(path.read_text())
)


def test_the_checked_files_include_the_library_the_example_and_a_rendered_chart() -> None:
    found = {str(path.relative_to(ROOT)) for path in FILES}
    library = "charts/aws-oidc-sidecar-lib/templates/_container.tpl"
    assert {library, "examples/pod.yaml", "tests/charts/golden/minimal.yaml"} <= found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_manifest_sets_an_id_below_10000(path: Path) -> None:
    ids = [int(number) for number in SET.findall(path.read_text())]
    assert [number for number in ids if number <= LOWEST or number == 65532] == []


def test_the_image_the_chart_and_the_example_have_the_same_id() -> None:
    users = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = re.findall(r'^USER: Final = "(\d+)"$', (ROOT / "image/assemble.py").read_text(), re.MULTILINE)
    assert (users, names) == ([f"{OWN}:{OWN}"], [str(OWN)])
    for file in ("charts/aws-oidc-sidecar-lib/templates/_container.tpl", "examples/pod.yaml"):
        assert SET.findall((ROOT / file).read_text())[:2] == [str(OWN)] * 2, file
