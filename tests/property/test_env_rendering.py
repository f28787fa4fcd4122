"""For any value, each format of ``aws-oidc-sidecar env`` returns exactly this value or rejects it.

The readers are a shell, docker's rules for ``--env-file``, and two YAML parsers followed by the kubelet's rules for
``$(NAME)``.
"""

import io
import re
import subprocess

import pytest
import yaml
from hypothesis import example, given, settings, strategies as st
from ruamel.yaml import YAML

from sidecar.application.no_proxy import NO_PROXY, exempt_for_all
from sidecar.application.variables import FORMATS, format_variables, variables
from sidecar.errors import SettingsError

# No variable and no argument of a process can contain a NUL.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
# Characters that the readers treat in a special way.
LETTERS = "'\"\\$(){}`!#=%*~&|;<> \t\n\r\v\f\x1b\x7f\x85\u2028\ufeff\ufffe:-é😀aN1,"
AWKWARD = st.lists(st.sampled_from([*LETTERS, "$(A)", "$$", "$("]), max_size=12).map("".join)
VALUES = st.dictionaries(st.sampled_from(("A", "AWS_REGION", "no_proxy")), TEXTS | AWKWARD, min_size=1)


def by_docker(text: str) -> dict[str, str]:
    """Read as docker/cli's pkg/kvfile does, in the version that removes quotes."""
    read = {}
    for line in text.removesuffix("\n").split("\n"):
        name, _, value = line.removesuffix("\r").partition("=")
        read[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    return read


def by_kubelet(value: str) -> str:
    """Expand as k8s.io/kubernetes/third_party/forked/golang/expansion does where every name is a variable."""
    return re.sub(r"\$(?:(\$)|\([^)]*\))", lambda found: found[1] or "<the value of another>", value)


# The rows of the table in that package's tests that have a dollar sign.
@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_<the value of another>"),
        ("f000-$$VAR_A", "f000-$VAR_A"),
        ("$$$$$$(VAR_A)", "$$$(VAR_A)"),
        ("$$$$$$$(VAR_A)", "$$$<the value of another>"),
        ("foo$(VAR_Awhoops!", "foo$(VAR_Awhoops!"),
        ("$?_boo_$!", "$?_boo_$!"),
        ("Afoobarzab$", "Afoobarzab$"),
    ],
)
def test_the_reference_expands_as_kubernetes_does(text: str, expanded: str) -> None:
    assert by_kubelet(text) == expanded


@settings(max_examples=60)
@given(wanted=VALUES)
def test_a_shell_gets_every_value(wanted: dict[str, str]) -> None:
    # The variables of a program count, not the variables of the shell itself.
    done = subprocess.run(
        ["sh", "-c", 'eval "$(cat)"; exec env -0'],
        input=format_variables(wanted, "shell").encode(),
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    seen = dict(entry.split("=", 1) for entry in done.stdout.decode().removesuffix("\0").split("\0"))
    assert {name: seen[name] for name in wanted} == wanted
    assert done.stderr == b""


@given(wanted=VALUES)
@example(wanted={"A": "'in quotes'"})
@example(wanted={"A": "'"})
def test_dotenv_returns_a_value_or_rejects_it(wanted: dict[str, str]) -> None:
    rejected = [
        name
        for name, value in wanted.items()
        if re.search(r"[\n\r]", value) or re.fullmatch(r"(['\"]).*\1", value, re.DOTALL)
    ]
    if rejected:
        with pytest.raises(SettingsError) as caught:
            format_variables(wanted, "dotenv")
        assert caught.value.where == rejected[0]
    else:
        assert by_docker(format_variables(wanted, "dotenv")) == wanted


@given(wanted=VALUES)
@example(wanted={"A": "$(A)", "no_proxy": "$$"})
def test_kubernetes_gets_every_value(wanted: dict[str, str]) -> None:
    text = format_variables(wanted, "kubernetes")
    assert text.isascii()
    for parsed in (yaml.safe_load(text), YAML(typ="safe").load(io.StringIO(text))):
        assert {entry["name"]: by_kubelet(entry["value"]) for entry in parsed} == wanted
        assert all(entry.keys() == {"name", "value"} for entry in parsed)


@given(wanted=st.lists(AWKWARD, min_size=2, max_size=2), form=st.sampled_from(sorted(FORMATS)))
def test_a_value_that_is_not_utf_8_is_rejected_by_every_format(wanted: list[str], form: str) -> None:
    with pytest.raises(SettingsError, match="UTF-8"):
        format_variables({"AWS_REGION": "\udcff".join(wanted)}, form)


@pytest.mark.rule("SDK 5")
@given(upper=st.none() | AWKWARD, lower=st.none() | AWKWARD)
def test_no_exemption_is_lost_and_none_is_duplicated(upper: str | None, lower: str | None) -> None:
    environment = {name: text for name, text in zip(NO_PROXY, (upper, lower), strict=True) if text is not None}
    wanted = variables(profile="default", port=9841, auth_token_file="/x", region="", environment=environment)
    assert wanted["NO_PROXY"] == wanted["no_proxy"]
    exempt = wanted["NO_PROXY"].split(",")
    assert len(set(exempt)) == len(exempt)
    # White space between names is no separator for most clients, and ends the list for others.
    had = {entry for text in environment.values() for part in text.split(",") for entry in part.split()}
    assert set(exempt) == had | {"127.0.0.1", "localhost", "::1"}
    assert exempt_for_all(wanted["NO_PROXY"])
