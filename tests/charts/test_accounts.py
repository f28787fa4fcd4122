"""ServiceAccounts and the profiles in their ConfigMaps: the daemon reads the settings of the values."""

from pathlib import Path

import pytest

from sidecar.model import Profile
from sidecar.settings.profiles import parse_profiles
from tests.charts.helm import CASES, CHART, RELEASE, HelmError, Json, render
from tests.charts.manifests import one, problems

ROLE = "arn:aws:iam::123456789012:role/Reader"
WITHDRAW = "withdraw-on-role-change"
OTHER = "arn:aws:iam::210987654321:role/Other"
BASE = Profile("default", "", "", 3600, "", "")


def profiles_of(objects: list[Json], account: str) -> dict[str, Profile]:
    """Return the profiles that a daemon reads from the ConfigMap of a ServiceAccount."""
    data = one(objects, "ConfigMap", f"aws-oidc-sidecar-{account}")["data"]
    assert data.keys() == {"profiles"}
    return {profile.name: profile for profile in parse_profiles(data["profiles"], "profiles", BASE)}


def error_of(values: Json) -> str:
    with pytest.raises(HelmError) as caught:
        render(values)
    return str(caught.value)


def account(**keys: object) -> Json:
    return {"serviceAccounts": [{"name": "a"} | keys]}


def test_one_role_is_the_profile_default_of_an_account_named_like_the_release() -> None:
    objects = render({"roleArn": ROLE, "region": "eu-central-1", "durationSeconds": 1800})
    name = "aws-aws-oidc-sidecar"
    assert one(objects, "ServiceAccount", name)["automountServiceAccountToken"] is False
    (profile,) = profiles_of(objects, name).values()
    assert profile == Profile("default", ROLE, "", 1800, "eu-central-1", "")


@pytest.mark.parametrize("level", [{"onChange": WITHDRAW}, {}])
@pytest.mark.parametrize("own", ["", "keep"])
def test_on_change_can_be_set_for_the_release_the_account_or_the_profile(level: Json, own: str) -> None:
    values = level | account(
        profiles={"a": {"roleArn": ROLE, "onChange": own}, "b": {"roleArn": OTHER}},
        onChange="" if level else WITHDRAW,
    )
    a, b = profiles_of(render(values), "a").values()
    assert (a.on_change, b.on_change) == (own or WITHDRAW, WITHDRAW)


def test_a_release_name_that_contains_the_chart_name_does_not_repeat_it() -> None:
    objects = render({"roleArn": ROLE}, release="my-aws-oidc-sidecar")
    assert profiles_of(objects, "my-aws-oidc-sidecar")


def test_every_key_of_a_profile_reaches_the_daemon() -> None:
    (profile, chained, further) = profiles_of(render(CHART / "ci" / "chained-values.yaml"), "backup").values()
    assert (profile.name, profile.served, profile.duration_seconds) == ("here", False, 7200)
    assert chained == Profile(
        name="there",
        role_arn="arn:aws:iam::210987654321:role/BackupStore",
        session_name="backup",
        duration_seconds=3600,
        region="eu-central-1",
        endpoint_url="",
        source="here",
        external_id="backup/2026",
        policy='{"Statement":[{"Action":"s3:PutObject","Effect":"Allow","Resource":"arn:aws:s3:::backup/*"}],'
        '"Version":"2012-10-17"}',
        policy_arns=("arn:aws:iam::aws:policy/AmazonS3FullAccess",),
        session_tags=True,
    )
    assert (further.source, further.duration_seconds) == ("there", 900)


def test_a_policy_can_be_text_and_keeps_its_characters() -> None:
    policy = {"Resource": "a&b<c>%(d)s", "Version": "2012-10-17"}
    text = '{"Resource": "a&b<c>%(d)s",\n\n   "Version": "2012-10-17"}'
    objects = [render(account(profiles={"default": {"roleArn": ROLE, "policy": given}})) for given in (policy, text)]
    policies = {profiles_of(each, "a")["default"].policy for each in objects}
    assert policies == {'{"Resource":"a&b<c>%(d)s","Version":"2012-10-17"}'}


def test_a_setting_of_the_profile_replaces_that_of_the_account_and_the_release() -> None:
    values = {
        "region": "us-east-1",
        "durationSeconds": 1000,
        "serviceAccounts": [
            {"name": "a", "roleArn": ROLE},
            {"name": "b", "roleArn": ROLE, "region": "us-east-2", "durationSeconds": 2000},
            {
                "name": "c",
                "region": "us-east-2",
                "durationSeconds": 2000,
                "profiles": {"x": {"roleArn": ROLE, "region": "us-west-1", "durationSeconds": 3000}},
            },
        ],
    }
    objects = render(values)
    found = [next(iter(profiles_of(objects, name).values())) for name in "abc"]
    assert [(each.region, each.duration_seconds) for each in found] == [
        ("us-east-1", 1000),
        ("us-east-2", 2000),
        ("us-west-1", 3000),
    ]


def test_an_account_with_create_false_gets_only_its_roles() -> None:
    objects = render(account(create=False, roleArn=ROLE) | {"bootstrap": {"mode": "none"}})
    assert sorted(each["kind"] for each in objects) == ["ConfigMap", "Pod"]


def test_annotations_come_only_from_the_values() -> None:
    objects = render(account(roleArn=ROLE, annotations={"a/b": "c"}, labels={"team": "x"}))
    meta = one(objects, "ServiceAccount", "a")["metadata"]
    assert (meta["annotations"], meta["labels"]["team"]) == ({"a/b": "c"}, "x")
    assert "annotations" not in one(render(account(roleArn=ROLE)), "ServiceAccount", "a")["metadata"]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_the_daemon_accepts_the_profiles_of_every_case(case: Path) -> None:
    objects = render(case)
    names = [
        each["metadata"]["name"].removeprefix("aws-oidc-sidecar-")
        for each in objects
        if each["kind"] == "ConfigMap" and "profiles" in each.get("data", {})
    ]
    assert all(profiles_of(objects, name) for name in names)


