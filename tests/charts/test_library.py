"""The library's templates: the container of ``examples/pod.yaml``, all names, and the keys of a dict."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar import __version__
from sidecar.application.variables import variables
from sidecar.limits import ADMIN_PORT, ENDPOINT_PORT
from sidecar.settings.options import OPTIONS
from tests.charts.helm import CHART, LIBRARY, HelmError, Json, helm, load, render
from tests.charts.manifests import one
from tests.cluster.layout import CHECKOUT

ROOT = CHECKOUT
SCHEMA: Json = json.loads((LIBRARY / "values.schema.json").read_text())
SETTINGS = {option.variable for option in OPTIONS}
LOOPBACK = "127.0.0.1,localhost,::1"
TEMPLATES = ("container", "volumes", "env", "volumeMounts", "labels")


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart that renders each template by itself, with the dict of the value `given`."""
    chart = tmp_path_factory.mktemp("chart")
    (chart / "templates").mkdir()
    shutil.copytree(LIBRARY, chart / "charts" / LIBRARY.name)
    about = {"apiVersion": "v2", "name": "shown", "version": "0.1.0"}
    about["dependencies"] = [{"name": LIBRARY.name, "version": __version__}]  # type: ignore[assignment]
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    lines = [
        f'{name}:\n{{{{ include "aws-oidc-sidecar.{name}" (merge (dict "root" $) .Values.given) | indent 2 }}}}\n'
        for name in TEMPLATES
    ]
    for name, line in zip(TEMPLATES, lines, strict=True):
        shown = f"---\nkind: Shown\nmetadata: {{name: {name}}}\n{line}"
        text = f'{{{{ if has "{name}" .Values.show }}}}\n{shown}{{{{ end }}}}\n'
        (chart / "templates" / f"{name}.yaml").write_text(text)
    return chart


def show(chart: Path, *names: str, values: Json | None = None, flags: tuple[str, ...] = (), **given: object) -> Any:  # noqa: ANN401 - a list or a map
    """Return what the templates render, by name; for one name, what that template renders."""
    names_or_all = list(names or TEMPLATES)
    library = {LIBRARY.name: values or {}}
    objects = render(
        {"show": names_or_all, "given": {"serviceAccount": "reader"} | given} | library, *flags, chart=chart
    )
    made = {each["metadata"]["name"]: each[each["metadata"]["name"]] for each in objects}
    return made[names[0]] if len(names) == 1 else made


@pytest.fixture(scope="module")
def example() -> Json:
    """The pod of ``examples/pod.yaml``."""
    return one(load((ROOT / "examples" / "pod.yaml").read_text()), "Pod")


def container_of(pod: Json, name: str) -> Json:
    return next(each for each in (*pod["initContainers"], *pod["containers"]) if each["name"] == name)


# --- the pod of the example ---


@pytest.mark.rule("SDK 24", "Kubernetes D7")
def test_the_container_is_that_of_the_example_except_for_the_source_of_its_role(chart: Path, example: Json) -> None:
    (container,) = show(chart, "container", region="eu-central-1")
    wanted = container_of(example["spec"], "aws-oidc-sidecar")
    assert wanted["env"][0]["name"] == "AWS_ROLE_ARN"
    wanted["env"][0] = {"name": "AWS_OIDC_SIDECAR_PROFILES_FILE", "value": "/etc/aws-oidc-sidecar/profiles"}
    config = {"name": "aws-oidc-config", "mountPath": "/etc/aws-oidc-sidecar", "readOnly": True}
    wanted["volumeMounts"].insert(1, config)
    assert container == wanted


def test_volumes_labels_and_the_application_are_those_of_the_example(chart: Path, example: Json) -> None:
    made = show(chart, region="eu-central-1")
    config = {"name": "aws-oidc-config", "configMap": {"name": "aws-oidc-sidecar-reader"}}
    assert [volume for volume in made["volumes"] if volume != config] == example["spec"]["volumes"]
    assert config in made["volumes"]
    assert made["labels"] == example["metadata"]["labels"]
    application = container_of(example["spec"], "aws-cli")
    assert made["env"] == application["env"]
    assert made["volumeMounts"] == application["volumeMounts"]


def test_the_versions_are_those_of_the_program() -> None:
    for path in (CHART, LIBRARY):
        about = yaml.safe_load((path / "Chart.yaml").read_text())
        assert about["version"] == about["appVersion"] == __version__
    (dependency,) = yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"]
    assert dependency["version"] == __version__


