"""Writes the documents that are made from the code; ``--check`` fails where one has drifted.

python scripts/generate.py           write them
python scripts/generate.py --check   exit 7 and name the ones that differ
"""

import sys
from pathlib import Path

from sidecar.credentials.lifecycle import TABLE
from sidecar.credentials.states import Phase
from sidecar.options import OPTIONS
from sidecar.profiles import KEYS

ROOT = Path(__file__).parent.parent
NOTE = "<!-- Made by `make generate` from {source}; edit that. -->\n\n"
EXIT_DRIFT = 7


def configuration() -> str:
    """Return the page of all settings."""
    lines = [
        "# Settings of `aws-oidc-sidecar run`\n",
        NOTE.format(source="`sidecar/options.py`")
        + "A flag wins over its `AWS_OIDC_SIDECAR_*` variable, which wins over "
        "the variables that others made known. A variable that is set but empty counts as not set. "
        "`aws-oidc-sidecar run --check-config` prints what is in force and where each value comes from.\n",
        "| flag | variables | default | what it is |",
        "|---|---|---|---|",
    ]
    for option in OPTIONS:
        variables = ", ".join(f"`{name}`" for name in (option.variable, *option.others))
        default = f"`{option.default}`" if option.default else "(empty)"
        lines.append(f"| `--{option.name}` | {variables} | {default} | {option.help.replace('|', chr(92) + '|')} |")
    lines += [
        "\n## Keys of a profile\n",
        (
            "`--profiles-file` names a file in the syntax of `~/.aws/config`: a section `[default]` or `[profile <name>]` "  # noqa: E501
            "for each role. What a profile does not say comes from the settings above. A profile with `source_profile` "
            "is chained: its role is assumed with that profile's set. The file is read again when it changes; one that "
            "cannot be used is reported, and the profiles stay as they were. A profile that changes starts anew.\n"
        ),
        "| key | what it is |",
        "|---|---|",
        *(f"| `{name}` | {key.help} |" for name, key in KEYS.items()),
    ]
    return "\n".join(lines) + "\n"


def lifecycle() -> str:
    """Return the page of the state table, with its diagram."""
    lines = [
        "# The life of one profile's credentials\n",
        NOTE.format(source="`sidecar/credentials/lifecycle.py`")
        + "Every (phase, event) that can happen, and every phase "
        "that it may lead to. Anything else raises. `sidecar/credentials/lifecycle.py` states the laws.\n",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {Phase.WAITING}",
    ]
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for (phase, event), row in TABLE.items():
        for target in row.targets:
            if target is not phase:
                arrows.setdefault((phase, target), []).append(event.__name__)
    lines += [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in arrows.items()]
    lines += ["```\n", "| phase | event | handler | may lead to |", "|---|---|---|---|"]
    lines += [
        f"| {phase} | {event.__name__} | `{row.handle.__name__.strip('_')}` | {', '.join(row.targets)} |"
        for (phase, event), row in TABLE.items()
    ]
    return "\n".join(lines) + "\n"


PAGES = {"docs/configuration.md": configuration, "docs/design/lifecycle.md": lifecycle}


def main(arguments: list[str]) -> int:
    """Write or check all pages; return the exit code."""
    drifted = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if arguments == ["--check"]:
            drifted.append(name)
        else:
            path.write_text(text, encoding="utf-8")
    for name in drifted:
        print(f"{name} differs from the code: run `make generate`", file=sys.stderr)
    return EXIT_DRIFT if drifted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
