"""README tables and schemas are generated from values.yaml, and every value has a description and a use."""

import importlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.helm import CASES, CHART, LIBRARY
from tests.charts.manifests import validator
from tests.cluster.layout import CHECKOUT

# The scripts are not a package, so their names have no types here.
_docs: Any = importlib.import_module("scripts.chart_docs")
BEGIN, END, CHARTS = _docs.BEGIN, _docs.END, _docs.CHARTS
ValuesError, made, read_values = _docs.ValuesError, _docs.made, _docs.read_values

charts = pytest.mark.parametrize("chart", [CHECKOUT / name for name in CHARTS], ids=lambda path: path.name)


@charts
def test_the_generated_files_are_up_to_date(chart: Path) -> None:
    for path, text in made(chart).items():
        assert path.read_text() == text, "run `python scripts/chart_docs.py`"


@charts
def test_drift_is_found(chart: Path, tmp_path: Path) -> None:
    copy = tmp_path / chart.name
    shutil.copytree(chart, copy, symlinks=True)
    file = copy / "values.yaml"
    file.write_text(file.read_text().replace("fullnameOverride: ", "otherOverride: ").replace("cluster: ", "shoot: "))
    assert all(path.read_text() != text for path, text in made(copy).items())


@charts
def test_the_schema_is_valid_and_accepts_the_defaults(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    validator(schema).validate(yaml.safe_load((chart / "values.yaml").read_text()))


@charts
def test_the_schema_has_only_keys_with_a_description(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())
    described = {".".join(value.path) for value in read_values((chart / "values.yaml").read_text()).values}
    added = {"global", "aws-oidc-sidecar-lib"} if chart == CHART else {"global"}
    assert set(_leaves(schema)) == described | added
    assert all(part["additionalProperties"] is False for part in _sections(schema))


def _sections(schema: dict[str, Any]) -> list[dict[str, Any]]:
    below = [part for part in schema["properties"].values() if "properties" in part]
    return [schema, *(section for part in below for section in _sections(part))]


def _leaves(schema: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, part in schema["properties"].items():
        found += _leaves(part, f"{prefix}{name}.") if "properties" in part else [prefix + name]
    return found


@charts
def test_every_value_is_used_by_a_template(chart: Path) -> None:
    text = "".join(path.read_text() for path in (*chart.glob("templates/*"), *LIBRARY.glob("templates/*")))
    for value in read_values((chart / "values.yaml").read_text()).values:
        # The templates of the library read their settings from a dict, and an image is passed as one value.
        place = "image" if value.path[-2:-1] == ("image",) else value.path[-1]
        assert re.search(rf"\.{place}\b", text), value.path


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_the_readme_and_the_schema_agree_on_every_case(case: Path) -> None:
    validator(json.loads((CHART / "values.schema.json").read_text())).validate(yaml.safe_load(case.read_text()))


def test_both_charts_have_the_same_defaults_where_both_have_a_value() -> None:
    main, library = (yaml.safe_load((path / "values.yaml").read_text()) for path in (CHART, LIBRARY))
    same = main.keys() & library.keys()
    assert {"image", "resources", "audience", "runAsAssignedUser", "extraEnv", "region"} <= same
    assert {key: main[key] for key in same} == {key: library[key] for key in same}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n", "line 1: a has no description"),
        ("a:\n  # -- B.\n  b: 1\n  c: 2\n", "line 4: a.c has no description"),
        ("a: {b: 1}\n", "line 1: a has no description"),
        ("# -- A.\n# @schema\n# minimum: 1\na: 1\n", "line 4: @schema has no end"),
    ],
)
def test_a_value_without_a_description_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValuesError, match=re.escape(message)):
        read_values(text)


def test_a_readme_without_markers_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("# -- A.\na: 1\n")
    (tmp_path / "Chart.yaml").write_text("name: x\n")
    (tmp_path / "README.md").write_text(BEGIN)
    with pytest.raises(ValuesError, match=r"README.md: has no markers"):
        made(tmp_path)
    (tmp_path / "README.md").write_text(BEGIN + END)
    assert len(made(tmp_path)) == 2