@pytest.mark.rule("SDK 1", "SDK 2", "SDK 3")
def test_the_names_are_those_of_the_program_and_the_example(chart: Path) -> None:
    made = show(chart, profiles=["reader", "writer"], profile="writer")
    (container,) = made["container"]
    assert container["name"] == "aws-oidc-sidecar"
    assert {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]} == {
        "/var/run/secrets/aws-oidc-sidecar": "aws-oidc-token",
        "/etc/aws-oidc-sidecar": "aws-oidc-config",
        "/var/run/aws-oidc-sidecar/state": "aws-oidc-state",
        "/var/run/aws-oidc-sidecar/profiles/reader": "aws-oidc-profile-reader",
        "/var/run/aws-oidc-sidecar/profiles/writer": "aws-oidc-profile-writer",
    }
    assert container["ports"] == [{"name": "awscreds-admin", "containerPort": ADMIN_PORT}]
    assert made["volumeMounts"] == [
        {"name": "aws-oidc-profile-writer", "mountPath": "/var/run/aws-oidc-sidecar", "readOnly": True}
    ]
    assert {variable["name"]: variable["value"] for variable in made["env"]} == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{ENDPOINT_PORT}/v1/credentials/writer",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/aws-oidc-sidecar/auth-token",
        "NO_PROXY": LOOPBACK,
        "no_proxy": LOOPBACK,
    }
    assert made["labels"] == {"aws-oidc-sidecar/version": __version__}


def test_every_variable_of_the_sidecar_is_a_setting(chart: Path) -> None:
    (container,) = show(chart, "container", region="eu-central-1", audience="other", cluster="shoot")
    names = {variable["name"] for variable in container["env"]}
    assert {name for name in names if name.startswith("AWS_OIDC_SIDECAR_")} <= SETTINGS
    assert {"AWS_REGION", "AWS_OIDC_SIDECAR_AUDIENCE", "AWS_OIDC_SIDECAR_CLUSTER"} <= names


# --- settings of a dict or of the values ---


@pytest.mark.parametrize(
    ("gate", "path"), [("credentials", "/startupz"), ("listening", "/livez"), ("none", None)], ids=str
)
def test_the_gate_decides_when_the_application_starts(chart: Path, gate: str, path: str | None) -> None:
    (container,) = show(chart, "container", gate=gate)
    assert container.get("startupProbe", {}).get("httpGet", {}).get("path") == path


def test_a_token_has_the_audience_and_the_lifetime_of_the_values(chart: Path) -> None:
    token = show(chart, "volumes", values={"audience": "other", "expirationSeconds": 4294967296})[0]
    source = {"audience": "other", "expirationSeconds": 4294967296, "path": "token"}
    assert token["projected"]["sources"] == [{"serviceAccountToken": source}]


def test_a_key_of_the_dict_replaces_the_value(chart: Path) -> None:
    values = {"runAsAssignedUser": True, "region": "eu-central-1"}
    (container,) = show(chart, "container", values=values, runAsAssignedUser=False, region="us-east-1")
    assert container["securityContext"]["runAsUser"] == 19841
    assert container["env"][1] == {"name": "AWS_REGION", "value": "us-east-1"}


@pytest.mark.parametrize(
    ("image", "reference", "label"),
    [
        ({"tag": "0.1.0-fix.1"}, "aws-oidc-sidecar:0.1.0-fix.1", "0.1.0-fix.1"),
        ({"digest": f"sha256:{'0' * 64}"}, f"aws-oidc-sidecar@sha256:{'0' * 64}", __version__),
        ({"repository": "r.example.org:5000/a/b"}, f"r.example.org:5000/a/b:{__version__}", __version__),
    ],
    ids=["tag", "digest", "repository"],
)
def test_an_image_is_named_and_labelled(chart: Path, image: Json, reference: str, label: str) -> None:
    made = show(chart, values={"image": image})
    assert made["container"][0]["image"] == reference
    assert made["labels"] == {"aws-oidc-sidecar/version": label}


def test_extra_variables_follow_those_of_the_chart(chart: Path) -> None:
    extra = [{"name": "HTTPS_PROXY", "value": "http://proxy.example.org"}]
    assert show(chart, "container", extraEnv=extra)[0]["env"][-1:] == extra


