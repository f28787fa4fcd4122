"""Property: values that the schema accepts render to valid objects and profiles; an error names any other value."""

import functools
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings, strategies as st

from sidecar.settings.profiles import parse_profiles
from tests.charts.helm import CHART, HelmError, Json, render
from tests.charts.manifests import problems, validator
from tests.charts.test_accounts import BASE

ROLE = "arn:aws:iam::123456789012:role/Reader"
SCHEMA: Json = json.loads((CHART / "values.schema.json").read_text())
TAKEN = {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PAGER", "AWS_ROLE_ARN"}

# Each example runs one or two processes: a failure is shown as found, because shrinking would take minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

# Characters that a values file can have unescaped.
LETTERS = st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co"])

# --- valid values ---

# These include names that YAML reads as other types.
odd = st.sampled_from(["123", "true", "null", "1e3", "0x1f", "no", "1.5", "2026-11-24"])
names = odd | st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
profile_names = names.filter(lambda name: "." not in name)
regions = st.sampled_from(["", "eu-central-1", "us-gov-west-1"])
seconds = st.integers(900, 43200)
labels = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}\.example/[a-z]{1,9}", fullmatch=True), odd | st.just("x"), max_size=2
)


def matching(definition: str, key: str) -> st.SearchStrategy[str]:
    """Return texts that match the schema's pattern."""
    schema = SCHEMA["$defs"][definition]["properties"][key] if key else SCHEMA["$defs"][definition]
    made = st.from_regex(re.compile(schema["pattern"], re.ASCII), fullmatch=True)
    return made.filter(lambda text: schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 9999))


roles = matching("roleArn", "").filter(bool)
variables = st.lists(
    st.fixed_dictionaries(
        {"name": st.from_regex(r"[A-Z_]{1,12}", fullmatch=True)},
        optional={"value": st.text(LETTERS, max_size=9)},
    ),
    unique_by=lambda one: one["name"],
    max_size=2,
).filter(lambda made: not {one["name"] for one in made} & TAKEN)


@st.composite
def profiles(draw: st.DrawFn) -> Json:
    """Draw profiles of which at least one is served; some are chained to earlier ones."""
    made: Json = {}
    for name in draw(st.lists(profile_names, min_size=1, max_size=3, unique=True)):
        optional: dict[str, st.SearchStrategy[Any]] = {
            "region": regions,
            "sessionName": matching("profile", "sessionName"),
            "policy": st.just({"Version": "2012-10-17", "Statement": []}) | st.just('{"Version": "x"}'),
            "policyArns": st.just(["arn:aws:iam::aws:policy/ReadOnlyAccess"]),
        }
        chained = bool(made) and draw(st.booleans())
        if chained:
            optional |= {"externalId": matching("profile", "externalId"), "sessionTags": st.booleans()}
        optional["durationSeconds"] = st.integers(900, 3600) if chained else seconds
        profile = draw(st.fixed_dictionaries({"roleArn": roles}, optional=optional))
        if chained:
            profile["sourceProfile"] = draw(st.sampled_from(sorted(made)))
        made[name] = profile
    if len(made) > 1 and draw(st.booleans()):
        made[min(made)]["serve"] = False
    return made


accounts = st.fixed_dictionaries(
    {"name": names},
    optional={
        "create": st.booleans(),
        "audience": matching("audience", ""),
        "durationSeconds": seconds,
        "region": regions,
        "annotations": labels,
        "labels": labels,
    },
)


def _names_differ(values: Any) -> bool:  # noqa: ANN401 - of a chart
    # The ServiceAccount of the top-level roleArn has this name.
    return values.get("fullnameOverride") not in {one["name"] for one in values["serviceAccounts"]}


def _with_a_region(values: Json) -> Json:
    # The pod of `helm test` needs a region in every partition except aws.
    drawn = [values.get("roleArn", ""), *(one["roleArn"] for each in values["serviceAccounts"]
                                          for one in each["profiles"].values())]  # fmt: skip
    if all(role.startswith("arn:aws:") for role in drawn if role):
        return values
    return values | {"region": values.get("region") or "cn-north-1"}


whole: st.SearchStrategy[Json] = (
    st.fixed_dictionaries(
        {
            "serviceAccounts": st.lists(
                st.builds(lambda account, given: account | {"profiles": given}, accounts, profiles()),
                unique_by=lambda account: account["name"],
                min_size=1,
                max_size=2,
            )
        },
        optional={
            "roleArn": roles,
            "region": regions,
            "audience": matching("audience", ""),
            "durationSeconds": seconds,
            "runAsAssignedUser": st.booleans(),
            "extraEnv": variables,
            "commonLabels": labels,
            "bootstrap": st.fixed_dictionaries(
                {"mode": st.sampled_from(["none", "verify", "apply"])},
                optional={
                    "issuerCAConfigMap": names,
                    "extraArgs": st.lists(st.text(LETTERS, max_size=9), max_size=2),
                    "ttlSecondsAfterFinished": st.none() | st.integers(0, 10**6),
                },
            ),
            "test": st.fixed_dictionaries(
                {},
                optional={"enabled": st.booleans(), "waitSeconds": st.integers(1, 179), "extraEnv": variables},
            ),
            "image": st.fixed_dictionaries(
                {},
                optional={
                    "repository": st.sampled_from(["a", "r.example.org:5000/a/b-c_d"]),
                    "tag": odd,
                    "digest": st.just("sha256:" + "0" * 64),
                    "pullPolicy": st.sampled_from(["", "Always"]),
                },
            ),
            "imagePullSecrets": st.lists(st.fixed_dictionaries({"name": names}), max_size=1),
            "networkPolicy": st.fixed_dictionaries({"enabled": st.booleans()}),
            "podMonitor": st.fixed_dictionaries({"enabled": st.booleans()}),
            "fullnameOverride": names.filter(lambda name: "." not in name),
        },
    )
    .filter(_names_differ)
    .map(_with_a_region)
)


