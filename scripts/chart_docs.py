"""Writes the README tables and the values.schema.json of each chart from its values.yaml.

python scripts/chart_docs.py           write the files
python scripts/chart_docs.py --check   exit 7 and print the names of files that differ

The comments above a key of values.yaml are the source, in the notation of the helm-docs and helm-schema tools:

``# --`` and the lines after it are the description. A key with a description is one row; a key without one is a
    section, and each key in it needs a description.
``# @schema``, lines of YAML, ``# @schema``: members of the key's JSON schema other than its type, which is that of the
    default, and its description.
``# @schema.root``, the same for the whole file; each of its ``$defs`` with described properties gets its own table.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

__all__ = ("CHARTS", "EXIT_DRIFT", "ValuesError", "made", "main", "read_values")

Json = dict[str, Any]
ROOT: Final = Path(__file__).parent.parent
CHARTS: Final = ("charts/aws-oidc-sidecar", "charts/aws-oidc-sidecar-lib")
EXIT_DRIFT: Final = 7
BEGIN: Final = "<!-- Made by `scripts/chart_docs.py` from `values.yaml`; edit that. -->"
END: Final = "<!-- end -->"
_KEY: Final = re.compile(r"( *)([A-Za-z0-9_.-]+):(?: .*)?")
_TYPES: Final = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


class ValuesError(Exception):
    """A values.yaml that cannot be documented; the text has the line and the error."""


class Value(NamedTuple):
    """One documented key.

    Attributes:
        path: the keys from the top of the file.
        default: the default in the file.
        text: the description, on one line.
        schema: the key's JSON schema in the file.
    """

    path: tuple[str, ...]
    default: object
    text: str
    schema: Json


class Values(NamedTuple):
    """The content of a values.yaml: its keys in their order, and the schema of the file."""

    values: list[Value]
    root: Json


class _Comment(NamedTuple):
    text: str
    schema: Json
    root: Json


def read_values(text: str) -> Values:
    """Parse a values.yaml.

    Raises:
        ValuesError: a key has no description, or a block does not end.
    """
    defaults, values, root = yaml.safe_load(text), list[Value](), Json()
    above: list[str] = []
    path: list[str] = []
    inside = -1  # the indentation of a key with a description, during its lines
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            above.append(line.lstrip().removeprefix("#").removeprefix(" "))
            continue
        found = _KEY.fullmatch(line)
        comment = _comment(above, number)
        root |= comment.root
        above = []
        if not found or (0 <= inside < len(found[1])):
            continue
        indent = len(found[1])
        inside = -1
        path[indent // 2 :] = [found[2]]
        default = defaults
        for key in path:
            default = default[key]
        if comment.text:
            values.append(Value(tuple(path), default, comment.text, comment.schema))
            inside = indent
        elif not isinstance(default, dict) or not default or line.rstrip()[-1] != ":":
            raise ValuesError(f"line {number}: {'.'.join(path)} has no description; write one after # --")
    root |= _comment(above, text.count("\n")).root
    return Values(values, root)


def _comment(lines: list[str], number: int) -> _Comment:
    """Parse the comment above a line."""
    description: list[str] = []
    blocks: dict[str, list[str]] = {"@schema": [], "@schema.root": []}
    block = ""
    described = False
    for line in lines:
        if block:
            if line.strip() == block:
                block = ""
            else:
                blocks[block].append(line)
        elif line.strip() in blocks:
            block = line.strip()
        elif line.startswith("-- ") or described:
            described = True
            description.append(line.removeprefix("-- ").strip())
    if block:
        raise ValuesError(f"line {number}: {block} has no end; write it again after the block")
    schema, root = (yaml.safe_load("\n".join(blocks[name])) or {} for name in blocks)
    return _Comment(" ".join(description), schema, root)


def schema_of(values: Values, dependencies: list[str]) -> Json:
    """Return the JSON schema, draft 2020-12; it allows these keys, those of dependencies, and `global`."""
    top = _object({})
    for value in values.values:
        at = top
        for key in value.path[:-1]:
            at = at["properties"].setdefault(key, _object({}))
        at["properties"][value.path[-1]] = _leaf(value)
    # Helm adds the values of dependencies, and `global` if the chart is a dependency.
    top["properties"] |= {name: {"type": "object"} for name in (*dependencies, "global")}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | top | values.root


def _object(properties: Json) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _leaf(value: Value) -> Json:
    decided = value.schema.keys() & {"type", "enum", "$ref"}
    kind: Json = {} if decided else {"type": _TYPES[type(value.default)]}
    return {"description": value.text} | kind | value.schema | {"default": value.default}


def tables(values: Values) -> str:
    """Return the README's tables."""
    lines = ["| value | default | what |", "|---|---|---|"]
    lines += [
        f"| `{'.'.join(value.path)}` | `{json.dumps(value.default)}` | {_cell(value.text)} |" for value in values.values
    ]
    for name, definition in values.root.get("$defs", {}).items():
        rows = list(_rows(definition))
        if rows:
            lines += ["", f"Keys of a `{name}`:", "", "| key | what |", "|---|---|", *rows]
    return "\n".join(lines)


def _rows(definition: Json) -> Iterator[str]:
    required = definition.get("required", [])
    for key, schema in definition.get("properties", {}).items():
        if "description" in schema:
            needed = " Required." if key in required else ""
            default = f" Default: `{json.dumps(schema['default'])}`." if "default" in schema else ""
            yield f"| `{key}` | {_cell(schema['description'])}{needed}{default} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def made(chart: Path) -> dict[Path, str]:
    """Return {file: text} of the generated files of a chart.

    Raises:
        ValuesError: its values.yaml cannot be documented, or its README has no markers for the tables.
    """
    try:
        values = read_values((chart / "values.yaml").read_text("utf-8"))
    except ValuesError as error:
        raise ValuesError(f"{chart.name}/values.yaml: {error}") from None
    about = yaml.safe_load((chart / "Chart.yaml").read_text("utf-8"))
    schema = schema_of(values, [one["name"] for one in about.get("dependencies", [])])
    readme = chart / "README.md"
    before, begin, rest = readme.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValuesError(f"{chart.name}/README.md: has no markers for the tables; write {BEGIN} and {END}")
    return {
        chart / "values.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        readme: f"{before}{BEGIN}\n\n{tables(values)}\n\n{END}{after}",
    }


def main(arguments: list[str]) -> int:
    """Write or check the files; return the exit code."""
    drifted = []
    for name in CHARTS:
        for path, text in made(ROOT / name).items():
            if path.exists() and path.read_text("utf-8") == text:
                continue
            if arguments == ["--check"]:
                drifted.append(path.relative_to(ROOT))
            else:
                path.write_text(text, "utf-8")
    for path in drifted:
        print(f"{path} differs from values.yaml: run `python scripts/chart_docs.py`", file=sys.stderr)
    return EXIT_DRIFT if drifted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