@pytest.mark.parametrize(
    ("given", "flags", "message"),
    [
        ({"gat": "none"}, (), "aws-oidc-sidecar.container: unknown key gat; use root, audience,"),
        ({"gate": "maybe"}, (), "aws-oidc-sidecar.container: gate: unknown value maybe; use credentials,"),
        ({"profiles": []}, (), "aws-oidc-sidecar.container: profiles: is empty"),
        ({"profiles": "default"}, (), "aws-oidc-sidecar.container: profiles: is not a list"),
        ({"profiles": ["Upper"]}, (), "aws-oidc-sidecar.container: profiles: invalid profile name Upper"),
        ({"profiles": ["a", "a"]}, (), "aws-oidc-sidecar.container: profiles: has a duplicate name"),
        ({"extraEnv": [{"name": "AWS_REGION"}]}, (), "extraEnv: AWS_REGION: is set by the chart; set region"),
        ({"extraEnv": [{"name": "AWS_ROLE_ARN"}]}, (), "extraEnv: AWS_ROLE_ARN: is set by the chart"),
        ({"expirationSeconds": 300}, (), "aws-oidc-sidecar.container: expirationSeconds: 300 is outside the range"),
        (
            {"expirationSeconds": "an hour"},
            (),
            "expirationSeconds: an hour is outside the range of Kubernetes; use 600",
        ),
        ({"audience": ""}, (), "aws-oidc-sidecar.container: audience: invalid value ; use"),
        ({"audience": "two words"}, (), "aws-oidc-sidecar.container: audience: invalid value two words; use"),
        ({"image": {"tag": "1.2"}}, (), "aws-oidc-sidecar.container: image: has no repository; set it"),
        ({"image": "a:1.2"}, (), "aws-oidc-sidecar.container: image: has no repository"),
        ({"extraEnv": [{"name": "A"}, {"name": "A"}]}, (), "extraEnv: duplicate variable A; keep one"),
        ({}, ("--kube-version", "1.28.15"), "Kubernetes v1.28.15 has no native sidecars; use 1.29 or newer"),
    ],
    ids=str,
)
def test_invalid_settings_are_named_in_the_error(
    chart: Path, given: Json, flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(HelmError) as caught:
        show(chart, "container", flags=flags, **given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("volumes", {"serviceAccount": ""}, "aws-oidc-sidecar.volumes: serviceAccount: is not set"),
        ("env", {"profiles": ["a", "b"]}, "aws-oidc-sidecar.env: profile: is not set; use one of a, b"),
        ("volumeMounts", {"profile": "c"}, "volumeMounts: profile: c is not among profiles; use one of default"),
    ],
    ids=str,
)
def test_a_missing_setting_of_an_application_is_named_in_the_error(
    chart: Path, name: str, given: Json, message: str
) -> None:
    with pytest.raises(HelmError) as caught:
        show(chart, name, **given)
    assert message in str(caught.value)


# --- the variables of an application container ---


def own_env(chart: Path, *own: Json) -> list[Json]:
    """Return the variables after the two that name the sidecar's endpoint."""
    made: list[Json] = show(chart, "env", ownEnv=list(own))
    assert [variable["name"] for variable in made[:2]] == [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ]
    return made[2:]


def both(text: str) -> list[Json]:
    return [{"name": "NO_PROXY", "value": text}, {"name": "no_proxy", "value": text}]


@pytest.mark.rule("SDK 5")
@pytest.mark.parametrize(
    ("given", "exempt"),
    [
        ({}, LOOPBACK),
        ({"NO_PROXY": "a.test, localhost"}, "a.test,localhost,127.0.0.1,::1"),
        ({"no_proxy": "a.test,,b.test"}, f"a.test,b.test,{LOOPBACK}"),
        ({"NO_PROXY": "a.test,b.test", "no_proxy": "b.test,c.test"}, f"a.test,b.test,c.test,{LOOPBACK}"),
        ({"NO_PROXY": "*"}, f"*,{LOOPBACK}"),
        ({"NO_PROXY": "a.test b.test\n"}, f"a.test,b.test,{LOOPBACK}"),
        ({"NO_PROXY": "127.0.0.0/8"}, f"127.0.0.0/8,{LOOPBACK}"),
        ({"NO_PROXY": ""}, LOOPBACK),
        ({"NO_PROXY": None}, LOOPBACK),
        ({"NO_PROXY": "$(CLUSTER_NO_PROXY)"}, f"$(CLUSTER_NO_PROXY),{LOOPBACK}"),
    ],
    ids=str,
)
def test_exemptions_of_the_application_are_extended_as_env_extends_them(
    chart: Path, given: dict[str, str | None], exempt: str
) -> None:
    own = [{"name": name, "value": text} for name, text in given.items()]
    assert own_env(chart, *own) == both(exempt)
    environment = {name: text for name, text in given.items() if text is not None}
    wanted = variables(profile="default", port=ENDPOINT_PORT, auth_token_file="/x", region="", environment=environment)
    assert wanted["NO_PROXY"] == wanted["no_proxy"] == exempt