CHAINED = {"roleArn": OTHER, "sourceProfile": "base"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "roleArn: is not set; set it to the IAM role, or set serviceAccounts"),
        (account(), "serviceAccounts: a: has no role; set roleArn or profiles"),
        ({"serviceAccounts": [{"name": "a", "roleArn": ROLE}] * 2}, "serviceAccounts: a: duplicate name; keep one"),
        (
            account(roleArn=ROLE, profiles={"default": {"roleArn": ROLE}}),
            "serviceAccounts: a: roleArn and profiles.default both set the profile default",
        ),
        (account(profiles={"x": {"roleArn": ROLE, "serve": False}}), "serviceAccounts: a: serves no profile"),
        (account(profiles={"x": CHAINED}), "a: profiles.x: sourceProfile: base is not a profile"),
        (account(profiles={"base": CHAINED}), "a: profiles.base: sourceProfile: is a loop, base -> base"),
        (
            account(profiles={"x": CHAINED, "base": {"roleArn": ROLE, "sourceProfile": "x"}}),
            "a: profiles.base: sourceProfile: is a loop, base -> x -> base",
        ),
        (
            account(profiles={"base": {"roleArn": ROLE}, "x": CHAINED | {"durationSeconds": 3601}}),
            "a: profiles.x: durationSeconds: is over 3600",
        ),
        (account(profiles={"x": {"roleArn": ROLE, "externalId": "abc"}}), "a: profiles.x: externalId: needs sourceP"),
        (account(profiles={"x": {"roleArn": ROLE, "sessionTags": True}}), "a: profiles.x: sessionTags: needs source"),
        (account(profiles={"x": {"roleArn": ROLE, "policy": "[]"}}), "a: profiles.x: policy: is not a JSON object"),
        ({"roleArn": ROLE, "commonLabels": {"helm.sh/chart": "x"}}, "commonLabels: helm.sh/chart: is set by the chart"),
        (
            {"roleArn": ROLE, "commonLabels": {"app.kubernetes.io/component": "x"}},
            "commonLabels: app.kubernetes.io/component: is set by the chart",
        ),
        (
            {"roleArn": ROLE, "commonLabels": {"aws-oidc-sidecar/version": "x"}},
            "commonLabels: aws-oidc-sidecar/version: is set by the chart",
        ),
        (
            {"serviceAccounts": [{"name": "dashboard", "roleArn": ROLE}], "dashboard": {"enabled": True}}
            | {"fullnameOverride": "aws-oidc-sidecar"},
            "serviceAccounts: dashboard: its ConfigMap aws-oidc-sidecar-dashboard has the name of the dashboard's",
        ),
        (
            {"serviceAccounts": [{"name": "aws-aws-oidc-sidecar-bootstrap", "roleArn": ROLE}]},
            "serviceAccounts: aws-aws-oidc-sidecar-bootstrap: is the name of the bootstrap Job's ServiceAccount",
        ),
        (
            {"roleArn": ROLE, "test": {"waitSeconds": 180}},
            "test.waitSeconds: 180 leaves the doctor less than a minute before test.activeDeadlineSeconds, 240",
        ),
        ({"roleArn": ROLE, "test": {"extraEnv": [{"name": "AWS_REGION"}]}}, "extraEnv: AWS_REGION: is set by the cha"),
        # The schema names the path of the value.
        ({"roleArn": "arn:aws:iam::1:user/x"}, "/roleArn"),
        (account(profiles={"Upper": {"roleArn": ROLE}}), "/serviceAccounts/0/profiles"),
        (account(profiles={"x": {"roleArn": ROLE, "sessionName": "a\nrole_arn = b"}}), "/sessionName"),
        (account(profiles={"x": {"roleArn": ""}}), "/serviceAccounts/0/profiles/x/roleArn"),
        (account(profiles={"x": {"roleArn": ROLE, "role_arn": ROLE}}), "'role_arn' not allowed"),
    ],
)
def test_contradictory_values_are_named_in_the_error(values: Json, message: str) -> None:
    assert message in error_of(values)


@pytest.mark.parametrize(
    "values",
    [
        {"serviceAccounts": [{"name": "dashboard", "roleArn": ROLE}], "fullnameOverride": "aws-oidc-sidecar"},
        {"serviceAccounts": [{"name": f"{RELEASE}-aws-oidc-sidecar-bootstrap", "roleArn": ROLE}]}
        | {"bootstrap": {"mode": "none"}},
        {"roleArn": ROLE, "test": {"waitSeconds": 179}},
        {"roleArn": ROLE, "test": {"waitSeconds": 180, "enabled": False}},
    ],
    ids=str,
)
def test_values_that_do_not_contradict_are_accepted(values: Json) -> None:
    assert problems(render(values)) == []


@pytest.mark.parametrize(
    "rest", [{}, {"test": {"enabled": False}, "bootstrap": {"mode": "none"}}], ids=["all", "minimum"]
)
def test_an_older_kubernetes_is_an_error_with_any_values(rest: Json) -> None:
    with pytest.raises(HelmError, match=r"Kubernetes v1\.28\.15 has no native sidecars; use 1\.29 or newer"):
        render({"roleArn": ROLE} | rest, "--kube-version", "1.28.15")
    assert render({"roleArn": ROLE, "kubeVersionOverride": "1.29"} | rest, "--kube-version", "1.28.15")
