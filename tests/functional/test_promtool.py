"""promtool checks a real scrape, and the queries in the documents."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.local.process import Sidecar

PROMTOOL = shutil.which("promtool")
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "metrics.md"

pytestmark = pytest.mark.skipif(
    PROMTOOL is None and not os.environ.get("CI"), reason="promtool (Debian: prometheus) is not installed"
)


def promtool(*arguments: str, text: str | None = None) -> str:
    """Return its output, which is empty without a finding; in CI it must be installed."""
    assert PROMTOOL is not None, "install promtool (Debian: prometheus)"
    done = subprocess.run([PROMTOOL, *arguments], input=text, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def test_a_real_scrape_is_clean(run_sidecar: Callable[..., Sidecar]) -> None:
    sidecar = run_sidecar()
    sidecar.wait_for("credentials_refreshed")
    assert sidecar.get().status == 200
    scrape = sidecar.admin("/metrics")
    assert scrape.status == 200
    assert promtool("check", "metrics", text=scrape.body.decode()) == ""


def test_every_query_of_the_document_is_promql(tmp_path: Path) -> None:
    queries = re.findall(r"```promql\n(.+?)\n```", DOCUMENT.read_text(encoding="utf-8"))
    assert len(queries) > 10
    rules = [{"alert": f"Query{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")  # JSON is YAML
    promtool("check", "rules", str(path))