@pytest.mark.timeout(600)
@settings(max_examples=40, phases=PHASES)
@given(values=whole, release=names.filter(lambda name: "." not in name), namespace=st.sampled_from(["team", "123"]))
def test_valid_values_render_to_valid_objects(values: Json, release: str, namespace: str) -> None:
    objects = render(values, release=release, namespace=namespace)
    assert problems(objects) == []
    files = [each["data"]["profiles"] for each in objects if each["kind"] == "ConfigMap" and "profiles" in each["data"]]
    expected = {
        name: one["roleArn"] for account in values["serviceAccounts"] for name, one in account["profiles"].items()
    }
    found = {profile.name: profile.role_arn for text in files for profile in parse_profiles(text, "profiles", BASE)}
    assert found.keys() >= expected.keys()
    assert set(expected.values()) <= set(found.values())


# --- invalid values ---


def places(schema: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """Yield each path of the values with its schema; for lists and maps of the user, also the paths in one item."""
    for key, part in schema.get("properties", {}).items():
        full = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] | part if "$ref" in part else part
        if key in {"global", "aws-oidc-sidecar-lib"} or (path and key == "valueFrom"):
            continue
        yield (*path, key), full
        yield from places(full, (*path, key))
        item = full.get("items", {}).get("$ref", "")
        if item:
            yield from places(SCHEMA["$defs"][item.rpartition("/")[2]], (*path, key, 0))
        for shared in full.get("patternProperties", {}).values():
            yield from places(SCHEMA["$defs"][shared["$ref"].rpartition("/")[2]], (*path, key, "x"))


PLACES = list(places(SCHEMA))
scalars = st.booleans() | st.integers(-(10**6), 10**12) | st.text(LETTERS | st.just("\n"), max_size=20)
anything = scalars | st.lists(scalars, min_size=1, max_size=2) | st.fixed_dictionaries({"k": scalars})


@functools.cache
def _validator(index: int) -> Any:  # noqa: ANN401 - of a package without types
    return validator(PLACES[index][1] | {"$defs": SCHEMA["$defs"]})


def put(path: tuple[str | int, ...], bad: object, **others: Json) -> Json:
    """Return valid values, and these others, with an invalid one at this path."""
    # The rest of a list's item is valid; else the error would name another missing value.
    values: Json = {"roleArn": ROLE, **others}
    at: Any = values
    for key, after in itertools.pairwise(path):
        if isinstance(key, str):
            item: Json = {"name": "a"} if path[0] == "serviceAccounts" else {"name": "A"}
            fresh: Any = [item] if after == 0 else {"roleArn": ROLE} if key == "x" else {}
            at = at.setdefault(key, fresh)
        else:
            at = at[key]
    at[path[-1]] = bad
    return values


def is_bad(index: int, value: object) -> bool:
    # Python's $ also matches before a line feed at the end, where Helm's does not.
    return not _validator(index).is_valid(value) and not str(value).endswith("\n")


@pytest.mark.timeout(600)
@settings(max_examples=60, phases=PHASES)
@given(data=st.data())
def test_values_that_the_schema_rejects_are_named_in_the_error(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(PLACES) - 1))
    path = PLACES[index][0]
    bad = data.draw(anything.filter(lambda value: is_bad(index, value)))
    with pytest.raises(HelmError) as caught:
        render(put(path, bad))
    assert f"at '/{'/'.join(map(str, path))}" in str(caught.value), yaml.safe_dump(put(path, bad))


@pytest.mark.parametrize("path", [path for path, _ in PLACES], ids=str)
def test_a_null_is_empty_or_named_in_the_error(path: tuple[str | int, ...]) -> None:
    everything = {name: {"enabled": True} for name in ("networkPolicy", "podMonitor", "prometheusRule", "dashboard")}
    objects, message = list[Json](), ""
    try:
        objects = render(put(path, None, **everything))
    except HelmError as error:
        message = str(error)
    named = f"at '/{'/'.join(map(str, path))}'", f"{'.'.join(map(str, path))}: is n"
    assert objects or any(name in message for name in named), message
    assert problems(objects) == []


@pytest.mark.parametrize("path", [path for path, schema in PLACES if schema.get("type") == "object" and "properties" in
                                  schema], ids=str)  # fmt: skip
def test_an_unknown_key_is_named_in_the_error(path: tuple[str | int, ...]) -> None:
    with pytest.raises(HelmError, match="'lable' not allowed"):
        render(put((*path, "lable"), 1))
