"""The notes after an install: commands that can be pasted, for this release, and the pitfalls."""

import argparse
import shlex
from pathlib import Path

import pytest

from sidecar.bootstrap_command import add_options
from tests.charts.helm import CHART, NAMESPACE, RELEASE, Json, helm, render
from tests.charts.manifests import one

ROLE = "arn:aws:iam::123456789012:role/KubernetesParameterStoreRole"


def notes(values: Json | Path) -> str:
    given = ("--values", values) if isinstance(values, Path) else ()
    text = helm(
        "install", RELEASE, CHART, "--namespace", NAMESPACE, "--dry-run=client", *given,
        values=None if isinstance(values, Path) else values,
    )  # fmt: skip
    return text.partition("\nNOTES:\n")[2]


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each `aws-oidc-sidecar` that one would paste."""
    joined = text.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("aws-oidc-sidecar ")]


@pytest.fixture(scope="module")
def minimal() -> str:
    return notes({"roleArn": ROLE})


def test_they_say_which_account_has_which_role(minimal: str) -> None:
    assert f"ServiceAccount aws-aws-oidc-sidecar, profile default: {ROLE}" in minimal


def test_they_look_the_issuer_up_the_managed_one_first(minimal: str) -> None:
    managed = minimal.index("status.advertisedAddresses[?(@.name==")
    assert managed < minimal.index("kubectl get --raw /.well-known/openid-configuration")


def test_one_command_sets_up_the_role_in_aws(minimal: str) -> None:
    assert commands(minimal) == [
        ["bootstrap", "aws", "--issuer", "$issuer", "--role", "KubernetesParameterStoreRole",
         "--service-account", f"{NAMESPACE}/aws-aws-oidc-sidecar"]
    ]  # fmt: skip


def test_the_test_and_the_jobs_log_are_a_command_each(minimal: str) -> None:
    assert f"helm test {RELEASE} -n {NAMESPACE} --logs" in minimal
    job = one(render({"roleArn": ROLE}), "Job")["metadata"]["name"]
    assert f"kubectl -n {NAMESPACE} logs job/{job}\n" in minimal


def test_a_role_of_several_accounts_is_one_command_since_its_trust_is_replaced_whole() -> None:
    accounts = [
        {"name": "a", "roleArn": ROLE, "durationSeconds": 7200},
        {"name": "b", "roleArn": ROLE, "audience": "other"},
        {"name": "c", "profiles": {name: {"roleArn": "arn:aws:iam::123456789012:role/teams/x/C"} for name in "xy"}},
    ]
    first, second = commands(notes({"serviceAccounts": accounts}))
    assert first[4:] == [
        "--role", "KubernetesParameterStoreRole", "--service-account", "team/a", "--service-account", "team/b",
        "--audience", "sts.amazonaws.com", "--audience", "other", "--max-session-seconds", "7200",
    ]  # fmt: skip
    assert second[4:] == ["--role", "C", "--path", "/teams/x/", "--service-account", "team/c"]


def test_a_chained_role_trusts_the_role_before_it() -> None:
    text = notes(CHART / "ci" / "chained-values.yaml")
    assert [command[4:] for command in commands(text)] == [
        ["--role", "Backup", "--service-account", "team/backup", "--max-session-seconds", "7200"],
        ["--role", "BackupStore", "--assumed-by", "arn:aws:iam::123456789012:role/Backup", "--session-tags"],
        ["--role", "Further", "--assumed-by", "arn:aws:iam::210987654321:role/BackupStore"],
    ]
    assert "# in account 210987654321" in text


@pytest.mark.parametrize("case", ["minimal", "accounts", "chained", "everything"])
def test_the_program_takes_every_command(case: str) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    found = commands(notes(CHART / "ci" / f"{case}-values.yaml"))
    assert found
    for command in found:
        assert command[0] == "bootstrap"
        parser.parse_args(command[1:])


def test_pitfalls_are_told(minimal: str) -> None:
    assert "eks.amazonaws.com/role-arn does nothing here" in minimal
    assert "enableAnonymousAuthentication" in minimal
    assert "WARNING" not in minimal


def test_what_is_unwise_is_warned_of() -> None:
    text = notes(CHART / "ci" / "accounts-values.yaml")
    assert "WARNING: ServiceAccount deployer has the annotation eks.amazonaws.com/role-arn." in text
    assert "WARNING: ServiceAccount deployer, profile writer: durationSeconds 900 is under 1800" in text


def test_what_stays_behind_is_told_with_how_to_remove_it(minimal: str) -> None:
    removal = "kubectl delete clusterrolebinding allow-anon-openid"
    assert removal in notes({"bootstrap": {"mode": "apply"}})
    assert removal not in minimal
