"""The shell blocks of the documentation that are marked `run: here`, as they are written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.documents import PAGES, ROOT, script

RUN = [page for page in PAGES if script(page, "here")]


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run_as_they_are_written(page: Path, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script(page, "here")],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
