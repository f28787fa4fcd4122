"""Writes docs/images/demo.svg, a picture of what `make demo` prints: it runs the demo and records its output.

The picture refers to nothing outside of itself, such as a web font: a page with it makes no request to others.
"""

import io
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "images" / "demo.svg"
COLUMNS = 108


def main() -> int:
    """Run the demo and write the picture; return the demo's exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.local"],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin", "FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": str(COLUMNS)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        return done.returncode
    printed = [Text.from_ansi(line) for line in done.stdout.rstrip("\n").split("\n")]
    # The table behind the last claim repeats the claims.
    last = max(number for number, line in enumerate(printed) if line.plain.startswith("    ok "))
    lines = [Text("$ make demo", style="bold"), *printed[: last + 1], Text(), printed[-1]]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    for line in lines:
        console.print(line, overflow="ellipsis", no_wrap=True)
    style = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    style = re.sub(r"<!--.*?-->\n", "", style)
    svg = console.export_svg(title="aws-oidc-sidecar", code_format=style, unique_id="demo")
    PICTURE.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