def test_variables_are_in_an_order_in_which_references_work(chart: Path) -> None:
    # Kubernetes expands $(NAME) only to variables that are defined earlier.
    source = {"name": "CLUSTER", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "none"}}}
    refers = {"name": "JAVA_OPTS", "value": "-Dhttp.nonProxyHosts=$(NO_PROXY)"}
    exempt = {"name": "no_proxy", "value": "$(CLUSTER)"}
    assert own_env(chart, source, exempt, refers) == [source, *both(f"$(CLUSTER),{LOOPBACK}"), refers]
    assert own_env(chart, refers) == [*both(LOOPBACK), refers]


def test_the_applications_own_variables_can_be_values(chart: Path) -> None:
    own = [{"name": "NO_PROXY", "value": "a.test"}, {"name": "A", "value": ""}]
    made = show(chart, "env", values={"ownEnv": own})
    assert made[2:] == [*both(f"a.test,{LOOPBACK}"), own[1]]


def test_an_application_without_a_region_of_the_chart_can_set_its_own(chart: Path) -> None:
    own = {"name": "AWS_REGION", "value": "eu-west-1"}
    assert own_env(chart, own) == [*both(LOOPBACK), own]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            [{"name": "no_proxy", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "none"}}}],
            "no_proxy: has valueFrom, which a template cannot extend; name that variable CLUSTER_NO_PROXY",
        ),
        ([{"name": "NO_PROXY"}, {"name": "NO_PROXY"}], "duplicate variable NO_PROXY; keep one"),
        ([{"name": "AWS_REGION"}], "AWS_REGION: is set by the chart; set region"),
        ([{"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI"}], "AWS_CONTAINER_CREDENTIALS_FULL_URI: is set by the chart"),
        ({"NO_PROXY": "a.test"}, "is not a list; write items with name and value"),
        ([{"NO_PROXY": "a.test"}], "an item has no name; write name and value"),
    ],
    ids=str,
)
def test_invalid_variables_of_an_application_are_named_in_the_error(chart: Path, own: object, message: str) -> None:
    with pytest.raises(HelmError, match=rf"aws-oidc-sidecar\.env: ownEnv: {message}"):
        show(chart, "env", region="eu-central-1", ownEnv=own)


def test_an_older_kubernetes_can_be_overridden(chart: Path) -> None:
    flags = ("--kube-version", "1.28.15")
    assert show(chart, "container", flags=flags, values={"kubeVersionOverride": "1.33.1"})


def test_values_of_the_library_are_checked_too(chart: Path) -> None:
    with pytest.raises(HelmError, match="/expirationSeconds"):
        show(chart, "volumes", values={"expirationSeconds": 599})
    with pytest.raises(HelmError, match="'gat' not allowed"):
        show(chart, "volumes", values={"gat": "none"})


NULLS = [*SCHEMA["properties"], *(f"image.{key}" for key in SCHEMA["properties"]["image"]["properties"])]


@pytest.mark.parametrize("path", sorted({*NULLS} - {"global", "serviceAccount"}))
def test_a_null_is_empty_or_named_in_the_error(chart: Path, path: str) -> None:
    section, _, key = path.partition(".")
    made, message = {}, ""
    try:
        made = show(chart, values={section: {key: None} if key else None})
    except HelmError as error:
        message = str(error)
    assert made or f": {section}: " in message
    assert not made or made["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"]


def test_the_error_for_a_template_without_a_dict_shows_how_to_pass_one(chart: Path) -> None:
    other = chart / "templates" / "other.yaml"
    other.write_text('{{ include "aws-oidc-sidecar.container" . }}\n')
    try:
        with pytest.raises(HelmError, match=r"container: root: is not set; pass a dict: \(dict"):
            helm("template", "x", chart, values={"show": [], "given": {}})
    finally:
        other.unlink()
